"""Resampling and filtering of a raw waveform, in one multiplication of its spectrum."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy import signal as dsp

from cardex.domain.ecg import Signal, Waveform

NOTCH_Q = 30.0
"""Quality factor of the notch: its frequency over its width."""
PADDING_S = 4.0
"""Length of the mirrored signal before and after the record: two periods of the slowest wave that
passes. It is not turned upside down too, as scipy does by default, since that would make a step of
an R peak with which a record begins."""
LOWEST_HZ, HIGHEST_HZ = 0.01, 500.0
MAX_ORDER = 8
MAX_POINTS = 101
AT_ONCE = 1_000_000
"""Samples that are transformed in one call: all leads of a short record, one lead of a long one."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter that a record passes before it becomes an image.

    Attributes:
        band_hz: pass band, Hz; 0 leaves that side open. 0.5-40 Hz is the monitoring band of IEC
            60601-2-27: it removes baseline wander below and mains above.
        notch_hz: mains frequency that is removed with Q = 30, Hz; 0 for none (Qiu et al. 2023).
        points: length of a centred moving average at the model's rate, in samples; 1 for none (Qiu
            et al. 2023).
        order: order of the Butterworth band-pass, whose slopes are twice as steep since it acts
            forwards and backwards.
    """

    band_hz: tuple[float, float] = (0.5, 40.0)
    notch_hz: float = 0.0
    points: int = 1
    order: int = 3

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ValueError: naming the field.
        """
        low, high = map(float, self.band_hz)
        if any(edge and not LOWEST_HZ <= edge <= HIGHEST_HZ for edge in (low, high)):
            raise ValueError(
                f"band_hz {self.band_hz}: each must be {LOWEST_HZ} to {HIGHEST_HZ:g} Hz,"
                " or 0 for open"
            )
        if high and high <= low:
            raise ValueError(f"band_hz {self.band_hz}: the second must be the higher")
        if self.notch_hz and not 40.0 <= self.notch_hz <= 70.0:
            raise ValueError(f"notch_hz {self.notch_hz}: must be 40 to 70 Hz, or 0 for none")
        if not 1 <= self.points <= MAX_POINTS or self.points % 2 == 0:
            raise ValueError(f"points {self.points}: must be odd, 1 to {MAX_POINTS}")
        if not 1 <= self.order <= MAX_ORDER:
            raise ValueError(f"order {self.order}: must be 1 to {MAX_ORDER}")
        # Equal filters must have the same JSON form, since an id is computed from it.
        object.__setattr__(self, "band_hz", (low + 0.0, high + 0.0))
        object.__setattr__(self, "notch_hz", float(self.notch_hz) + 0.0)


MONITORING = Filter()


