"""The figures of an evaluation as Markdown, for the pages that state them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cardex.evaluation.show import DRAFTS, OF_INTEREST

Found = Mapping[str, Any]
"""What `cardex evaluate --json` prints; of the keys beside "figures" some may be missing."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of retrieval in a table.

    Attributes:
        words: what the figure is called.
        protocol: its protocol.
        figure: its name in the protocol.
        digits: after the decimal point.
        paper: the same figure of Qiu et al. 2023, "" where they give none.
    """

    words: str
    protocol: str
    figure: str
    digits: int = 1
    paper: str = ""


ABNORMAL = (
    Row("abnormal ECGs, the own report, R@1", "paper", "R@1", paper="7.88"),
    Row("R@5", "paper", "R@5", paper="24.51"),
    Row("R@10", "paper", "R@10", paper="34.04"),
    Row("abnormal reports, the own ECG, R@1", "paper back", "R@1", paper="8.27 of 1,269"),
    Row("R@5", "paper back", "R@5", paper="23.96 of 1,269"),
    Row("R@10", "paper back", "R@10", paper="34.91 of 1,269"),
    Row("RSUM of these six", "paper", "RSUM", paper="133.57, both ways of 1,269"),
)
STRICT = (
    Row("the own report, R@1", "strict", "R@1"),
    Row("R@5", "strict", "R@5"),
    Row("R@10", "strict", "R@10"),
    Row("the own ECG, R@1", "strict back", "R@1"),
    Row("R@5", "strict back", "R@5"),
    Row("R@10", "strict back", "R@10"),
    Row("RSUM of these six", "strict", "RSUM"),
)
SAME_TEXT = (
    Row("the same text, each text once, R@1", "distinct", "R@1"),
    Row("R@5", "distinct", "R@5"),
    Row("R@10", "distinct", "R@10"),
)
CLINICAL = (
    Row("Jaccard index of the first 5 reports' statements", "clinical", "jaccard@5", 3),
    Row("nDCG of the first 10 by that index", "clinical", "nDCG@10", 3),
)
SHORT = (
    Row("abnormal ECGs, the own one of abnormal reports, R@10, per cent", "paper", "R@10"),
    Row("the same report text, R@1, per cent", "distinct", "R@1"),
    Row("Jaccard index of the first 5 reports' statements", "clinical", "jaccard@5", 3),
)


def measured(found: Found) -> str:
    """Return a sentence on what was measured, where and when."""
    figures = found["figures"]
    every = next(iter(figures.values()))
    parts = ", ".join(f"{each['ecgs']} {name}" for name, each in figures.items() if each != every)
    lines = [
        f"Measured on {every['ecgs']} held-out ECGs{f' ({parts})' if parts else ''} of patients",
        f"that the models have not seen, in a gallery of {every['gallery']} reports"
        f" ({every['distinct texts']} distinct texts).",
        f"{every['abnormal ecgs']} of the ECGs are abnormal; they are also searched alone among"
        f" {every['abnormal gallery']} abnormal",
        "reports. In brackets the 95 % bootstrap interval over patients.",
    ]
    if "date" in found:
        lines.append(
            f"`{found['model_version']}`, fold {found['fold']}, `make figures`, {found['date']},"
            f" {found['machine']}."
        )
    return "\n".join(lines)


def retrieval(found: Found) -> str:
    """Return all figures of retrieval, with the baselines and the first paper's figures."""
    return _retrieval(found, (*ABNORMAL, *STRICT, *SAME_TEXT, *CLINICAL), paper=True)


def quality(found: Found) -> str:
    """Return the few figures that say most."""
    rows = [
        ["superclasses, zero-shot macro AUROC", *cells, "0.500", "0.500"]
        for name, cells in _levels(found)
        if name == "superclass"
    ]
    table = _retrieval(found, SHORT, paper=False)
    return "\n".join([table, *(_line(row) for row in rows)])


def zero_shot(found: Found) -> str:
    """Return the macro AUROC of each level; the number of judged classes in square brackets."""
    rows = [[name, *cells] for name, cells in _levels(found)]
    return markdown(["level", *_heads(found)], rows)


def statements(found: Found) -> str:
    """Return the AUROC of the statements of interest, also on the ECGs that are in mV."""
    rows = []
    for code in OF_INTEREST:
        for words, pick in (("", _every), (", ECGs in mV", _calibrated)):
            cells = [_statement(pick(figures).get(code)) for figures in found["figures"].values()]
            rows.append([f"{code}{words}", *cells])
    return markdown(["AUROC", *_heads(found)], rows)


def probabilities(found: Found) -> str:
    """Return the Brier scores of the statements' probabilities, and of the base rates."""
    by_subset = [figures["probabilities"] for figures in found["figures"].values()]
    names = ("Brier score", "Brier score of the base rates", "difference")
    rows = [[name, *(_bracket(each[name], 4) for each in by_subset)] for name in names]
    name = "expected calibration error"
    rows.append([name, *(f"{each[name]:.4f}" for each in by_subset)])
    return markdown([f"{by_subset[0]['statements']} statements", *_heads(found)], rows)


