"""The beats of a cleaned ECG: finding the QRS complexes, and the median beat."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from cardex.domain.ecg import Signal
from cardex.signals.cleaning import seconds_to_samples

QRS_S = 0.1
"""Width of the moving window over the squared slope: that of a normal QRS complex."""
REFRACTORY_S = 0.18
"""Least time between two QRS complexes: 330 beats a minute."""
BLOCK_S = 2.0
"""Length of a block: it holds a beat wherever the heart rate is 30 beats a minute or more."""
THRESHOLD = 0.35
"""Share of the typical QRS energy from which a peak counts as a QRS complex, not as a T wave."""
CONTRAST = 4.0
"""Least energy of the typical peak over that of the quietest fifth: noise alone has less."""
MIN_SLOPE = 0.2
"""Root mean square slope, mV/s, that any lead with a QRS complex has."""
SEARCH_S = 0.08
"""The R peak is looked for up to this far from the peak of the energy."""
BEFORE_R = 0.4
"""Share of a median beat that lies before the R peak: P wave and PQ time."""


@dataclass(frozen=True, slots=True)
class Beats:
    """The QRS complexes of one record.

    Attributes:
        peaks: (beats,) int64, sample of each R peak, ascending.
        rate: sampling rate of the signal that they were found in, Hz.
    """

    peaks: NDArray[np.int64]
    rate: float

    @property
    def bpm(self) -> float | None:
        """Mean ventricular rate in beats a minute; None with fewer than two beats."""
        if len(self.peaks) < 2:
            return None
        return float(60.0 * self.rate * (len(self.peaks) - 1) / np.ptp(self.peaks))

    def whole(self, length: int, samples: int, before_r: float) -> "Beats":
        """Return the beats whose `samples` lie within a record of `length` samples.

        `before_r` is the share of `samples` that lies before the R peak.
        """
        first = self.peaks - round(before_r * samples)
        return replace(self, peaks=self.peaks[(first >= 0) & (first + samples <= length)])


def find_beats(signal: Signal, rate: float) -> Beats:
    """Find the QRS complexes over all leads together.

    The steps are those of Pan and Tompkins 1985 (slope, energy, moving window, adaptive threshold),
    with the energy summed over the leads, so that one bad lead does not decide.

    Args:
        signal: (12, samples) float32, mV, without baseline wander and mains.
        rate: Hz.
    """
    width = max(1, seconds_to_samples(QRS_S, rate))
    slope = np.diff(signal, axis=-1)
    scale = np.sqrt(np.mean(slope * slope, axis=-1, keepdims=True))
    # All leads have equal weight, but one without an ECG has almost none.
    slope /= np.maximum(scale, MIN_SLOPE / np.float32(rate))
    energy = uniform_filter1d(np.einsum("ln,ln->n", slope, slope), width)
    typical = _typical_peak(energy, rate)
    if typical < CONTRAST * float(np.sort(energy)[energy.size // 5]):
        return Beats(np.empty(0, dtype=np.int64), rate)
    found, _ = find_peaks(
        energy,
        height=max(1.0, THRESHOLD * typical),
        distance=max(1, seconds_to_samples(REFRACTORY_S, rate)),
    )
    return Beats(_refined(signal, found, seconds_to_samples(SEARCH_S, rate)), rate)


def median_beat(signal: Signal, beats: Beats, samples: int) -> Signal | None:
    """Return the median of all whole beats, sample by sample, aligned at their R peaks.

    Args:
        signal: (leads, n) float32, the signal that `beats` were found in.
        beats: its QRS complexes.
        samples: length of the result, 40 % of it before the R peak.

    Returns:
        (leads, samples) float32, or None where no whole beat was found.
    """
    cut = beat_windows(signal, beats, samples)
    if not cut.shape[1]:
        return None
    return median(cut)


def beat_windows(signal: Signal, beats: Beats, samples: int, before_r: float = BEFORE_R) -> Signal:
    """Cut every whole beat out of a record.

    Args:
        signal: (leads, n) float32, the signal that `beats` were found in.
        beats: its QRS complexes.
        samples: length of each beat.
        before_r: share of `samples` that lies before the R peak.

    Returns:
        (leads, beats, samples) float32, without the beats that the record cuts off.
    """
    peaks = beats.whole(signal.shape[1], samples, before_r).peaks
    places = peaks[:, None] + np.arange(samples) - round(before_r * samples)  # (beats, samples)
    cut: Signal = signal[:, places]
    return cut


def median(cut: Signal) -> Signal:
    """Return the median over the beats of (leads, beats, samples): (leads, samples) float32."""
    ordered = np.sort(cut, axis=1)  # three times as fast as numpy's median
    count = cut.shape[1]
    middle: Signal = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) * np.float32(0.5)
    return middle


def _typical_peak(energy: NDArray[np.float32], rate: float) -> float:
    """Return the median over the blocks of their highest energy; up to half may be artefact."""
    block = min(len(energy), seconds_to_samples(BLOCK_S, rate))
    blocks = len(energy) // block
    return float(np.median(energy[: blocks * block].reshape(blocks, block).max(axis=1)))


def _refined(signal: Signal, found: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Move each place, by up to `reach` samples, to the largest deflection: the R peak."""
    places = found[:, None] + np.arange(-reach, reach + 1)  # (beats, 2 reach + 1)
    inside = np.clip(places, 0, signal.shape[1] - 1)
    near = signal[:, inside]  # (leads, beats, 2 reach + 1)
    size = np.abs(near - near.mean(axis=-1, keepdims=True)).sum(axis=0)
    return np.unique(inside[np.arange(len(found)), size.argmax(axis=1)])
