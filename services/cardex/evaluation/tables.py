"""The figures of an evaluation as Markdown, for the pages that state them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cardex.evaluation.markdown import Found, bracket, line, subset_heads, table
from cardex.evaluation.protocols import CASES, LANGUAGES, NOVELTY
from cardex.evaluation.retrieval import JACCARD_AT, NDCG_AT
from cardex.evaluation.show import DRAFTS, OF_INTEREST
from cardex.evaluation.site_tables import held_out_sites, probabilities, sites


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
CASE_WAYS = ("REPORT", "ECG", "BOTH", "majority", "chance")
CASE_FIGURES = {
    "R@1": "the same text, R@1",
    "R@5": "the same text, R@5",
    "R@10": "the same text, R@10",
    f"jaccard@{JACCARD_AT}": f"Jaccard index of the first {JACCARD_AT} texts' statements",
    f"nDCG@{NDCG_AT}": f"nDCG of the first {NDCG_AT} by that index",
}
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
        lines.append(
            "Weights of losses, votes, agreement and commonness were chosen on this fold too, which"
            " flatters these figures."
        )
    return "\n".join(lines)


def retrieval(found: Found) -> str:
    """Return all figures of retrieval, with the baselines and the first paper's figures."""
    return _retrieval(found, (*ABNORMAL, *STRICT, *SAME_TEXT, *CLINICAL), paper=True)


def quality(found: Found) -> str:
    """Return the few figures that say most."""
    rows = [
        ["superclasses by name, seen in training, macro AUROC", *cells, "0.500", "0.500"]
        for name, cells in _levels(found)
        if name == "superclass"
    ]
    short = _retrieval(found, SHORT, paper=False)
    return "\n".join([short, *(line(row) for row in rows)])


def zero_shot(found: Found) -> str:
    """Return the macro AUROC of each level; the number of judged classes in square brackets."""
    rows = [[name, *cells] for name, cells in _levels(found)]
    return table(["level", *subset_heads(found)], rows)


def statements(found: Found) -> str:
    """Return the AUROC of the statements of interest, also on the ECGs that are in mV."""
    rows = []
    for code in OF_INTEREST:
        for words, pick in (("", _every), (", ECGs in mV", _calibrated)):
            cells = [_statement(pick(figures).get(code)) for figures in found["figures"].values()]
            rows.append([f"{code}{words}", *cells])
    return table(["AUROC", *subset_heads(found)], rows)


def languages(found: Found) -> str:
    """Return the macro AUROC of the statements' names in each language, and how they differ."""
    by_subset = [figures.get(LANGUAGES) for figures in found["figures"].values()]
    known = [each for each in by_subset if each]
    if len(known) != len(by_subset):
        return "Not measured."
    rows = []
    for language in known[0]["AUROC"]:
        rows.append([language, *(bracket(each["AUROC"][language], 3) for each in known)])
        if language in known[0]["difference"]:
            gaps = [bracket(each["difference"][language], 4) for each in known]
            rows.append([f"{language}, difference from en", *gaps])
    for pair in known[0]["order"]:
        orders = [f"{each['order'][pair]:.3f}" for each in known]
        rows.append([f"Spearman correlation of the order, {pair}", *orders])
    rows.append(["statements", *(str(len(each["statements"])) for each in known)])
    return table(["macro AUROC", *subset_heads(found)], rows)


def out_of_distribution(found: Found) -> str:
    """Return how many ECGs are called unlike the training ECGs, as they are and changed."""
    by_subset = [figures.get(NOVELTY) for figures in found["figures"].values()]
    if not all(by_subset):
        return "Not measured: these models came without `novelty.json`."
    names = list(by_subset[0] or {})
    rows = [[name, *(bracket(each[name], 1) for each in by_subset if each)] for name in names]
    return table(["per cent are marked", *subset_heads(found)], rows)


def drafts(found: Found) -> str:
    """Return the scores of drafts, and of the nearest and the commonest report."""
    rows = [
        [name, method, *(f"{scores[figure]:.1f}" for figure in DRAFTS)]
        for name, figures in found["figures"].items()
        for method, scores in figures["drafts"].items()
    ]
    return table(["ECGs", "per cent", *DRAFTS.values()], rows)


