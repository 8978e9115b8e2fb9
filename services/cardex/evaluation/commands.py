"""What `cardex evaluate` does."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track as rich_track

from cardex.domain.errors import ConfigurationError, InvalidQuestion, InvalidReport
from cardex.domain.jobs import Question
from cardex.evaluation import drafts, reranking
from cardex.evaluation.caching_embedder import CachingEmbedder, Track
from cardex.evaluation.calibration import Curve
from cardex.evaluation.dataset import open_dataset
from cardex.evaluation.embedder import OnnxEmbedder
from cardex.evaluation.evaluate import (
    TRAINING_FOLDS,
    Task,
    embed_ecgs,
    evaluate,
    gallery_of,
    task_of,
)
from cardex.evaluation.probabilities import calibrated
from cardex.evaluation.show import show
from cardex.inference.repository import newest
from cardex.inference.statements import Calibration
from cardex.reports.ptbxl import TABLE
from cardex.retrieval.reranking import check_rerank


@dataclass(frozen=True, slots=True)
class Measurement:
    """What to measure on.

    Attributes:
        data: PTB-XL's folder, or a manifest's CSV file.
        fold: the fold whose ECGs are the queries.
        gallery: number of reports in the gallery.
        work: folder that keeps cleaned waveforms; None to keep none.
        rerank: how many of the nearest reports the matcher re-ranks; 0 for none.
        weights: factors of the match logits to compare; empty for the repository's own.
    """

    data: Path
    fold: int
    gallery: int
    work: Path | None = None
    rerank: int = 0
    weights: tuple[float, ...] = ()


def source(ptbxl: Path | None, manifest: Path | None) -> Path:
    """Return the data set's path that was given.

    Raises:
        InvalidReport: if `ptbxl` is not a folder, or `manifest` is not a file.
    """
    if ptbxl is not None:
        if not ptbxl.is_dir():
            raise InvalidReport(f"{ptbxl} is no folder: --ptbxl takes the one that holds {TABLE}")
        return ptbxl
    if manifest is None or not manifest.is_file():
        raise InvalidReport(f"{manifest} is no file: --manifest takes a CSV file of ECGs")
    return manifest


def run_evaluate(what: Measurement, repository: Path, *, as_json: bool, console: Console) -> None:
    """Measure the models of a repository on one fold, and print every figure.

    Raises:
        CardexError: if the data, the fold or the repository cannot be used.
    """
    embedder = OnnxEmbedder(repository)
    weights = _weights(what, embedder, repository)
    with console.status("reading ECGs"):
        task = task_of(open_dataset(what.data, what.work), what.fold, what.gallery)
    found = {
        "model_version": embedder.version,
        "fold": what.fold,
        "warnings": _warnings(what),
        **_figures(embedder, task, what, weights, _tracker(console)),
    }
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show(Console(highlight=False), found)


def _weights(what: Measurement, embedder: OnnxEmbedder, repository: Path) -> tuple[float, ...]:
    """Return the match weights; checks options first that would fail only after minutes."""
    check_rerank(Question(rerank=what.rerank))
    if not what.rerank:
        if what.weights:
            raise InvalidQuestion("--match-weight weighs what --rerank K asks: give both")
        return ()
    if not embedder.has_matcher:
        raise ConfigurationError(f"the model in {repository} has no matcher: leave out --rerank")
    if what.weights:
        return what.weights
    if embedder.calibration is None:
        raise ConfigurationError(
            f"{newest(repository).statements}, which has the match weight, is missing: give"
            " --match-weight"
        )
    return (embedder.calibration.match_weight,)


def _warnings(what: Measurement) -> list[str]:
    if what.fold not in TRAINING_FOLDS:
        return []
    data = "the model was" if what.data.is_dir() else "a model of this manifest was"
    return [f"{data} trained on this fold ({what.fold}): its figures do not hold for other ECGs"]


def _tracker(console: Console) -> Track:
    def track(numbers: Sequence[int], title: str) -> Iterable[int]:
        return rich_track(
            numbers, title, console=console, transient=True, disable=not console.is_terminal
        )

    return track


def _figures(
    embedder: OnnxEmbedder, task: Task, what: Measurement, weights: Sequence[float], track: Track
) -> dict[str, Any]:
    task = described(task, embedder.calibration)
    caching = CachingEmbedder(embedder, track)
    found = evaluate(caching, task)
    if embedder.calibration is not None:
        found |= _probabilities(caching, task, embedder.calibration)
    ecgs = embed_ecgs(caching, task.signals)
    if task.training:
        found["drafts"] = drafts.measure(ecgs, task.records, task.training, task.kinds, caching)
    if weights:
        gallery = gallery_of(task)
        scores = ecgs @ caching.texts(gallery.texts).T
        match_logits, cost = reranking.ask(
            embedder, task.signals, gallery.texts, scores, what.rerank, track
        )
        found["re-ranked"] = {
            "count": what.rerank,
            "ms_per_ecg": round(cost, 1),
            "by_weight": reranking.compare(scores, match_logits, gallery, task.patients, weights),
        }
    return found


def described(task: Task, calibration: Calibration | None) -> Task:
    """Return the task with the model's prompts in place of descriptions that are only codes.

    A manifest has no descriptions of its statements.
    """
    words = {each.code: each.prompt for each in calibration.statements} if calibration else {}
    return replace(
        task,
        kinds={
            code: replace(kind, description=words.get(code, code))
            if kind.description == code
            else kind
            for code, kind in task.kinds.items()
        },
    )


def _probabilities(
    caching: CachingEmbedder, task: Task, calibration: Calibration
) -> dict[str, Any]:
    """Measure the probabilities of those statements that the data set annotates."""
    known: Mapping[str, Any] = {
        each.code: each for each in calibration.statements if each.code in task.kinds
    }
    if not known:
        return {}
    curves = {code: Curve(each.slope, each.intercept) for code, each in known.items()}
    prompts = {code: each.prompt for code, each in known.items()}
    return {"calibration": calibrated(caching, task, curves, prompts)}
