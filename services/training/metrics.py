"""Figures of retrieval and detection, from scores alone."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

RANKS = (1, 5, 10)
CLINICAL = 5
MIN_POSITIVE = 5
Scores = NDArray[np.float32]


def ranks(scores: Scores, own: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Return the rank, from 0, of each ECG's own place in (ECGs, gallery); ties fall at random."""
    order = _order(scores, random)
    return np.asarray((order == own[:, None]).argmax(axis=1), dtype=np.int64)


def by_text(scores: Scores, columns: NDArray[np.int64]) -> Scores:
    """Reduce (ECGs, gallery) to (ECGs, texts): the best of the entries with the same text."""
    best = np.full((len(scores), int(columns.max()) + 1), -np.inf, dtype=np.float32)
    for entry, column in enumerate(columns):
        best[:, column] = np.maximum(best[:, column], scores[:, entry])
    return best


def recall(found: NDArray[np.int64]) -> dict[str, float]:
    """Return R@k in per cent of ranks from 0."""
    return {f"R@{k}": round(100.0 * float((found < k).mean()), 2) for k in RANKS}


def jaccard(
    scores: Scores,
    true: NDArray[np.bool_],
    gallery: NDArray[np.bool_],
    random: np.random.Generator,
) -> float:
    """Return the mean Jaccard index of the first five entries' statements with the ECG's own.

    Args:
        scores: (ECGs, gallery).
        true: (ECGs, codes).
        gallery: (gallery, codes).
        random: orders equal scores.
    """
    found = gallery[_order(scores, random)[:, :CLINICAL]]  # (ECGs, 5, codes)
    shared = (found & true[:, None]).sum(axis=-1)
    either = (found | true[:, None]).sum(axis=-1)
    return round(float((shared / np.maximum(either, 1)).mean()), 4)


def _order(scores: Scores, random: np.random.Generator) -> NDArray[np.int64]:
    return np.lexsort((random.random(scores.shape), -scores), axis=1)


def macro_auroc(scores: Scores, true: NDArray[np.bool_]) -> float:
    """Return the mean AUROC of the columns that have `MIN_POSITIVE` of both kinds."""
    areas = []
    for column, labels in zip(scores.T, true.T, strict=True):
        positive, negative = int(labels.sum()), int((~labels).sum())
        if min(positive, negative) >= MIN_POSITIVE:
            ranked = rankdata(column)[labels].sum()
            areas.append((ranked - positive * (positive + 1) / 2) / (positive * negative))
    return round(float(np.mean(areas)), 4)
