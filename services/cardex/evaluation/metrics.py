"""Figures of retrieval and detection, computed from scores; most have one value per query."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

RANKS = (1, 5, 10)
MIN_POSITIVE = 5
Scores = NDArray[np.floating[Any]]
Values = NDArray[np.float64]


def ranks(scores: Scores, own: NDArray[np.int64]) -> tuple[Values, Values]:
    """For each query, count the gallery entries that score above, and equal to, the true one.

    Args:
        scores: (queries, gallery).
        own: (queries,) the column of each query's true entry.

    Returns:
        (queries,) entries that score higher, and (queries,) that score equally, itself included.
        Scores that are no numbers are equal to one another, and lower than all others.
    """
    numbers = np.where(np.isnan(scores), -np.inf, scores)
    found = numbers[np.arange(len(scores)), own][:, None]
    higher = (numbers > found).sum(axis=1)
    equal = (numbers == found).sum(axis=1)
    return higher.astype(np.float64), equal.astype(np.float64)


def recalls(scores: Scores, own: NDArray[np.int64]) -> Values:
    """Return (queries, len(RANKS)): the probability that the true entry is among the first k.

    Ties are taken to be in random order, so an entry that shares its score with others counts
    with the probability that it comes early enough.
    """
    higher, equal = ranks(scores, own)
    return np.clip((np.array(RANKS) - higher[:, None]) / equal[:, None], 0.0, 1.0)


def expected_ranks(scores: Scores, own: NDArray[np.int64]) -> Values:
    """Return the expected rank of each query's true entry, the best being 1: (queries,)."""
    higher, equal = ranks(scores, own)
    return higher + (equal + 1.0) / 2.0


def nearest(scores: Scores, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return each query's `count` best columns, (queries, count); ties are in random order."""
    order = np.lexsort((random.random(scores.shape), -scores), axis=1)
    return np.asarray(order[:, :count], dtype=np.int64)


def agreement(true: NDArray[np.bool_], gallery: NDArray[np.bool_]) -> Values:
    """Return the Jaccard index of each query's statements with each gallery entry's.

    Args:
        true: (queries, S) statements of the queries.
        gallery: (gallery, S) statements of the entries.

    Returns:
        (queries, gallery), 0 to 1.
    """
    own, other = true.astype(np.float64), gallery.astype(np.float64)
    shared = own @ other.T
    either = own.sum(axis=1)[:, None] + other.sum(axis=1)[None] - shared
    return np.asarray(shared / np.maximum(either, 1.0), dtype=np.float64)


def mean_gain(gains: Values, order: NDArray[np.int64]) -> Values:
    """Return the mean gain of each query's first entries: (queries,).

    Args:
        gains: (queries, gallery).
        order: (queries, k) columns of the first entries.
    """
    return np.asarray(np.take_along_axis(gains, order, axis=1).mean(axis=1), dtype=np.float64)


def ndcg(gains: Values, order: NDArray[np.int64]) -> Values:
    """Return each query's normalised discounted cumulative gain (Järvelin 2002): (queries,).

    Args:
        gains: (queries, gallery).
        order: (queries, k) columns of the first entries, the best first.

    Returns:
        0 to 1; 0 where no entry has a gain, NaN where the gains are.
    """
    discounts = 1.0 / np.log2(np.arange(order.shape[1]) + 2.0)
    found = (np.take_along_axis(gains, order, axis=1) * discounts).sum(axis=1)
    ideal = (-np.sort(-gains, axis=1)[:, : order.shape[1]] * discounts).sum(axis=1)
    empty = np.where(np.isnan(ideal), np.nan, 0.0)
    return np.asarray(np.divide(found, ideal, out=empty, where=ideal > 0))


def aurocs(scores: Scores, true: NDArray[np.bool_], least: int = MIN_POSITIVE) -> Values:
    """Return the area under the ROC curve of each column of (ECGs, S) scores and truths: (S,).

    It is computed from the rank sum (Mann-Whitney), and NaN where fewer than `least` ECGs are
    positive, or negative.
    """
    areas = np.full(scores.shape[1], np.nan)
    for place, (column, labels) in enumerate(zip(scores.T, true.T, strict=True)):
        positive, negative = int(labels.sum()), int((~labels).sum())
        if min(positive, negative) >= least:
            ranked = rankdata(column)[labels].sum()
            areas[place] = (ranked - positive * (positive + 1) / 2) / (positive * negative)
    return areas


def resamples(groups: NDArray[np.int64], count: int, seed: int) -> list[NDArray[np.int64]]:
    """Draw `count` bootstrap samples of row numbers; all rows of a group are drawn together.

    Args:
        groups: (rows,) group of each row, such as the patient.
        count: number of samples.
        seed: of the random generator.
    """
    random = np.random.default_rng(seed)
    names, inverse = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(inverse == place) for place in range(len(names))]
    return [
        np.concatenate([members[place] for place in random.integers(0, len(names), len(names))])
        for _ in range(count)
    ]
