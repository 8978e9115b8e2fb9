"""Encodings of a time series as a square image: GAF, MTF and RP.

All functions take a batch of series and work on the last axis. Formulas: Wang and Oates 2014 (GAF,
MTF), Eckmann 1987 (RP); the segmentation is that of piecewise aggregate approximation.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def paa(series: Floats, size: int) -> Floats:
    """Piecewise aggregate approximation: the mean of each of `size` segments.

    Args:
        series: (..., samples) float32.
        size: number of segments, at most `samples`.

    Returns:
        (..., size) float32.
    """
    bounds = segment_bounds(series.shape[-1], size)
    sums = np.add.reduceat(series, bounds[:-1], axis=-1)
    return (sums / np.diff(bounds)).astype(np.float32)


@lru_cache(maxsize=64)
def segment_bounds(samples: int, size: int) -> NDArray[np.int64]:
    """Return the bounds of `size` segments that cover `samples` samples: (size + 1,) int64."""
    if size > samples:
        raise ValueError(f"cannot cut {samples} samples into {size} segments")
    bounds = np.linspace(0, samples, size + 1).astype(np.int64)
    bounds.flags.writeable = False
    return bounds


def gasf(scaled: Floats) -> Floats:
    """Gramian angular summation field, cos(phi_i + phi_j) with phi = arccos(x~).

    Args:
        scaled: (..., n) float32 x~ in [-1, 1].

    Returns:
        (..., n, n) float32 in [-1, 1].
    """
    sine = _sine(scaled)
    # cos(a + b) as one product of two rank-2 factors: (..., n, 2) @ (..., 2, n)
    left = np.stack((scaled, -sine), axis=-1)
    right = np.stack((scaled, sine), axis=-2)
    field: Floats = left @ right
    return field


def gadf(scaled: Floats) -> Floats:
    """Gramian angular difference field, sin(phi_i - phi_j) with phi = arccos(x~).

    Args:
        scaled: (..., n) float32 x~ in [-1, 1].

    Returns:
        (..., n, n) float32 in [-1, 1], antisymmetric.
    """
    sine = _sine(scaled)
    left = np.stack((sine, -scaled), axis=-1)
    right = np.stack((scaled, sine), axis=-2)
    field: Floats = left @ right
    return field


def recurrence(
    series: Floats, dimension: int = 1, delay: int = 1, threshold: float | None = None
) -> Floats:
    """Recurrence plot of the trajectories (x_i, x_{i+tau}, .., x_{i+(m-1)tau}).

    Args:
        series: (..., n) float32.
        dimension: m, points of a trajectory.
        delay: tau, samples between them.
        threshold: eps; None gives the distances themselves.

    Returns:
        (..., k, k) float32, k = n - (m - 1) tau: the Euclidean distance of each two trajectories in
        the unit of the series, or 1 where it is at most eps and else 0.
    """
    size = series.shape[-1] - (dimension - 1) * delay
    distance = _distance(series[..., :size])
    if dimension > 1:
        distance *= distance
        for step in range(1, dimension):
            further = _distance(series[..., step * delay : step * delay + size])
            distance += further * further
        np.sqrt(distance, out=distance)
    return distance if threshold is None else (distance <= threshold).astype(np.float32)


def markov_transition_field(series: Floats, size: int, bins: int) -> Floats:
    """Markov transition field M_ij = W[bin(x_i), bin(x_j)], averaged over `size` x `size` blocks.

    W is the row-normalised matrix of first-order transitions between quantile bins. The mean of a
    block is H W H', where row s of H holds the share of segment s's samples in each bin, so the
    field of the full length is never built.

    Args:
        series: (..., samples) float32.
        size: side of the field, at most `samples`.
        bins: number of quantile bins.

    Returns:
        (..., size, size) float32 in [0, 1].
    """
    flat = series.reshape(-1, series.shape[-1])
    rows, samples = flat.shape
    labels = quantile_bins(flat, bins)  # (B, samples)
    pairs = labels[:, :-1] * bins
    pairs += labels[:, 1:]
    counts = _histogram(pairs, bins * bins).reshape(rows, bins, bins)
    transitions = counts / np.maximum(counts.sum(axis=-1, keepdims=True), np.float32(1.0))
    segments, lengths = _segments(samples, size)
    labels += bins * segments
    shares = _histogram(labels, size * bins).reshape(rows, size, bins)
    shares /= lengths[:, None]
    field = (shares @ transitions) @ np.ascontiguousarray(shares.transpose(0, 2, 1))
    blocks: Floats = field.reshape(*series.shape[:-1], size, size)
    return blocks


def quantile_bins(series: Floats, bins: int) -> NDArray[np.int64]:
    """Return the quantile bin of each sample: (B, samples) int64 in [0, bins).

    Edges are linearly interpolated quantiles; a sample on an edge belongs to the bin below it.
    """
    places = np.linspace(0.0, series.shape[-1] - 1, bins + 1)[1:-1]
    below = places.astype(np.int64)
    ordered = np.sort(series, axis=-1)  # faster than numpy's partition
    low, high = ordered[:, below], ordered[:, below + 1]
    edges = (low + (high - low) * (places - below)).astype(np.float32)  # (B, bins - 1)
    labels = np.zeros(series.shape, dtype=np.int8)
    for edge in edges.T:
        labels += (series > edge[:, None]).view(np.int8)
    return labels.astype(np.int64)


def rescale(series: Floats, axis: int | tuple[int, ...] = -1) -> Floats:
    """Rescale to [-1, 1] by the minimum and maximum along `axis`; a constant series becomes 0."""
    low = series.min(axis=axis, keepdims=True)
    span = series.max(axis=axis, keepdims=True) - low
    flat = span <= np.finfo(np.float32).tiny
    scaled: Floats = 2.0 * (series - low) / np.where(flat, 1.0, span) - 1.0
    return np.where(flat, np.float32(0.0), scaled)


def _sine(cosine: Floats) -> Floats:
    """Return sin(arccos(x)), which is never negative."""
    sine: Floats = np.sqrt(np.maximum(1.0 - cosine * cosine, 0.0))
    return sine


def _distance(series: Floats) -> Floats:
    difference: Floats = series[..., :, None] - series[..., None, :]
    return np.abs(difference, out=difference)


@lru_cache(maxsize=64)
def _segments(samples: int, size: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the segment of each sample, and the length of each segment."""
    lengths = np.diff(segment_bounds(samples, size))
    return np.repeat(np.arange(size), lengths), lengths.astype(np.float32)


def _histogram(labels: NDArray[np.int64], count: int) -> Floats:
    """Count each label per row: (B, n) int64 in [0, count) to (B, count); `labels` is changed."""
    rows = labels.shape[0]
    labels += np.arange(0, rows * count, count)[:, None]
    found = np.bincount(labels.ravel(), minlength=rows * count)
    return found.reshape(rows, count).astype(np.float32)