def cases(found: Found) -> str:
    """Return how an archive of cases is found: each nearness, and what it has more than REPORT."""
    by_subset = [figures.get(CASES) for figures in found["figures"].values()]
    known = [each for each in by_subset if each]
    if len(known) != len(by_subset):
        return "Not measured."
    limits = [bracket(each["archive"]["limit"], 1) for each in known]
    rows = [["the text is in the archive: the limit of every R", *limits]]
    for figure, words in CASE_FIGURES.items():
        digits = 1 if figure.startswith("R@") else 3
        for way in CASE_WAYS:
            cells = [bracket(each["figures"][way][figure], digits) for each in known]
            rows.append([f"{words}, {way}", *cells])
        for way in ("ECG", "BOTH"):
            gaps = [bracket(each["more than REPORT"][way][figure], digits) for each in known]
            rows.append([f"{words}, {way} less REPORT", *gaps])
    there = known[0]["archive"]
    head = f"{there['cases']:,} cases, {there['texts']:,} texts"
    return table([head, *subset_heads(found)], rows)


def cases_short(found: Found) -> str:
    """Return the few of these figures that say most."""
    by_subset = [figures.get(CASES) for figures in found["figures"].values()]
    known = [each for each in by_subset if each]
    if len(known) != len(by_subset):
        return "Not measured."
    rows = [
        [f"{CASE_FIGURES[figure]}, {way}"]
        + [bracket(each["figures"][way][figure], digits) for each in known]
        for figure, digits in (("R@5", 1), (f"jaccard@{JACCARD_AT}", 3))
        for way in ("REPORT", "ECG", "BOTH", "majority")
    ]
    return table(["an archive of cases", *subset_heads(found)], rows)


def reranking(found: Found) -> str:
    """Return what re-ranking changes in the figures that say most."""
    if not all("re-ranked" in figures for figures in found["figures"].values()):
        return "Not measured: these models have no matcher."
    again = next(iter(found["figures"].values()))["re-ranked"]
    heads, rows = [f"the {again['count']} nearest re-ranked", *subset_heads(found)], []
    for row in (STRICT[0], SAME_TEXT[0], *CLINICAL):
        for words, pick in (("", _plain), (", re-ranked", _again)):
            cells = [
                bracket(pick(figures)[row.protocol]["model"][row.figure], row.digits)
                for figures in found["figures"].values()
            ]
            rows.append([row.words + words, *cells])
    return table(heads, rows)


def card(found: Found) -> str:
    """Return the figures of a model card."""
    tables = [measured(found), _retrieval(found, (*ABNORMAL, *STRICT, *SAME_TEXT, *CLINICAL))]
    if any("zero-shot" in figures for figures in found["figures"].values()):
        words = (
            "Detection by the statements' names, which the models have seen in training: macro"
            " AUROC, in\nsquare brackets the number of classes:"
        )
        tables += [words, zero_shot(found)]
    return "\n\n".join(tables)


BLOCKS: Mapping[str, Callable[[Found], str]] = {
    "measured": measured,
    "quality": quality,
    "retrieval": retrieval,
    "zero-shot": zero_shot,
    "statements": statements,
    "languages": languages,
    "probabilities": probabilities,
    "sites": sites,
    "held-out-sites": held_out_sites,
    "out-of-distribution": out_of_distribution,
    "drafts": drafts,
    "cases": cases,
    "cases-short": cases_short,
    "re-ranking": reranking,
    "card": card,
}
"""What a page may hold: the name of each block and what writes it."""


def _retrieval(found: Found, rows: Sequence[Row], *, paper: bool = False) -> str:
    """Return rows with the model on each subset, and the baselines on the first one."""
    by_subset = list(found["figures"].values())
    heads = ["", *subset_heads(found), "majority", "chance"]
    lines = []
    for row in rows:
        own = [figures.get(row.protocol, {}) for figures in by_subset]
        cells = [_figure(each, "model", row) for each in own]
        cells += [_figure(own[0], method, row, alone=True) for method in ("majority", "chance")]
        lines.append([row.words, *cells, *([row.paper] if paper else [])])
    return table([*heads, *(["Qiu et al. 2023"] if paper else [])], lines)


def _figure(protocol: Mapping[str, Any], method: str, row: Row, *, alone: bool = False) -> str:
    if method not in protocol:
        return ""
    value = protocol[method][row.figure]
    return f"{value[0]:.{row.digits}f}" if alone else bracket(value, row.digits)


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
    return f"{bracket(level['AUROC'], 3)} [{level['classes']}]"


def _every(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = figures["statements"]
    return found


def _calibrated(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = figures["statements of calibrated ecgs"]["statements"]
    return found


def _statement(found: Mapping[str, Any] | None) -> str:
    return f"{bracket(found['AUROC'], 3)} [{found['positive']}]" if found else "too few"


def _plain(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    return figures


def _again(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = figures["re-ranked"]["by_weight"][0]
    return found
