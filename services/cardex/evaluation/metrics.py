"""Figures of retrieval and detection, one value a query, from scores alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

RANKS = (1, 5, 10)
MIN_POSITIVE = 5
Scores = NDArray[np.floating[Any]]
Values = NDArray[np.float64]


def ranks(scores: Scores, own: NDArray[np.int64]) -> tuple[Values, Values]:
    """Return of each query's own entry how many entries of (queries, gallery) score higher, and as high."""
    found = scores[np.arange(len(scores)), own][:, None]
    higher = (scores > found).sum(axis=1)
    equal = (scores == found).sum(axis=1)
    return higher.astype(np.float64), equal.astype(np.float64)


def recalls(scores: Scores, own: NDArray[np.int64]) -> Values:
    """Return (queries, len(RANKS)): the chance that the own entry is among the first k.

    Equal scores stand in random order, so an entry that shares its score with others counts in part.
    """
    higher, equal = ranks(scores, own)
    return np.clip((np.array(RANKS) - higher[:, None]) / equal[:, None], 0.0, 1.0)


def median_rank(scores: Scores, own: NDArray[np.int64]) -> float:
    """Return the median, from 1, of the own entry's expected rank."""
    higher, equal = ranks(scores, own)
    return float(np.median(higher + (equal + 1.0) / 2.0))


def nearest(scores: Scores, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return (queries, count) entries, the best first; equal scores fall at random."""
    order = np.lexsort((random.random(scores.shape), -scores), axis=1)
    return np.asarray(order[:, :count], dtype=np.int64)


def agreement(true: NDArray[np.bool_], gallery: NDArray[np.bool_]) -> Values:
    """Return the Jaccard index of statements, (queries, gallery), of (queries, S) and (gallery, S)."""
    own, other = true.astype(np.float64), gallery.astype(np.float64)
    shared = own @ other.T
    either = own.sum(axis=1)[:, None] + other.sum(axis=1)[None] - shared
    return np.asarray(shared / np.maximum(either, 1.0), dtype=np.float64)


def mean_gain(gains: Values, order: NDArray[np.int64]) -> Values:
    """Return the mean gain of each query's entries in `order` (queries, k), of (queries, gallery)."""
    return np.asarray(np.take_along_axis(gains, order, axis=1).mean(axis=1), dtype=np.float64)


def ndcg(gains: Values, order: NDArray[np.int64]) -> Values:
    """Return each query's normalised discounted cumulative gain (Järvelin 2002) of `order` (queries, k)."""
    discounts = 1.0 / np.log2(np.arange(order.shape[1]) + 2.0)
    found = (np.take_along_axis(gains, order, axis=1) * discounts).sum(axis=1)
    ideal = (-np.sort(-gains, axis=1)[:, : order.shape[1]] * discounts).sum(axis=1)
    return np.asarray(np.divide(found, ideal, out=np.zeros_like(found), where=ideal > 0))


def aurocs(scores: Scores, true: NDArray[np.bool_]) -> Values:
    """Return the AUROC of each column that has `MIN_POSITIVE` of both kinds, NaN of the others."""
    areas = np.full(scores.shape[1], np.nan)
    for place, (column, labels) in enumerate(zip(scores.T, true.T, strict=True)):
        positive, negative = int(labels.sum()), int((~labels).sum())
        if min(positive, negative) >= MIN_POSITIVE:
            ranked = rankdata(column)[labels].sum()
            areas[place] = (ranked - positive * (positive + 1) / 2) / (positive * negative)
    return areas


def resamples(groups: NDArray[np.int64], count: int, seed: int) -> list[NDArray[np.int64]]:
    """Draw bootstrap samples of rows, whole groups (a patient's records) at a time."""
    random = np.random.default_rng(seed)
    names, inverse = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(inverse == place) for place in range(len(names))]
    return [
        np.concatenate([members[place] for place in random.integers(0, len(names), len(names))])
        for _ in range(count)
    ]
