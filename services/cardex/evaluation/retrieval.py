"""Measures retrieval by the protocols of docs/evaluation.md, with baselines and intervals.

*strict*: only the ECG's own entry is a hit, though others may have the same text. *paper*: the same
among abnormal ECGs and reports alone. *distinct*: each text stands in the gallery once, and the
ECG's text is the hit. *clinical*: how well the statements of the first reports agree with the
ECG's, among ECGs and reports that have codes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.evaluation.intervals import Interval, Subset
from cardex.evaluation.metrics import (
    RANKS,
    Scores,
    Values,
    agreement,
    expected_ranks,
    mean_gain,
    ndcg,
    nearest,
    recalls,
)

MODEL, MAJORITY, CHANCE = METHODS = ("model", "majority", "chance")
JACCARD_AT, NDCG_AT = 5, 10
MEDIAN = "median rank"

Figures = dict[str, Values]
Answers = dict[str, dict[str, Figures]]
"""By protocol, method and figure the (ECGs,) value of each ECG, NaN where it was not asked."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The reports that are searched; the entries of the query ECGs come first.

    Attributes:
        texts: the distinct texts.
        columns: (entries,) index of each entry's text.
        statements: (entries, S) whether the entry's record has each statement; an entry without any
            has no codes.
        commonness: (texts,) number of training records that have the text.
    """

    texts: list[str]
    columns: NDArray[np.int64]
    statements: NDArray[np.bool_]
    commonness: Scores


def measure(
    model: Scores, back: Scores, gallery: Gallery, protocols: Sequence[str], seed: int = 0
) -> Answers:
    """Measure a model's scores, and those of the baselines, for each ECG.

    Args:
        model: (ECGs, texts) what the reports of each ECG are ranked by.
        back: (ECGs, texts) what the ECGs of each report are ranked by.
        gallery: the reports.
        protocols: some of "strict", "distinct" and "clinical".
        seed: of the order of ties.

    Returns:
        Recalls in per cent, ranks from 1, and agreement of statements from 0 to 1. "strict back",
        with reports as queries, comes with "strict", which also has the sum of both ways' recalls.
        "clinical" is missing where no ECG has a statement.
    """
    random = np.random.default_rng(seed)
    common = np.broadcast_to(gallery.commonness, model.shape)
    equal = np.zeros_like(model)  # equal scores count in expectation
    by_method: dict[str, tuple[Scores, Scores]] = {
        MODEL: (model, back),
        MAJORITY: (common, common),
        CHANCE: (equal, equal),
    }
    found: Answers = {}
    for method, scores in by_method.items():
        for protocol in protocols:
            for name, figures in _MEASURES[protocol](*scores, gallery, random).items():
                found.setdefault(name, {})[method] = figures
    return found


def measure_abnormal(
    model: Scores, back: Scores, gallery: Gallery, abnormal: NDArray[np.bool_]
) -> Answers:
    """Measure as *strict* on the abnormal ECGs: the protocol *paper*.

    Args:
        model: (ECGs, texts) what the reports of each ECG are ranked by.
        back: (ECGs, texts) what the ECGs of each report are ranked by.
        gallery: abnormal reports.
        abnormal: (ECGs,) which ECGs are asked; the values of the others are NaN.
    """
    return {
        name.replace("strict", "paper"): {
            method: {figure: _spread(values, abnormal) for figure, values in figures.items()}
            for method, figures in by_method.items()
        }
        for name, by_method in measure(
            model[abnormal], back[abnormal], gallery, ("strict",)
        ).items()
    }


def _spread(values: Values, where: NDArray[np.bool_]) -> Values:
    found = np.full(len(where), np.nan)
    found[where] = values
    return found


def _strict(
    scores: Scores, back: Scores, gallery: Gallery, _random: np.random.Generator
) -> dict[str, Figures]:
    own = np.arange(len(scores))
    there = _recall(scores[:, gallery.columns], own)
    again = _recall(np.ascontiguousarray(back[:, gallery.columns[: len(back)]].T), own)
    names = [f"R@{k}" for k in RANKS]
    total = np.sum([way[name] for way in (there, again) for name in names], axis=0)
    return {"strict": {**there, "RSUM": total}, "strict back": again}


def _distinct(
    scores: Scores, _back: Scores, gallery: Gallery, _random: np.random.Generator
) -> dict[str, Figures]:
    return {"distinct": _recall(scores, gallery.columns[: len(scores)])}


def _clinical(
    scores: Scores, _back: Scores, gallery: Gallery, random: np.random.Generator
) -> dict[str, Figures]:
    coded = np.asarray(gallery.statements.any(axis=1), dtype=np.bool_)
    asked = coded[: len(scores)]
    if not asked.any():
        return {}
    statements = gallery.statements[coded]
    gains = agreement(statements[: asked.sum()], statements)
    order = nearest(scores[asked][:, gallery.columns[coded]], NDCG_AT, random)
    figures = {
        f"jaccard@{JACCARD_AT}": mean_gain(gains, order[:, :JACCARD_AT]),
        f"nDCG@{NDCG_AT}": ndcg(gains, order),
    }
    return {"clinical": {name: _spread(values, asked) for name, values in figures.items()}}


_Measure = Callable[[Scores, Scores, Gallery, np.random.Generator], dict[str, Figures]]

_MEASURES: Mapping[str, _Measure] = {
    "strict": _strict,
    "distinct": _distinct,
    "clinical": _clinical,
}


def _recall(scores: Scores, own: NDArray[np.int64]) -> Figures:
    values = 100.0 * recalls(scores, own)
    by_rank = {f"R@{k}": values[:, place] for place, k in enumerate(RANKS)}
    return {**by_rank, MEDIAN: expected_ranks(scores, own)}


def summary(answers: Answers, subset: Subset) -> dict[str, Any]:
    """Return each figure over a subset's ECGs as [mean, low, high]; the median rank alone.

    Of few patients a figure is [mean]. A protocol that asked none of the ECGs is left out.
    """
    found: dict[str, Any] = {}
    for protocol, by_method in answers.items():
        for method, figures in by_method.items():
            for figure, values in figures.items():
                if np.isnan(values[subset.rows]).all():
                    continue
                found.setdefault(protocol, {}).setdefault(method, {})[figure] = (
                    float(np.nanmedian(values[subset.rows]))
                    if figure == MEDIAN
                    else _rounded(subset.interval(values), protocol)
                )
    return found


def differences(one: Answers, other: Answers, subset: Subset) -> dict[str, Any]:
    """Return what the model of `one` has more than that of `other`, as [mean, low, high].

    Both are compared ECG by ECG: the interval is of the mean of the differences.
    """
    found: dict[str, Any] = {}
    for protocol in one:
        for figure, values in one[protocol][MODEL].items():
            difference = subset.interval(values - other[protocol][MODEL][figure])
            if figure != MEDIAN and difference is not None:
                found.setdefault(protocol, {})[figure] = _rounded(difference, protocol)
    return found


def _rounded(found: Interval | None, protocol: str) -> list[float] | None:
    return found.rounded(4 if protocol == "clinical" else 2) if found else None
