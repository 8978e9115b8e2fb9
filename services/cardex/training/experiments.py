"""Trains and measures recipes with several seeds each, for the tables of docs/training.md."""

import json
import logging
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from cardex.domain.errors import CardexError
from cardex.evaluation.dataset import open_dataset
from cardex.evaluation.evaluate import TRAINING_FOLDS, evaluate, task_of
from cardex.training.corpora import Corpus
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.recipe import Recipe, read_recipe
from cardex.training.run import train
from cardex.training.stage import RunContext
from cardex.training.text_stage import Reports
from cardex.training.trainer import Stopped

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a recipe with a seed.

    Attributes:
        name: of the recipe's file, without suffix.
        recipe: the recipe, with the run's seed.
        folds: folds to train on.
        fold: fold to measure on.
    """

    name: str
    recipe: Recipe
    folds: tuple[int, ...]
    fold: int

    @property
    def label(self) -> str:
        """The run's key in the file of results."""
        return f"{self.name}/{self.recipe.seed}/{self.fold}"


def runs_of(
    paths: Iterable[Path], seeds: Sequence[int], fold: int, folds: Sequence[int] = TRAINING_FOLDS
) -> list[Run]:
    """Return a run for every recipe and seed, ordered by seed."""
    recipes = [(path.stem, read_recipe(path)) for path in paths]
    return [
        Run(name, msgspec.structs.replace(recipe, seed=seed), tuple(folds), fold)
        for seed in seeds
        for name, recipe in recipes
    ]


def measure(run: Run, data: Path, work: Path) -> dict[str, Any]:
    """Train and measure one run; returns the figures of `evaluate`, and "seconds"."""
    torch.set_num_threads(1)
    context = RunContext(work, DistributedContext.here())
    dataset = open_dataset(data, work)
    corpus = Corpus.of([record for record in dataset.records if record.fold in run.folds])
    start = time.monotonic()
    reports = Reports(corpus, dataset.descriptions, run.recipe, context)
    trained = train(reports, dataset.ecgs.of_folds(run.folds), run.recipe, context)
    figures = evaluate(TorchEmbedder(trained, context.distributed), task_of(dataset, run.fold))
    return {**figures, "seconds": round(time.monotonic() - start, 1)}


def run_all(
    runs: Sequence[Run], data: Path, work: Path, results: Path, jobs: int
) -> dict[str, Any]:
    """Execute the runs that `results` does not have yet, and write each result when it is there.

    The result of a run that fails is its error.

    Args:
        runs: the runs.
        data: PTB-XL's folder, or a manifest.
        work: folder of stages that are finished.
        results: JSON file of figures by label.
        jobs: number of processes.

    Raises:
        Stopped: if a run was interrupted.
    """
    known: dict[str, Any] = json.loads(results.read_text()) if results.is_file() else {}
    missing = [run for run in runs if run.label not in known]
    if not missing:
        return known
    results.parent.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(jobs, initializer=_quiet) as pool:
        tasks = [(run, data, work) for run in missing]
        for place, (label, figures) in enumerate(pool.imap_unordered(_measured, tasks), start=1):
            logger.info("%d of %d: %s", place, len(missing), label)
            known[label] = figures
            results.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    return known


def _quiet() -> None:
    logging.basicConfig(level=logging.WARNING)


def _measured(task: tuple[Run, Path, Path]) -> tuple[str, dict[str, Any]]:
    try:
        return task[0].label, measure(*task)
    except Stopped:  # not a result: the same command continues the run
        raise
    except CardexError as error:
        return task[0].label, {"error": str(error)}


FIGURES = {
    "strict R@1": ("strict", "model", "R@1"),
    "R@5": ("strict", "model", "R@5"),
    "R@10": ("strict", "model", "R@10"),
    "RSUM": ("RSUM", "model"),
    "distinct R@1": ("distinct", "model", "R@1"),
    "distinct R@10": ("distinct", "model", "R@10"),
    "Jaccard@5": ("clinical", "model", "jaccard@5"),
    "superclass": ("zero-shot", "superclass", "AUROC"),
    "subclass": ("zero-shot", "subclass", "AUROC"),
}


def table(known: dict[str, Any], names: Sequence[str]) -> list[list[str]]:
    """Return a row for each recipe: mean and standard deviation over its runs of every figure."""
    rows = [["recipe", *FIGURES, "runs"]]
    for name in names:
        runs = [v for k, v in known.items() if k.split("/")[0] == name and "error" not in v]
        if runs:
            cells = [_cell([_figure(run, path) for run in runs]) for path in FIGURES.values()]
            rows.append([name, *cells, str(len(runs))])
    return rows


def _figure(run: dict[str, Any], path: Sequence[str]) -> float:
    found: Any = run
    for key in path:
        found = found[key]
    return float(found[0] if isinstance(found, list) else found)


def _cell(values: Sequence[float]) -> str:
    digits = 3 if max(values) <= 1.0 else 1
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{mean:.{digits}f} ± {spread:.{digits}f}" if len(values) > 1 else f"{mean:.{digits}f}"
