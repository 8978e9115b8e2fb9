"""The figures of an evaluation on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cardex.evaluation.markdown import bracket
from cardex.evaluation.protocols import CASES, LANGUAGES, NOVELTY

METHODS = ("model", "majority", "chance")
PROTOCOLS = {
    "paper": "abnormal",
    "paper back": "abnormal back",
    "strict": "own report",
    "strict back": "report to ECG",
    "distinct": "same text",
    "clinical": "statements",
}
DRAFTS = {
    "bleu_1": "BLEU-1", "bleu_2": "BLEU-2", "bleu_3": "BLEU-3", "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L", "meteor": "METEOR", "statement_f1": "statement F1",
}  # fmt: skip
SCORES = ("Brier score", "Brier score of the base rates", "difference")
OF_INTEREST = ("LVH", "VCLVH", "AFIB")
"""Statements that are shown alone: hypertrophy is told by millivolts, fibrillation by rhythm."""

Figures = Mapping[str, Any]


def show(console: Console, found: Figures) -> None:
    """Print the figures as tables, those of each subset of the ECGs under its name."""
    console.print(f"[bold]{found['model_version']}[/], fold {found['fold']}", soft_wrap=True)
    for warning in found["warnings"]:
        console.print(Text(f"warning   {warning}", "yellow"), soft_wrap=True)
    for name, figures in found["figures"].items():
        console.print(
            f"[bold]{name}[/]: {figures['ecgs']} ECGs, gallery {figures['gallery']} reports,"
            f" {figures['distinct texts']} distinct; {figures['abnormal ecgs']} abnormal ECGs,"
            f" gallery {figures['abnormal gallery']} abnormal reports",
            soft_wrap=True,
        )
        if without := figures.get("ecgs without codes"):
            console.print(f"{without} ECGs without codes, which no statement measures")
        for title, table in _tables(figures):
            console.print(Text(title, "bold"))
            console.print(Padding(table, (0, 0, 1, 2)))
        if "difference" in figures:
            console.print(Text(f"difference from {found['against']} (95 % interval)", "bold"))
            console.print(Padding(_differences(figures["difference"]), (0, 0, 1, 2)))


def _tables(figures: Figures) -> list[tuple[str, Table]]:
    """Return the title and the table of every kind of figure that was measured."""
    found = []
    if set(PROTOCOLS) & set(figures):
        title = "retrieval, per cent, statements from 0 to 1 (95 % interval)"
        found.append((title, _retrieval(figures)))
    if "re-ranked" in figures:
        again = figures["re-ranked"]
        title = f"the {again['count']} nearest re-ranked, {again['ms_per_ecg']} ms an ECG"
        found += [
            (f"{title}, weight {by_weight['match_weight']:g}", _retrieval(by_weight))
            for by_weight in again["by_weight"]
        ]
    if CASES in figures:
        there = figures[CASES]["archive"]
        title = f"an archive of {there['cases']} cases with {there['texts']} texts (95 % interval)"
        found.append((title, _cases(figures[CASES])))
    if "zero-shot" in figures:
        found.append(("zero-shot macro AUROC (chance 0.5)", _zero_shot(figures["zero-shot"])))
        if set(OF_INTEREST) & set(figures["statements"]):
            found.append(("statements", _statements(figures)))
    if LANGUAGES in figures:
        title = "statements' names in each language as prompts, macro AUROC (95 % interval)"
        found.append((title, _languages(figures[LANGUAGES])))
        found.append(("the statements that differ most", _spread(figures[LANGUAGES])))
    if "probabilities" in figures:
        found.append(("probabilities of statements", _pairs(figures["probabilities"])))
    if "probabilities by site" in figures:
        title = "probabilities by site, also corrected to its shares"
        found.append((title, _sites(figures["probabilities by site"])))
    if NOVELTY in figures:
        title = "ECGs that are called unlike the training ECGs, per cent (95 % interval)"
        found.append((title, _pairs(figures[NOVELTY], digits=1)))
    if "drafts" in figures:
        found.append(("drafts, per cent", _drafts(figures["drafts"])))
    return found


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _retrieval(found: Figures) -> Table:
    table = _table("", *METHODS)
    for protocol, words in PROTOCOLS.items():
        if protocol not in found:
            continue
        table.add_row(Text(words, "dim"))
        for figure in found[protocol]["model"]:
            digits = 3 if protocol == "clinical" else 0 if figure == "RSUM" else 1
            cells = [_cell(found[protocol][method][figure], digits) for method in METHODS]
            table.add_row(f"  {figure}", *cells)
    return table


def _cases(found: Figures) -> Table:
    """Show each kind of nearness and the baselines, and what ECGs add to REPORT alone."""
    more = found["more than REPORT"]
    table = _table("", "", "less REPORT")
    for figure in found["figures"]["REPORT"]:
        table.add_row(Text(figure, "dim"))
        for way, values in found["figures"].items():
            gap = _difference(more[way][figure], _digits(figure)) if way in more else ""
            table.add_row(f"  {way}", _cell(values[figure], _digits(figure)), gap)
    return table


def _digits(figure: str) -> int:
    return 1 if figure.startswith("R@") else 3


def _zero_shot(levels: Figures) -> Table:
    table = _table("", "classes", "AUROC")
    for name, level in levels.items():
        table.add_row(name, str(level["classes"]), _cell(level["AUROC"], 3))
    return table


def _statements(figures: Figures) -> Table:
    calibrated = figures.get("statements of calibrated ecgs", {}).get("statements", {})
    table = _table("", "ECGs", "AUROC", "ECGs in mV", "AUROC")
    for code in OF_INTEREST:
        if code in figures["statements"]:
            cells = [
                cell
                for found in (figures["statements"], calibrated)
                for cell in _statement(found.get(code))
            ]
            table.add_row(code, *cells)
    return table


def _statement(found: Figures | None) -> tuple[str, str]:
    return (str(found["positive"]), _cell(found["AUROC"], 3)) if found else ("", _cell(None, 3))


def _languages(found: Figures) -> Table:
    table = _table("", "AUROC", "difference from English", "order as in English")
    for language, area in found["AUROC"].items():
        gap, order = found["difference"].get(language), found["order"].get(f"en-{language}")
        cells = [_difference(gap, 4), f"{order:.3f}"] if gap else []
        table.add_row(language, _cell(area, 3), *cells)
    return table


def _spread(found: Figures) -> Table:
    """Show the five statements whose areas are furthest apart between the languages."""
    names = list(found["AUROC"])
    statements = found["statements"].items()
    far = sorted(statements, key=lambda item: -np.ptp([item[1][name] for name in names]))[:5]
    table = _table("", "ECGs", *names)
    for code, each in far:
        table.add_row(code, str(each["positive"]), *(f"{each[name]:.3f}" for name in names))
    return table


def _pairs(figures: Figures, digits: int = 4) -> Table:
    table = _table("", "")
    table.show_header = False
    for name, value in figures.items():
        if name == "difference":
            table.add_row(name, _difference(value, digits))
        else:
            number = f"{value:.{digits}f}" if isinstance(value, float) else _cell(value, digits)
            table.add_row(name, number)
    return table


def _sites(sites: Figures) -> Table:
    table = _table("site", "ECGs", "Brier score", "base rates", "difference")
    for site, found in sites.items():
        score, base, gap = (found[name] for name in SCORES)
        table.add_row(
            site, str(found["ecgs"]), f"{score[0]:.4f}", f"{base[0]:.4f}", _difference(gap, 4)
        )
        for name, again in found.get("corrected", {}).items():
            score, gap = again["Brier score"], again["difference"]
            table.add_row(f" {name}", "", f"{score[0]:.4f}", "", _difference(gap, 4))
    return table


def _differences(found: Figures) -> Table:
    table = _table("", "")
    table.show_header = False
    for protocol, figures in found.items():
        table.add_row(Text(PROTOCOLS.get(protocol, protocol), "dim"))
        digits = 2 if protocol.split()[0] in ("paper", "strict", "distinct") else 4
        for figure, value in figures.items():
            table.add_row(f"  {figure}", _difference(value, digits))
    return table


def _difference(value: Sequence[float], digits: int) -> str:
    return bracket(value, digits, sign="+")


def _drafts(methods: Mapping[str, Figures]) -> Table:
    table = _table("", *methods)
    for figure, words in DRAFTS.items():
        if all(figure in scores for scores in methods.values()):
            table.add_row(words, *(f"{scores[figure]:.1f}" for scores in methods.values()))
    return table


def _cell(value: float | Sequence[float] | None, digits: int) -> str:
    if value is None:
        return "too few ECGs"
    if isinstance(value, int | float):
        return f"{value:.1f}" if isinstance(value, float) else str(value)
    return bracket(value, digits, between="-")