def clean(waveform: Waveform, rate: float, wanted: Filter = MONITORING) -> Signal:
    """Resample to `rate` and filter with zero phase, so that no wave is shifted in time.

    Every step is linear, so all of them are one multiplication of the spectrum: the band-pass is
    |H|^2 of a Butterworth filter, as if it were applied forwards and backwards, and cutting the
    spectrum at the new Nyquist frequency resamples without aliasing. The ends are mirrored.

    Args:
        waveform: a record of any rate, with finite samples.
        rate: sampling rate of the result, Hz.
        wanted: the filter.

    Returns:
        (12, samples) float32, mV, at `rate`.

    Raises:
        ValueError: if the band reaches beyond half of `rate`.
    """
    steps = Fraction(rate / waveform.rate).limit_denominator(1000)
    up, down = steps.numerator, steps.denominator
    samples = waveform.signal.shape[1]
    before, length = _extent(samples, waveform.rate, down)
    at_rate = length // down * up
    response = _response(length, at_rate, rate, wanted)
    first, kept = before // down * up, math.ceil(samples * up / down)
    cleaned = np.empty((waveform.signal.shape[0], kept), dtype=np.float32)
    together = max(1, AT_ONCE // length)
    for row in range(0, len(cleaned), together):
        padded = _mirrored(waveform.signal[row : row + together], before, length)
        spectrum = fft.rfft(padded, axis=-1)[:, : response.size]  # (leads, F)
        spectrum *= response
        filtered = fft.irfft(spectrum, n=at_rate, axis=-1)
        cleaned[row : row + together] = filtered[:, first : first + kept]
    return cleaned


def narrow(cleaned: Waveform, rate: float, wanted: Filter) -> Signal:
    """Filter a record that `clean` has filtered by `MONITORING` before, as data sets keep them.

    An edge that both bands share is not filtered again.

    Args:
        cleaned: the record, at any rate.
        rate: sampling rate of the result, Hz.
        wanted: the filter; its band lies within that of `MONITORING`.

    Returns:
        (12, samples) float32, mV, at `rate`: nearly what `clean` makes of the raw record.

    Raises:
        ValueError: if the band reaches beyond that of `MONITORING`, or half of `rate`.
    """
    (low, high), (lowest, highest) = wanted.band_hz, MONITORING.band_hz
    if not lowest <= low < high <= highest:
        raise ValueError(
            f"band_hz {wanted.band_hz}: the record is filtered to {MONITORING.band_hz} Hz already"
        )
    band = (low if low > lowest else 0.0, high if high < highest else 0.0)
    return clean(cleaned, rate, replace(wanted, band_hz=band))


def seconds_to_samples(seconds: float, rate: float) -> int:
    """Return the number of samples in `seconds` at `rate` Hz, rounded to the nearest."""
    return math.floor(seconds * rate + 0.5)


@lru_cache(maxsize=64)
def _extent(samples: int, rate: float, down: int) -> tuple[int, int]:
    """Return where the record starts in the padded signal, and its length, in input samples.

    Both are multiples of `down`, so that each output sample falls on an input sample. The length is
    one for which the Fourier transform is fast.
    """
    before = math.ceil(PADDING_S * rate / down) * down
    blocks = math.ceil((samples + 2 * before) / down)
    while fft.next_fast_len(blocks, real=True) != blocks:
        blocks += 1
    return before, blocks * down


def _mirrored(signal: Signal, before: int, length: int) -> Signal:
    """Mirror (leads, n) at both ends and repeat the last value beyond that: (leads, length)."""
    leads, samples = signal.shape
    padded = np.empty((leads, length), dtype=np.float32)
    end = before + samples
    padded[:, before:end] = signal
    left, right = min(before, samples - 1), min(length - end, samples - 1)
    padded[:, before - left : before] = signal[:, left:0:-1]
    padded[:, end : end + right] = signal[:, -2 : -2 - right : -1]
    padded[:, : before - left] = padded[:, before - left, None]
    padded[:, end + right :] = padded[:, end + right - 1, None]
    return padded


@lru_cache(maxsize=64)
def _response(length: int, at_rate: int, rate: float, wanted: Filter) -> NDArray[np.float32]:
    """Return the gain of each frequency that both rates hold, times the resampling's factor."""
    bins = min(length, at_rate) // 2 + 1
    hertz = np.arange(bins) * rate / at_rate
    gain = _band_pass(wanted, rate, hertz) * _moving_average(wanted.points, rate, hertz)
    gain *= _notch(wanted.notch_hz, hertz) * at_rate / length
    if length != at_rate:
        gain[-1] = 0.0  # of the Nyquist frequency a spectrum holds only one phase
    return gain.astype(np.float32)


def _band_pass(wanted: Filter, rate: float, hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = wanted.band_hz
    if max(wanted.band_hz) >= rate / 2:
        raise ValueError(f"a rate of {rate:g} Hz cannot hold the band {wanted.band_hz} Hz")
    if not high and not low:
        return np.ones_like(hertz)
    if high and low:
        sections = dsp.butter(wanted.order, wanted.band_hz, btype="bandpass", output="sos", fs=rate)
    elif high:
        sections = dsp.butter(wanted.order, high, btype="lowpass", output="sos", fs=rate)
    else:
        sections = dsp.butter(wanted.order, low, btype="highpass", output="sos", fs=rate)
    _, response = dsp.freqz_sos(sections, worN=hertz, fs=rate)
    return np.abs(response) ** 2


def _moving_average(points: int, rate: float, hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the response of a centred mean of `points` samples, the Dirichlet kernel."""
    if points == 1:
        return np.ones_like(hertz)
    half = np.pi * hertz / rate
    with np.errstate(invalid="ignore"):
        kernel = np.sin(points * half) / (points * np.sin(half))
    return np.where(hertz == 0.0, 1.0, kernel)


def _notch(mains_hz: float, hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return |H|^2 of the analogue second-order notch: it has a value at the Nyquist frequency."""
    if not mains_hz:
        return np.ones_like(hertz)
    away = (hertz**2 - mains_hz**2) ** 2
    return np.asarray(away / (away + (hertz * mains_hz / NOTCH_Q) ** 2))
