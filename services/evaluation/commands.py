"""What `cardex evaluate` does."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from services.domain.errors import ConfigurationError
from services.evaluation import drafts, reranking, retrieval
from services.evaluation.calibration import Curve
from services.evaluation.dataset import open_dataset
from services.evaluation.embedder import OnnxEmbedder
from services.evaluation.evaluate import (
    TRAINING_FOLDS,
    Task,
    embed_ecgs,
    evaluate,
    gallery_of,
    task_of,
)
from services.evaluation.probabilities import calibrated

METHODS = ("model", "majority", "chance")
PROTOCOLS = {
    "strict": "own report",
    "strict back": "report to own ECG",
    "distinct": "same text",
    "clinical": "statements",
}


def run_evaluate(
    data: Path, repository: Path, work: Path | None, *, fold: int, gallery: int, rerank: int,
    as_json: bool, console: Console,
) -> None:  # fmt: skip
    """Measure the models of a repository on one fold, and print every figure.

    Raises:
        CardexError: if the data, the fold or the repository cannot be used; says what and where.
    """
    embedder = OnnxEmbedder(repository)
    with console.status("reading ECGs"):
        task = task_of(open_dataset(data, work), fold, gallery)
    with console.status("embedding"):
        found: dict[str, Any] = {"model_version": embedder.version, "fold": fold}
        found |= evaluate(embedder, task)
        found |= _probabilities(embedder, task)
    with console.status("drafting reports"):
        found |= _drafts(embedder, task)
    if rerank:
        with console.status(f"re-ranking {rerank}"):
            found["re-ranked"] = _reranked(embedder, task, rerank)
    if as_json:
        print(json.dumps(found))
    else:
        show(console, found)


def _probabilities(embedder: OnnxEmbedder, task: Task) -> dict[str, Any]:
    if embedder.calibration is None:
        return {}
    statements = embedder.calibration.statements
    curves = {each.code: Curve(each.slope, each.intercept) for each in statements}
    prompts = {each.code: each.prompt for each in statements}
    return {"calibration": calibrated(embedder, task, curves, prompts)}


def _drafts(embedder: OnnxEmbedder, task: Task) -> dict[str, Any]:
    if not task.training:
        return {}
    ecgs = embed_ecgs(embedder, task.signals)
    return {"drafts": drafts.measure(ecgs, task.records, task.training, task.kinds, embedder)}


def _reranked(embedder: OnnxEmbedder, task: Task, count: int) -> dict[str, Any]:
    if count < 2:
        raise ConfigurationError(f"--rerank {count}: give 2 or more, or 0 for none")
    gallery = gallery_of(task)
    ecgs = embed_ecgs(embedder, task.signals)
    scores, cost = reranking.measured(embedder, ecgs, task.signals, gallery.texts, count)
    return {**retrieval.measure(scores, gallery, task.patients), **cost}


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print the figures as tables."""
    console.print(
        f"[bold]{found['model_version']}[/], fold {found['fold']}: {found['ecgs']} ECGs, gallery of"
        f" {found['gallery']} reports, {found['distinct texts']} distinct texts"
    )
    if found["fold"] in TRAINING_FOLDS:
        console.print("[yellow]The shipped models were trained on this fold.[/]")
    console.print(_retrieval(found, "ECG to report, mean (95 % interval)"))
    if "re-ranked" in found:
        again = found["re-ranked"]
        title = f"the {again['reranked']} nearest re-ranked, {again['ms_per_ecg']} ms an ECG"
        console.print(_retrieval(again, title))
    for name, title in (("zero-shot", "zero-shot macro AUROC"), ("drafts", "drafts, per cent")):
        if name in found:
            console.print(_plain(title, found[name]))
    for name, value in found.get("calibration", {}).items():
        console.print(f"{name}: {value}")


def _retrieval(found: Mapping[str, Any], title: str) -> Table:
    table = Table("", *METHODS, title=title, title_justify="left")
    for protocol, words in PROTOCOLS.items():
        for figure in found[protocol]["model"]:
            cells = [_cell(found[protocol][method][figure]) for method in METHODS]
            table.add_row(f"{words}, {figure}", *cells)
    table.add_row("RSUM", *(str(found["RSUM"][method]) for method in METHODS))
    return table


def _plain(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    figures = list(next(iter(rows.values())))
    table = Table("", *figures, title=title, title_justify="left")
    for name, row in rows.items():
        table.add_row(name, *(_cell(row.get(figure)) for figure in figures))
    return table


def _cell(value: float | Sequence[float] | None) -> str:
    if value is None:
        return "too few"
    if isinstance(value, int | float):
        return f"{value:g}"
    mean, low, high = value
    return f"{mean:g} ({low:g} to {high:g})"
