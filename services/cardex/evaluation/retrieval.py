"""Measures retrieval by the protocols of docs/evaluation.md, with baselines and intervals.

*strict*: only the ECG's own entry is a hit, though others may have the same text. *distinct*: each
text stands in the gallery once, and the ECG's text is the hit. *clinical*: how well the statements
of the first reports agree with the ECG's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.evaluation.metrics import (
    RANKS,
    Scores,
    Values,
    agreement,
    mean_gain,
    median_rank,
    ndcg,
    nearest,
    recalls,
    resamples,
)

RESAMPLES = 1000
JACCARD_AT, NDCG_AT = 5, 10
STRICT = ("strict", "strict back")


@dataclass(frozen=True, slots=True)
class Gallery:
    """The reports that are searched; the entries of the query ECGs come first.

    Attributes:
        texts: the distinct texts.
        columns: (entries,) index of each entry's text.
        statements: (entries, S) whether the entry's record has each statement.
        commonness: (texts,) number of training records that have the text.
    """

    texts: list[str]
    columns: NDArray[np.int64]
    statements: NDArray[np.bool_]
    commonness: Scores


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the bounds of its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def rounded(self, factor: float, digits: int) -> list[float]:
        """Return mean, low and high, times `factor`."""
        return [round(factor * value, digits) for value in (self.mean, self.low, self.high)]


def measure(
    model: Scores, gallery: Gallery, patients: NDArray[np.int64], seed: int = 0
) -> dict[str, Any]:
    """Measure a model's scores, and those of the baselines.

    Args:
        model: (queries, texts) scores of each ECG with each of the gallery's texts.
        gallery: the reports.
        patients: (queries,) patient of each ECG; the bootstrap draws whole patients.
        seed: of the bootstrap and of the order of ties.

    Returns:
        By protocol and method ("model", "majority", "chance"), each figure as [mean, low, high].
    """
    random = np.random.default_rng(seed)
    samples = resamples(patients, RESAMPLES, seed)
    by_text: dict[str, Scores] = {
        "model": model,
        "majority": np.broadcast_to(gallery.commonness, model.shape),
        "chance": np.zeros_like(model),  # equal scores count in expectation
    }
    found: dict[str, Any] = {"strict": {}, "strict back": {}, "distinct": {}, "clinical": {}}
    for name, scores in by_text.items():
        entries = scores[:, gallery.columns]
        own = np.arange(len(model))
        found["strict"][name] = _recall(entries, own, samples)
        found["distinct"][name] = _recall(scores, gallery.columns[own], samples)
        found["clinical"][name] = _clinical(entries, gallery, samples, random)
        back = np.ascontiguousarray(entries[:, : len(model)].T)
        found["strict back"][name] = _recall(back, own, samples)
    found["RSUM"] = {
        name: round(sum(found[way][name][f"R@{k}"][0] for way in STRICT for k in RANKS), 2)
        for name in by_text
    }  # fmt: skip
    return found


def _recall(
    scores: Scores, own: NDArray[np.int64], samples: Sequence[NDArray[np.int64]]
) -> dict[str, Any]:
    values = recalls(scores, own)
    found: dict[str, Any] = {
        f"R@{k}": interval(values[:, place], samples).rounded(100.0, 2)
        for place, k in enumerate(RANKS)
    }
    found["median rank"] = median_rank(scores, own)
    return found


def _clinical(
    entries: Scores, gallery: Gallery, samples: Sequence[NDArray[np.int64]],
    random: np.random.Generator,
) -> dict[str, Any]:  # fmt: skip
    gains = agreement(gallery.statements[: len(entries)], gallery.statements)
    order = nearest(entries, NDCG_AT, random)
    jaccard = mean_gain(gains, order[:, :JACCARD_AT])
    return {
        f"jaccard@{JACCARD_AT}": interval(jaccard, samples).rounded(1.0, 4),
        f"nDCG@{NDCG_AT}": interval(ndcg(gains, order), samples).rounded(1.0, 4),
    }


def interval(values: Values, samples: Sequence[NDArray[np.int64]]) -> Interval:
    """Return the mean of (queries,) values and its 95 % bootstrap interval over the samples."""
    means = [values[rows].mean() for rows in samples]
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))
