"""Trains and measures recipes with several seeds each, for the tables of docs/training.md."""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from cardex.domain.errors import CardexError, ConfigurationError
from cardex.evaluation.dataset import open_dataset
from cardex.evaluation.evaluate import TRAINING_FOLDS, evaluate, task_of
from cardex.evaluation.protocols import ALL
from cardex.evaluation.provenance import provenance
from cardex.evaluation.recipe_table import rows_of, title_of
from cardex.models.files import replace as replace_file
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.processes import Job, run_jobs
from cardex.training.recipe import Recipe, read_recipe
from cardex.training.run import train
from cardex.training.stage import RunContext
from cardex.training.text_stage import reports_of
from cardex.training.trainer import Stopped

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a recipe with a seed.

    Attributes:
        name: of the recipe's file, without suffix.
        title: of the recipe in tables.
        recipe: the recipe, with the run's seed.
        folds: folds to train on.
        fold: fold to measure on.
    """

    name: str
    title: str
    recipe: Recipe
    folds: tuple[int, ...]
    fold: int

    @property
    def key(self) -> str:
        """A hash of everything that decides the result but the data: recipe, seed and folds."""
        return hashlib.sha256(self.content).hexdigest()[:12]

    @property
    def content(self) -> bytes:
        """What the key is a hash of; a second image is named only where there is one."""
        recipe = msgspec.to_builtins(self.recipe)
        if recipe["second_image"] is None:
            del recipe["second_image"]
        return msgspec.json.encode((recipe, self.folds, self.fold), order="sorted")

    @property
    def label(self) -> str:
        """The run's key in the file of results."""
        return f"{self.name}/{self.recipe.seed}/{self.fold}/{self.key}"

    def with_seed(self, seed: int) -> "Run":
        """Return the run of the same recipe with another seed."""
        return replace(self, recipe=msgspec.structs.replace(self.recipe, seed=seed))

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
    """Return a run for every recipe and seed, ordered by seed.

    Raises:
        ConfigurationError: if a recipe cannot be used; the message names file and field.
    """
    runs = [_run_of(path, fold, folds) for path in paths]
    return [run.with_seed(seed) for seed in seeds for run in runs]


def _run_of(path: Path, fold: int, folds: Sequence[int]) -> Run:
    recipe = read_recipe(path)  # first, since it names a file that cannot be read
    return Run(path.stem, title_of(path), recipe, tuple(folds), fold)


def measure(run: Run, data: Path, work: Path, *, compiled: bool = False) -> dict[str, Any]:
    """Train and measure one run; returns its entry with the figures of `evaluate`."""
    context = RunContext(work, DistributedContext.here(compiled=compiled))
    dataset = open_dataset(data, work)
    task = task_of(dataset, run.fold)  # first, since a fold without ECGs is refused here
    start = time.monotonic()
    reports = reports_of(dataset, run.folds, run.recipe, context)
    trained = train(reports, dataset.ecgs.of_folds(run.folds), run.recipe, context)
    figures = evaluate(TorchEmbedder(trained, context.distributed), task)
    return run.entry(
        seconds=round(time.monotonic() - start, 1),
        **provenance(context.distributed.device.type),
        figures=figures,
    )


def run_all(
    runs: Sequence[Run],
    data: Path,
    work: Path,
    results: Path,
    jobs: int,
    *,
    compiled: bool = False,
) -> dict[str, Any]:
    """Execute the runs that `results` does not have yet, and write each result when it is there.

    A run that fails stops no other; its error is no result, so that the same call runs it again. A
    result belongs to a run only if it is of the very same recipe, seed and folds: a changed recipe
    is run again, and what it gave before is removed.

    Args:
        runs: the runs.
        data: PTB-XL's folder, or a manifest.
        work: folder of stages that are finished.
        results: JSON file of entries by label.
        jobs: number of processes.
        compiled: whether models go through `torch.compile`.

    Returns:
        All entries of the file by label, also those of other runs, and the errors of these runs.

    Raises:
        ConfigurationError: if `results` is not a file of such entries.
        Stopped: if a run was interrupted.
    """
    stored = read_results(results)
    known = _current(stored, runs)
    if len(known) < len(stored):
        _write(results, known)
    missing = [run for run in runs if run.label not in known]
    if not missing:
        return known
    results.parent.mkdir(parents=True, exist_ok=True)

    def keep(job: Job) -> None:
        known[job.name] = json.loads(_entry_file(work, job.name).read_text())
        _write(results, known)

    tasks = [Job(run.label, _measure, (run, data, work, compiled)) for run in missing]
    run_jobs(tasks, jobs, keep)
    return known


def _current(known: dict[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """Leave out errors, and what these recipes gave before they were changed."""
    recipes = {(run.name, run.fold): run for run in runs}

    def stays(label: str, entry: dict[str, Any]) -> bool:
        if "error" in entry:
            return False
        own = recipes.get((entry["name"], entry["fold"]))
        return own is None or own.with_seed(entry["seed"]).label == label

    return {label: entry for label, entry in known.items() if stays(label, entry)}


def _write(results: Path, known: dict[str, Any]) -> None:
    kept = {label: entry for label, entry in known.items() if "error" not in entry}
    replace_file(results, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


def require_all(known: dict[str, Any], runs: Sequence[Run]) -> None:
    """Refuse to be content where runs failed, since the mean of the others may flatter a recipe.

    Raises:
        CardexError: with the error of each.
    """
    errors = {run.label: known.get(run.label, {}).get("error") for run in runs}
    failed = [f"{label}: {error}" for label, error in errors.items() if error]
    if failed:
        raise CardexError(f"{len(failed)} of {len(runs)} runs failed: " + "; ".join(failed))


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


def _measure(run: Run, data: Path, work: Path, compiled: bool) -> None:
    """Measure a run, and write its entry into the work folder."""
    try:
        entry = measure(run, data, work, compiled=compiled)
    except Stopped:  # not a result: the same command continues the run
        raise
    except CardexError as error:
        entry = run.entry(error=str(error))
    work.mkdir(parents=True, exist_ok=True)
    replace_file(_entry_file(work, run.label), json.dumps(entry).encode())


def _entry_file(work: Path, label: str) -> Path:
    return work / f"entry-{label.replace('/', '-')}.json"


def table(known: dict[str, Any], runs: Sequence[Run], ecgs: str = ALL) -> list[list[str]]:
    """Return the table of the runs that have a result; see `recipe_table.rows_of`.

    Args:
        known: entries of the file of results by label.
        runs: the runs to show.
        ecgs: the subset of the ECGs whose figures are shown.

    Raises:
        InvalidQuestion: if a recipe was not measured on that subset.
    """
    measured: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        figures = known.get(run.label, {}).get("figures")
        if figures is not None:
            measured.setdefault(run.title, []).append(figures)
    return rows_of(measured, ecgs)
