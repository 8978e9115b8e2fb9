"""What is measured on each lead: range, gaps, clipping, noise, drift of the baseline and mains."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Signal, Waveform
from cardex.signals.cleaning import seconds_to_samples

Flags = NDArray[np.bool_]

OFF_MV = 0.001
"""A lead whose range is below this has no electrode: the last digit of the amplifier moves less."""
FLAT_MV = 0.03
"""A lead whose whole range is below this carries no ECG: a P wave alone is about 0.1 mV."""
STILL_S = 0.25
"""Three such stretches of one value in a row are a gap: always from 1 s on, never under 0.75 s."""
SATURATED_SHARE = 0.02
"""Share of samples, three in a row at the very top or bottom, from which a lead is clipped."""
NOISY = 0.05
"""Noise within 0.5-40 Hz over the lead's own range; 99 % of PTB-XL's leads are under it."""
LOW_VOLTAGE_MV = 0.3
"""A smaller range counts as this one, so that a lead of low voltage is not noisy for that alone."""
UNUSABLE_NOISE = 0.1
"""Noise level from which a lead is of no use; 99.9 % of PTB-XL's leads are under it."""
DRIFT_MV = 1.5
"""Three large squares of grid paper: the baseline leaves the band of its lead."""
MAINS_MV = 0.05
MAINS_BLOCK_S = 5.0
"""Long enough to tell 50 Hz from the ECG, short enough for mains that is 0.1 Hz off."""
EXTREME_MV = 10.0


@dataclass(frozen=True, slots=True)
class LeadMeasures:
    """What was measured on the leads of one record; each attribute is a (12,) array.

    Attributes:
        span: highest less lowest sample, mV.
        gap: whether the lead keeps one value for a second.
        saturated: whether it is clipped.
        noise: deviation of its noise over its range, without unit.
        drift: largest difference between the means of its seconds, mV.
        mains: amplitude at 50 or 60 Hz, mV.
    """

    span: Signal
    gap: Flags
    saturated: Flags
    noise: Signal
    drift: Signal
    mains: Signal

    @property
    def off(self) -> Flags:
        """Leads without any signal."""
        return self.span < OFF_MV

    @property
    def flat(self) -> Flags:
        """Leads with hardly any signal, or none."""
        return self.span < FLAT_MV

    @property
    def usable(self) -> Flags:
        """Leads that show an ECG: neither flat nor hidden by noise."""
        return ~self.flat & (self.noise < UNUSABLE_NOISE)


def measure_leads(waveform: Waveform, cleaned: Signal) -> LeadMeasures:
    """Measure each lead of a record.

    Args:
        waveform: as it was read.
        cleaned: (12, samples) float32, mV: the same record filtered to 0.5-40 Hz, at 100 Hz.
    """
    signal, rate = waveform.signal, waveform.rate
    top, bottom = signal.max(axis=1, keepdims=True), signal.min(axis=1, keepdims=True)
    seconds = _blocks(signal, seconds_to_samples(1.0, rate))  # (12, blocks, samples)
    clipped = np.maximum(_three_in_a_row(signal == top), _three_in_a_row(signal == bottom))
    return LeadMeasures(
        span=(top - bottom)[:, 0],
        gap=_gap(_blocks(signal, seconds_to_samples(STILL_S, rate))),
        saturated=clipped > SATURATED_SHARE,
        noise=_noise(cleaned),
        drift=np.ptp(seconds.mean(axis=-1), axis=1),
        mains=_mains(signal, rate),
    )


def _three_in_a_row(at_limit: Flags) -> NDArray[np.float64]:
    """Return, for (leads, samples), the share of samples that follow two others at the limit."""
    rows = at_limit[:, 2:] & at_limit[:, 1:-1] & at_limit[:, :-2]
    share: NDArray[np.float64] = np.count_nonzero(rows, axis=1) / at_limit.shape[1]
    return share


def _gap(stretches: Signal) -> Flags:
    """Tell which leads of (leads, stretches, samples) keep one value over three stretches."""
    first = stretches[..., 0]
    still = (stretches == first[..., None]).all(axis=-1)
    same = first[:, 1:] == first[:, :-1]
    both = still[:, 1:] & still[:, :-1] & same
    return np.asarray((both[:, 1:] & both[:, :-1]).any(axis=1))


def _blocks(signal: Signal, samples: int) -> Signal:
    """Cut (leads, n) into whole blocks: (leads, blocks, samples), the rest left out."""
    count = signal.shape[1] // samples
    return signal[:, : count * samples].reshape(signal.shape[0], count, samples)


def _noise(cleaned: Signal) -> Signal:
    """Return each lead's noise level over its range, without the QRS complexes.

    White noise of deviation s within 0-40 Hz has second differences of deviation 1.94 s at 100 Hz
    (the mean of (2 - 2 cos w)^2 over the band is 3.75). An ECG is smooth at 10 ms except in its QRS
    complexes, which are so few that they do not move the median. Of a normal distribution, the
    median of the absolute values is 0.6745 deviations.
    """
    # A third of the samples gives the same median; and sorting is faster than numpy's median.
    turns = np.sort(np.abs(np.diff(cleaned, n=2, axis=1))[:, ::3], axis=1)
    level = turns[:, turns.shape[1] // 2] / np.float32(0.6745 * 1.94)
    ordered = np.sort(cleaned[:, ::3], axis=1)
    edge = ordered.shape[1] // 100
    span = ordered[:, -1 - edge] - ordered[:, edge]  # 98 % of the samples lie within
    relative: Signal = level / np.maximum(span, np.float32(LOW_VOLTAGE_MV))
    return relative


def _mains(signal: Signal, rate: float) -> Signal:
    """Return each lead's amplitude at 50 or 60 Hz, mV, less the mean of 3 Hz above and below.

    It is 0 if the sampling rate is too low for that: up to 110 Hz for mains of 50 Hz, and up to
    130 Hz for 60 Hz.
    """
    mains = [hertz for hertz in (50.0, 60.0) if hertz + 5.0 < rate / 2]
    if not mains:
        return np.zeros(signal.shape[0], dtype=np.float32)
    hertz = tuple(near + shift for near in mains for shift in (-3.0, 0.0, 3.0))
    samples = min(signal.shape[1], seconds_to_samples(MAINS_BLOCK_S, rate))
    parts = _blocks(signal, samples) @ _waves(samples, rate, hertz)  # (12, blocks, 2 x frequencies)
    power = (parts * parts).mean(axis=1)
    amplitude = np.sqrt(sum(np.split(power, 2, axis=1))).reshape(-1, len(mains), 3)
    above = amplitude[..., 1] - amplitude[..., ::2].mean(axis=-1)
    strongest: Signal = above.max(axis=1)
    return strongest


@lru_cache(maxsize=8)
def _waves(samples: int, rate: float, hertz: tuple[float, ...]) -> Signal:
    """Return windowed cosines and sines of some frequencies: (samples, 2 x frequencies).

    The products of a signal with both of a frequency give its amplitude at that frequency.
    """
    phase = 2.0 * np.pi * np.outer(np.arange(samples) / rate, hertz)
    window = np.hanning(samples)[:, None] * 4.0 / samples
    return np.hstack((window * np.cos(phase), window * np.sin(phase))).astype(np.float32)