def sites(found: Found) -> str:
    """Return the Brier scores at each site that has enough ECGs, of all ECGs measured."""
    every = next(iter(found["figures"].values()))
    rows = [
        [
            site, str(each["ecgs"]), _bracket(each["Brier score"], 4),
            _bracket(each["Brier score of the base rates"], 4), _bracket(each["difference"], 4),
        ]
        for site, each in every.get("probabilities by site", {}).items()
    ]  # fmt: skip
    return markdown(["site", "ECGs", "Brier score", "of the site's base rates", "difference"], rows)


def drafts(found: Found) -> str:
    """Return the scores of drafts, and of the nearest and the commonest report."""
    rows = [
        [name, method, *(f"{scores[figure]:.1f}" for figure in DRAFTS)]
        for name, figures in found["figures"].items()
        for method, scores in figures["drafts"].items()
    ]
    return markdown(["ECGs", "per cent", *DRAFTS.values()], rows)


def reranking(found: Found) -> str:
    """Return what re-ranking changes in the figures that say most."""
    if not all("re-ranked" in figures for figures in found["figures"].values()):
        return "Not measured: these models have no matcher."
    again = next(iter(found["figures"].values()))["re-ranked"]
    heads, rows = [f"the {again['count']} nearest re-ranked", *_heads(found)], []
    for row in (STRICT[0], SAME_TEXT[0], *CLINICAL):
        for words, pick in (("", _plain), (", re-ranked", _again)):
            cells = [
                _bracket(pick(figures)[row.protocol]["model"][row.figure], row.digits)
                for figures in found["figures"].values()
            ]
            rows.append([row.words + words, *cells])
    return markdown(heads, rows)


def card(found: Found) -> str:
    """Return the figures of a model card."""
    tables = [measured(found), _retrieval(found, (*ABNORMAL, *STRICT, *SAME_TEXT, *CLINICAL))]
    if any("zero-shot" in figures for figures in found["figures"].values()):
        words = (
            "Zero-shot macro AUROC from the statements' descriptions alone, in square brackets the"
            " number\nof classes:"
        )
        tables += [words, zero_shot(found)]
    return "\n\n".join(tables)


BLOCKS: Mapping[str, Callable[[Found], str]] = {
    "measured": measured,
    "quality": quality,
    "retrieval": retrieval,
    "zero-shot": zero_shot,
    "statements": statements,
    "probabilities": probabilities,
    "sites": sites,
    "drafts": drafts,
    "re-ranking": reranking,
    "card": card,
}
"""What a page may hold: the name of each block and what writes it."""


def _retrieval(found: Found, rows: Sequence[Row], *, paper: bool = False) -> str:
    """Return rows with the model on each subset, and the baselines on the first one."""
    by_subset = list(found["figures"].values())
    heads = ["", *_heads(found), "majority", "chance"]
    lines = []
    for row in rows:
        own = [figures.get(row.protocol, {}) for figures in by_subset]
        cells = [_figure(each, "model", row) for each in own]
        cells += [_figure(own[0], method, row, alone=True) for method in ("majority", "chance")]
        lines.append([row.words, *cells, *([row.paper] if paper else [])])
    return markdown([*heads, *(["Qiu et al. 2023"] if paper else [])], lines)


def _figure(protocol: Mapping[str, Any], method: str, row: Row, *, alone: bool = False) -> str:
    if method not in protocol:
        return ""
    value = protocol[method][row.figure]
    return f"{value[0]:.{row.digits}f}" if alone else _bracket(value, row.digits)


def _heads(found: Found) -> list[str]:
    return [f"{name} ({figures['ecgs']} ECGs)" for name, figures in found["figures"].items()]


def _levels(found: Found) -> list[tuple[str, list[str]]]:
    """Return every level that some subset can judge, with its cells."""
    by_subset = [figures.get("zero-shot", {}) for figures in found["figures"].values()]
    return [
        (name, [_level(levels.get(name)) for levels in by_subset])
        for name in by_subset[0]
        if any(levels.get(name, {}).get("AUROC") for levels in by_subset)
    ]


def _level(level: Mapping[str, Any] | None) -> str:
    if not level or not level["AUROC"]:
        return ""
    return f"{_bracket(level['AUROC'], 3)} [{level['classes']}]"


def _every(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = figures["statements"]
    return found


def _calibrated(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = figures["statements of calibrated ecgs"]["statements"]
    return found


def _statement(found: Mapping[str, Any] | None) -> str:
    return f"{_bracket(found['AUROC'], 3)} [{found['positive']}]" if found else "too few"


def _plain(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    return figures


def _again(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = figures["re-ranked"]["by_weight"][0]
    return found


def _bracket(values: Sequence[float], digits: int) -> str:
    mean, low, high = values
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; every row has as many cells as there are heads."""
    return "\n".join([_line(heads), "|---" * len(heads) + "|", *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
