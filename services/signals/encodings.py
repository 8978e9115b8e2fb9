"""Encodings of a time series as a square image: GAF, MTF and RP.

All functions take a batch of series and work on the last axis. Formulas: Wang and Oates 2014 (GAF,
MTF), Eckmann 1987 (RP); the segmentation is that of piecewise aggregate approximation.
"""

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


def segment_bounds(samples: int, size: int) -> NDArray[np.int64]:
    """Return the (size + 1,) start indices of `size` segments that cover `samples` samples."""
    if size > samples:
        raise ValueError(f"cannot cut {samples} samples into {size} segments")
    return np.linspace(0, samples, size + 1).astype(np.int64)


def gasf(series: Floats) -> Floats:
    """Gramian angular summation field, cos(phi_i + phi_j) with phi = arccos(x~).

    x~ is the series rescaled to [-1, 1] by its own minimum and maximum; a constant series is 0.

    Args:
        series: (..., n) float32.

    Returns:
        (..., n, n) float32 in [-1, 1].
    """
    scaled = rescale(series)
    sine = np.sqrt(np.clip(1.0 - scaled * scaled, 0.0, 1.0))
    # cos(a + b) as one product of two rank-2 factors: (..., n, 2) @ (..., 2, n)
    left = np.stack((scaled, -sine), axis=-1)
    right = np.stack((scaled, sine), axis=-2)
    field: Floats = left @ right
    return field


def recurrence(series: Floats) -> Floats:
    """Recurrence plot without a threshold, embedding dimension 1: |x_i - x_j|.

    Args:
        series: (..., n) float32.

    Returns:
        (..., n, n) float32, same unit as the series.
    """
    distance: Floats = series[..., :, None] - series[..., None, :]
    return np.abs(distance, out=distance)


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
    pairs = labels[:, :-1] * bins + labels[:, 1:]
    counts = _histogram(pairs, bins * bins).reshape(rows, bins, bins)
    totals = counts.sum(axis=-1, keepdims=True)
    transitions = counts / np.maximum(totals, np.float32(1.0))
    lengths = np.diff(segment_bounds(samples, size))
    segments = np.repeat(np.arange(size), lengths)  # (samples,)
    shares = _histogram(segments * bins + labels, size * bins).reshape(rows, size, bins)
    shares /= lengths[:, None].astype(np.float32)
    field = (shares @ transitions) @ np.ascontiguousarray(shares.transpose(0, 2, 1))
    blocks: Floats = field.reshape(*series.shape[:-1], size, size)
    return blocks


def _histogram(labels: NDArray[np.int64], count: int) -> Floats:
    """Count each label per row: (B, n) int64 in [0, count) to (B, count) float32."""
    rows = labels.shape[0]
    offsets = np.arange(rows)[:, None] * count
    found = np.bincount((labels + offsets).ravel(), minlength=rows * count)
    return found.reshape(rows, count).astype(np.float32)


def quantile_bins(series: Floats, bins: int) -> NDArray[np.int64]:
    """Return the quantile bin of each sample: (B, samples) int64 in [0, bins).

    Edges are linearly interpolated quantiles; a sample on an edge belongs to the bin below it.
    """
    ordered = np.sort(series, axis=-1)
    places = np.linspace(0.0, series.shape[-1] - 1, bins + 1)[1:-1]
    below = places.astype(np.int64)
    low, high = ordered[:, below], ordered[:, below + 1]
    edges = low + (high - low) * (places - below)  # (B, bins - 1) float64
    labels = np.zeros(series.shape, dtype=np.int8)
    for edge in edges.T:
        labels += (series > edge[:, None]).view(np.int8)
    return labels.astype(np.int64)


def rescale(series: Floats) -> Floats:
    """Rescale each series to [-1, 1] by its own minimum and maximum; a constant one becomes 0."""
    low = series.min(axis=-1, keepdims=True)
    span = series.max(axis=-1, keepdims=True) - low
    flat = span <= np.finfo(np.float32).tiny
    scaled: Floats = 2.0 * (series - low) / np.where(flat, 1.0, span) - 1.0
    return np.where(flat, np.float32(0.0), scaled)
