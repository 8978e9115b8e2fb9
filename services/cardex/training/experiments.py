"""Trains and measures recipes with several seeds each, for the tables of docs/training.md."""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from cardex.domain.errors import CardexError, ConfigurationError, InvalidQuestion
from cardex.evaluation.dataset import open_dataset
from cardex.evaluation.evaluate import TRAINING_FOLDS, evaluate, task_of
from cardex.evaluation.protocols import ALL
from cardex.training.corpora import Corpus
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.processes import Job, run_jobs
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
    def key(self) -> str:
        """A hash of everything that decides the result but the data: recipe, seed and folds."""
        content = msgspec.json.encode((self.recipe, self.folds, self.fold), order="sorted")
        return hashlib.sha256(content).hexdigest()[:12]

    @property
    def label(self) -> str:
        """The run's key in the file of results."""
        return f"{self.name}/{self.recipe.seed}/{self.fold}/{self.key}"

    def entry(self, **result: Any) -> dict[str, Any]:  # noqa: ANN401  # figures, or an error
        """Return what the file of results keeps of the run."""
        return {
            "name": self.name,
            "seed": self.recipe.seed,
            "fold": self.fold,
            "recipe": self.key,
            **result,
        }


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
    """Train and measure one run; returns its entry with the figures of `evaluate`."""
    torch.set_num_threads(1)
    context = RunContext(work, DistributedContext.here())
    dataset = open_dataset(data, work)
    corpus = Corpus.of([record for record in dataset.records if record.fold in run.folds])
    start = time.monotonic()
    reports = Reports(corpus, dataset.descriptions, run.recipe, context)
    trained = train(reports, dataset.ecgs.of_folds(run.folds), run.recipe, context)
    figures = evaluate(TorchEmbedder(trained, context.distributed), task_of(dataset, run.fold))
    return run.entry(seconds=round(time.monotonic() - start, 1), figures=figures)


def run_all(
    runs: Sequence[Run], data: Path, work: Path, results: Path, jobs: int
) -> dict[str, Any]:
    """Execute the runs that `results` does not have yet, and write each result when it is there.

    The result of a run that fails is its error. A result belongs to a run only if it is of the very
    same recipe, seed and folds: a changed recipe is run again.

    Args:
        runs: the runs.
        data: PTB-XL's folder, or a manifest.
        work: folder of stages that are finished.
        results: JSON file of entries by label.
        jobs: number of processes.

    Returns:
        All entries of the file by label, also those of other runs.

    Raises:
        ConfigurationError: if `results` is not a file of such entries.
        Stopped: if a run was interrupted.
    """
    known = read_results(results)
    missing = [run for run in runs if run.label not in known]
    if not missing:
        return known
    results.parent.mkdir(parents=True, exist_ok=True)

    def keep(job: Job) -> None:
        known[job.name] = json.loads(_entry_file(work, job.name).read_text())
        results.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")

    run_jobs([Job(run.label, _measure, (run, data, work)) for run in missing], jobs, keep)
    return known


def read_results(path: Path) -> dict[str, Any]:
    """Read the entries of a file of results by label; none where the file is missing.

    Raises:
        ConfigurationError: if it is no such file, or its entries do not tell their recipe's key.
    """
    if not path.is_file():
        return {}
    try:
        known: dict[str, Any] = json.loads(path.read_text())
        whole = all({"name", "seed", "fold", "recipe"} <= entry.keys() for entry in known.values())
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path} is no file of results: {error}") from error
    if not whole:
        raise ConfigurationError(
            f"{path} has results that do not tell which recipe they are of, so they cannot be shown"
            " as those of any: remove the file, or name another with --results"
        )
    return known


def _measure(run: Run, data: Path, work: Path) -> None:
    """Measure a run, and write its entry into the work folder."""
    try:
        entry = measure(run, data, work)
    except Stopped:  # not a result: the same command continues the run
        raise
    except CardexError as error:
        entry = run.entry(error=str(error))
    work.mkdir(parents=True, exist_ok=True)
    _entry_file(work, run.label).write_text(json.dumps(entry))


def _entry_file(work: Path, label: str) -> Path:
    return work / f"entry-{label.replace('/', '-')}.json"


FIGURES = {
    "abnormal RSUM": ("paper", "model", "RSUM"),
    "strict R@1": ("strict", "model", "R@1"),
    "R@5": ("strict", "model", "R@5"),
    "R@10": ("strict", "model", "R@10"),
    "RSUM": ("strict", "model", "RSUM"),
    "distinct R@1": ("distinct", "model", "R@1"),
    "distinct R@10": ("distinct", "model", "R@10"),
    "Jaccard@5": ("clinical", "model", "jaccard@5"),
    "superclass": ("zero-shot", "superclass", "AUROC"),
    "subclass": ("zero-shot", "subclass", "AUROC"),
}


def table(known: dict[str, Any], runs: Sequence[Run], ecgs: str = ALL) -> list[list[str]]:
    """Return a row for each recipe: mean and standard deviation over its runs of every figure.

    Args:
        known: entries of the file of results by label.
        runs: the runs to show.
        ecgs: the subset of the ECGs whose figures are shown.

    Raises:
        InvalidQuestion: if no run was measured on that subset.
    """
    by_name: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        figures = known.get(run.label, {}).get("figures")
        if figures is not None:
            by_name.setdefault(run.name, []).append(figures)
    rows = [["recipe", *FIGURES, "runs"]]
    for name, every in by_name.items():
        of_subset = [figures[ecgs] for figures in every if ecgs in figures]
        if not of_subset:
            raise InvalidQuestion(
                f"--ecgs {ecgs}: {name} was measured on {', '.join(every[0])} alone"
            )
        cells = [_cell([_figure(one, path) for one in of_subset]) for path in FIGURES.values()]
        rows.append([name, *cells, str(len(of_subset))])
    return rows


def _figure(figures: dict[str, Any], path: Sequence[str]) -> float:
    """Return the middle of the figure at a path; NaN where there were too few ECGs."""
    found: Any = figures
    for key in path:
        found = found.get(key) if found else None
    return float(found[0]) if found else float("nan")


def _cell(values: Sequence[float]) -> str:
    digits = 3 if max(values) <= 1.0 else 1
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{mean:.{digits}f} ± {spread:.{digits}f}" if len(values) > 1 else f"{mean:.{digits}f}"
