"""The part of a cleaned record that the model looks at."""

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Signal
from cardex.signals.cleaning import seconds_to_samples

BLOCK_S = 2.0
"""Length of a block: it holds a beat wherever the heart rate is 30 beats a minute or more."""
ARTEFACT = 5.0
"""A block is bad if its range is this many times the usual one of its lead: a loose electrode
reaches that, a premature beat does not."""
DROPOUT = 0.1
"""A block is bad if its range is under this share of the usual one."""
NOISY = 4.0
"""A block is bad if its noise is this many times the usual one of its lead."""


def best_window(signal: Signal, samples: int, rate: float) -> Signal:
    """Cut the `samples` with the fewest bad blocks; of equally good ones that nearest the middle.

    A block of a lead is bad if its range is far above or far below the lead's usual range, or its
    noise is far above the lead's usual noise. An arrhythmia makes no block bad.

    Args:
        signal: (leads, n) float32, cleaned.
        samples: length of the window.
        rate: Hz.

    Returns:
        (leads, samples) float32. A shorter record is put in the middle of zeros.
    """
    if signal.shape[-1] <= samples:
        return centre_window(signal, samples)
    start = best_start(signal, samples, rate)
    return np.ascontiguousarray(signal[:, start : start + samples])


def best_start(signal: Signal, samples: int, rate: float) -> int:
    """Return the first sample of the best window; 0 where the record is not longer than it."""
    spare = signal.shape[-1] - samples
    if spare <= 0:
        return 0
    block = seconds_to_samples(BLOCK_S, rate)
    bad = _bad_leads(signal, block)
    starts = np.unique(np.append(np.arange(0, spare, max(1, block // 2)), (spare // 2, spare)))
    # the last block is longer, so that a window may lie wholly in it
    first = np.minimum(starts // block, bad.size - 1)
    last = np.minimum(-(-(starts + samples) // block), bad.size)
    totals = np.append(0, np.cumsum(bad))
    found = totals[last] - totals[first]
    order = np.lexsort((np.abs(starts - spare // 2), found))
    return int(starts[order[0]])


def centre_window(signal: Signal, samples: int) -> Signal:
    """Cut the middle `samples` of (leads, n), or pad a shorter signal with zeros on both sides."""
    missing = samples - signal.shape[-1]
    if missing > 0:
        left = missing // 2
        return np.pad(signal, ((0, 0), (left, missing - left)))
    start = -missing // 2
    return signal[:, start : start + samples]


def _bad_leads(signal: Signal, block: int) -> NDArray[np.int64]:
    """Count the bad leads of each block: (blocks,) int64; the last block is up to twice as long."""
    bounds = np.arange(0, max(1, signal.shape[-1] - block + 1), block)
    tops = np.maximum.reduceat(signal, bounds, axis=-1)
    spans = tops - np.minimum.reduceat(signal, bounds, axis=-1)  # (leads, blocks)
    turns = np.abs(np.diff(signal, n=2, axis=-1, append=signal[:, -2:]))
    lengths = np.diff(np.append(bounds, signal.shape[-1]))
    noise = np.add.reduceat(turns, bounds, axis=-1) / lengths
    usual_span = np.median(spans, axis=-1, keepdims=True)
    usual_noise = np.median(noise, axis=-1, keepdims=True)
    bad = (spans > ARTEFACT * usual_span) | (spans < DROPOUT * usual_span)
    bad |= noise > NOISY * usual_noise
    return np.asarray(bad.sum(axis=0), dtype=np.int64)
