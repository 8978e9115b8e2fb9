"""Random augmentation of training ECGs, by what differs between carts, hospitals and patients."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import LEADS, Signal
from cardex.signals.image_spec import ImageSpec
from cardex.training.recipe import Augmentation

WANDER_HZ = (0.05, 0.45)
MAX_SHIFT = 0.1
"""Largest shift as a share of the window, most of which stays inside of the record."""
HIGH_PASS_HZ = (0.05, 1.0)
LOW_PASS_HZ = (15.0, 50.0)
"""Corner frequencies of carts' filters: diagnostic ones begin at 0.05 Hz, monitoring ones end at
15 Hz ("muscle filter") to 40 Hz."""
STEPS_MV = (0.001, 0.02)
"""Resolution of converters, mV."""
PRINTED_COLUMNS = 4
"""A printed ECG of ten seconds shows three leads at a time, 2.5 s each."""
RHYTHM_LEAD = LEADS.index("II")

Change = Callable[[Signal, np.random.Generator], Signal]


def augment(
    signals: Signal, spec: ImageSpec, how: Augmentation, random: np.random.Generator
) -> Signal:
    """Cut random windows and change them at random; a single beat stays whole and in its place.

    Args:
        signals: (B, 12, samples) float32, mV, at the rate of `spec`.
        spec: the image, which has rate and window.
        how: strength of each change.
        random: generator.

    Returns:
        (B, 12, window) float32; samples outside of the record are 0.
    """
    windows = _cut(signals, spec, how, random)
    rate = spec.rate
    printed = how.printed if spec.source == "rhythm" else 0.0
    for share, change in (
        (how.filtered, lambda some, random: _filtered(some, rate, random)),
        (how.quantised, _quantised),
        (printed, _printed),
    ):
        chosen = random.random(len(windows)) < share
        if chosen.any():
            windows[chosen] = change(windows[chosen], random)
    deviation = windows.std(axis=-1, keepdims=True)
    if how.noise:
        level = how.noise * random.random((len(windows), 1, 1), dtype=np.float32)
        windows += level * deviation * random.standard_normal(windows.shape, dtype=np.float32)
    if how.wander:
        windows += how.wander * deviation * _wander(windows.shape, rate, random)
    if how.gain:
        windows *= 1.0 + how.gain * random.uniform(-1.0, 1.0, (len(windows), 1, 1))
    windows[random.random(windows.shape[:2]) < how.drop] = 0.0
    return windows


def _cut(
    signals: Signal, spec: ImageSpec, how: Augmentation, random: np.random.Generator
) -> Signal:
    """Cut a window of each ECG at a random start and time scale, by linear interpolation."""
    count, leads, samples = signals.shape
    window = spec.window
    slack = max(0, samples - window)
    reach = min(how.shift_s, MAX_SHIFT * spec.window_s) * spec.rate
    if spec.source != "rhythm":
        reach = 0.0
    starts: NDArray[np.float64] = random.uniform(0, slack, (count,))
    starts += random.uniform(-reach, reach, (count,))
    if not how.warp:
        starts = np.rint(starts)  # without a warp, samples stay samples
    paces = 1.0 + random.uniform(-how.warp, how.warp, (count,))
    ticks = np.arange(window) - window / 2
    places: NDArray[np.float64] = (
        starts[:, None] + window / 2 + paces[:, None] * ticks
    )  # (B, window)
    outside = (places < 0) | (places > samples - 1)
    left = np.clip(places.astype(np.int64), 0, samples - 2)
    part = np.where(outside, 0.0, places - left).astype(np.float32)
    cut: Signal = np.empty((count, leads, window), dtype=np.float32)
    for row, (own, first, share) in enumerate(zip(signals, left, part, strict=True)):
        before = np.take(own, first, axis=1)
        cut[row] = before + share * (np.take(own, first + 1, axis=1) - before)
    cut *= ~outside[:, None]
    return cut


def _filtered(windows: Signal, rate: float, random: np.random.Generator) -> Signal:
    """Pass each ECG of (B, 12, n) through a band that a cart might have."""
    size = (len(windows), 1)
    hertz = np.fft.rfftfreq(windows.shape[-1], 1.0 / rate).astype(np.float32)
    low = random.uniform(*HIGH_PASS_HZ, size).astype(np.float32)
    high = random.uniform(*LOW_PASS_HZ, size).astype(np.float32)
    # |H|^2 of Butterworth filters, second order below and fourth order above
    gain = 1.0 / (1.0 + (low / np.maximum(hertz, 1e-3)) ** 4) / (1.0 + (hertz / high) ** 8)
    spectrum = np.fft.rfft(windows) * gain[:, None].astype(np.float32)
    return np.fft.irfft(spectrum, n=windows.shape[-1]).astype(np.float32)


def _quantised(windows: Signal, random: np.random.Generator) -> Signal:
    """Round each ECG of (B, 12, n) to the steps of a converter."""
    step = random.uniform(*STEPS_MV, (len(windows), 1, 1)).astype(np.float32)
    return np.asarray(np.rint(windows / step) * step, dtype=np.float32)


def _printed(windows: Signal, _random: np.random.Generator) -> Signal:
    """Leave of (B, 12, n) what a printed page shows: 2.5 s of each lead, and lead II throughout."""
    each = windows.shape[-1] / PRINTED_COLUMNS
    column = np.arange(len(LEADS)) // (len(LEADS) // PRINTED_COLUMNS)  # (12,)
    shown = (np.arange(windows.shape[-1]) // each).astype(np.int64) == column[:, None]
    shown[RHYTHM_LEAD] = True
    return np.asarray(windows * shown, dtype=np.float32)


def _wander(
    shape: tuple[int, ...], rate: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return a slow wave of random size, at most 1, for each lead: (B, 12, n)."""
    size = (*shape[:2], 1)
    times = np.arange(shape[-1], dtype=np.float32) / np.float32(rate)
    hertz = random.uniform(*WANDER_HZ, size).astype(np.float32)
    phase = random.random(size, dtype=np.float32)
    wave = np.sin(np.float32(2 * np.pi) * (hertz * times + phase))
    return np.asarray(random.random(size, dtype=np.float32) * wave, dtype=np.float32)
