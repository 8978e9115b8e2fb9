"""The figures of an evaluation on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

METHODS = ("model", "majority", "chance")
PROTOCOLS = {
    "strict": "own report",
    "strict back": "report to ECG",
    "distinct": "same text",
    "clinical": "statements",
}
DRAFTS = {
    "bleu_1": "BLEU-1", "bleu_2": "BLEU-2", "bleu_3": "BLEU-3", "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L", "meteor": "METEOR", "statement_f1": "statement F1",
}  # fmt: skip

Figures = Mapping[str, Any]


def show(console: Console, found: Figures) -> None:
    """Print the figures as tables."""
    console.print(
        f"[bold]{found['model_version']}[/], fold {found['fold']}: {found['ecgs']} ECGs,"
        f" gallery {found['gallery']} reports, {found['distinct texts']} distinct",
        soft_wrap=True,
    )
    for warning in found["warnings"]:
        console.print(Text(f"warning   {warning}", "yellow"), soft_wrap=True)
    _section(
        console, "retrieval, per cent, statements from 0 to 1 (95 % interval)", _retrieval(found)
    )
    if "re-ranked" in found:
        again = found["re-ranked"]
        title = f"the {again['count']} nearest re-ranked, {again['ms_per_ecg']} ms an ECG"
        for figures in again["by_weight"]:
            _section(console, f"{title}, weight {figures['match_weight']:g}", _retrieval(figures))
    if "zero-shot" in found:
        _section(console, "zero-shot macro AUROC (chance 0.5)", _zero_shot(found["zero-shot"]))
    if "calibration" in found:
        _section(console, "probabilities of statements", _pairs(found["calibration"]))
    if "drafts" in found:
        _section(console, "drafts, per cent", _drafts(found["drafts"]))


def _section(console: Console, title: str, table: Table) -> None:
    console.print(Text(title, "bold"))
    console.print(Padding(table, (0, 0, 1, 2)))


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _retrieval(found: Figures) -> Table:
    table = _table("", *METHODS)
    for protocol, words in PROTOCOLS.items():
        table.add_row(Text(words, "dim"))
        digits = 3 if protocol == "clinical" else 1
        for figure in found[protocol]["model"]:
            cells = [_cell(found[protocol][method][figure], digits) for method in METHODS]
            table.add_row(f"  {figure}", *cells)
    table.add_row("RSUM", *(f"{found['RSUM'][method]:.1f}" for method in METHODS))
    return table


def _zero_shot(levels: Figures) -> Table:
    table = _table("", "classes", "AUROC")
    for name, level in levels.items():
        table.add_row(name, str(level["classes"]), _cell(level["AUROC"], 3))
    return table


def _pairs(figures: Figures) -> Table:
    table = _table("", "")
    table.show_header = False
    for name, value in figures.items():
        table.add_row(name, f"{value:.4f}")
    return table


def _drafts(methods: Mapping[str, Figures]) -> Table:
    table = _table("", *methods)
    for figure, words in DRAFTS.items():
        table.add_row(words, *(f"{scores[figure]:.1f}" for scores in methods.values()))
    return table


def _cell(value: float | Sequence[float] | None, digits: int) -> str:
    if value is None:
        return "too few ECGs"
    if isinstance(value, int | float):
        return f"{value:.1f}"
    mean, low, high = value
    return f"{mean:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
