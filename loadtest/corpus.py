"""Many made reports: between real ones that are alike; and what is nearest of them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding
from cardex.domain.reports import Report

NOISE = 0.05
"""Length of the noise that is added to an embedding of length 1.

ECGs score some 0.02 with their nearest reports, so that much more noise would outweigh every score.
"""
ALIKE = 16
_AT_ONCE = 64


def between(base: Embedding, count: int, seed: int) -> Embedding:
    """Return `count` embeddings of length 1: a row of `base`, moved towards one that is like it.

    Each lies anywhere on the line to one of the row's `ALIKE` nearest, plus noise.

    Args:
        base: (n, dimension) float32, of length 1.
        count: how many.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(count) % len(base)
    others = _alike(base)[rows, rng.integers(ALIKE, size=count)]
    found = rng.standard_normal((count, base.shape[1]), dtype=np.float32)
    found *= NOISE / np.sqrt(base.shape[1])
    part = rng.random((count, 1), dtype=np.float32)
    found += base[rows] * (1.0 - part) + base[others] * part
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _alike(base: Embedding) -> NDArray[np.intp]:
    """Return the rows nearest to each row, without itself: (n, ALIKE)."""
    found = []
    for first in range(0, len(base), _AT_ONCE):
        scores = base[first : first + _AT_ONCE] @ base.T
        scores[np.arange(len(scores)), np.arange(first, first + len(scores))] = -np.inf
        found.append(np.argpartition(-scores, ALIKE - 1, axis=1)[:, :ALIKE])
    return np.concatenate(found)


def copies(reports: list[Report], first: int, count: int) -> list[Report]:
    """Return reports number `first` and on: the real ones over and over, the number as id."""
    return [
        replace(reports[number % len(reports)], report_id=str(number))
        for number in range(first, first + count)
    ]


def exact_scores(corpus: Embedding, queries: Embedding, top_k: int) -> NDArray[np.float32]:
    """Return the highest scores of each query, falling: (queries, top_k)."""
    found = []
    for first in range(0, len(queries), _AT_ONCE):
        scores = queries[first : first + _AT_ONCE] @ corpus.T  # (at once, corpus)
        found.append(-np.sort(np.partition(-scores, top_k - 1, axis=1)[:, :top_k], axis=1))
    return np.concatenate(found)


def recall(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Return the mean share of the exact nearest that was found.

    Scores are compared and not ids, so that of reports with one score any will do.

    Args:
        found: (queries, k) scores of what was found.
        exact: (queries, k) from `exact_scores`.
    """
    lowest = exact[:, -1:] - 1e-5
    return float((found >= lowest).mean())
