"""From a raw waveform to the model's rate and band."""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import signal as dsp

from services.domain.ecg import Signal, Waveform

BAND_HZ = (0.5, 40.0)
"""Diagnostic-monitoring pass band: baseline wander below it and 50/60 Hz mains above it go."""


def clean(waveform: Waveform, rate: float) -> Signal:
    """Resample to `rate` and band-pass 0.5-40 Hz with zero phase.

    Polyphase resampling (its anti-alias filter included), then a third-order Butterworth band-pass run
    forwards and backwards, so that no wave is shifted in time.

    Args:
        waveform: any rate, finite samples, at least 2 s.
        rate: the model's rate in Hz, above 80.

    Returns:
        (12, samples) float32, mV, at `rate`.
    """
    at_rate = resample(waveform.signal, waveform.rate, rate)
    band = dsp.sosfiltfilt(_band_pass(rate), at_rate, axis=-1)
    return np.ascontiguousarray(band, dtype=np.float32)


def resample(signal: Signal, rate: float, target: float) -> Signal:
    """Resample (leads, samples) from `rate` to `target` Hz by a polyphase filter."""
    ratio = Fraction(target / rate).limit_denominator(1000)
    if ratio == 1:
        return signal
    up, down = ratio.numerator, ratio.denominator
    # The mean of the record becomes the zero that the filter sees beyond its ends.
    level = signal.mean(axis=-1, keepdims=True)
    # scipy's types leave out that the window may be the filter itself
    taps = cast("Any", _anti_alias(up, down))
    resampled = dsp.resample_poly(signal - level, up, down, axis=-1, window=taps)
    result: Signal = np.asarray(resampled, dtype=np.float32) + level
    return result


def centre_window(signal: Signal, samples: int) -> Signal:
    """Cut the middle `samples` of (leads, n), or pad a shorter one with zeros on both sides."""
    missing = samples - signal.shape[-1]
    if missing > 0:
        left = missing // 2
        return np.pad(signal, ((0, 0), (left, missing - left)))
    start = -missing // 2
    return signal[:, start : start + samples]


@lru_cache(maxsize=32)
def _anti_alias(up: int, down: int) -> Signal:
    """Return the low-pass of a rate change: Kaiser, 10 zero crossings a side, in single precision."""
    widest = max(up, down)
    taps = dsp.firwin(2 * 10 * widest + 1, 1.0 / widest, window=("kaiser", 5.0))
    return taps.astype(np.float32)


@lru_cache(maxsize=8)
def _band_pass(rate: float) -> NDArray[np.float64]:
    if rate <= 2 * BAND_HZ[1]:
        raise ValueError(f"a rate of {rate} Hz cannot hold the band {BAND_HZ} Hz")
    sections = dsp.butter(3, BAND_HZ, btype="bandpass", fs=rate, output="sos")
    return np.asarray(sections, dtype=np.float64)


def seconds_to_samples(seconds: float, rate: float) -> int:
    """Return the number of samples in `seconds` at `rate` Hz, rounded to the nearest."""
    return math.floor(seconds * rate + 0.5)
