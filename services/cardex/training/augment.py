"""Random augmentation of training ECGs."""

import numpy as np

from cardex.domain.ecg import Signal
from cardex.signals.image_spec import ImageSpec
from cardex.training.recipe import Augmentation

WANDER_HZ = (0.05, 0.45)
MAX_SHIFT = 0.1
"""Largest shift as a share of the window, so that a median beat stays inside."""


def augment(
    signals: Signal, spec: ImageSpec, how: Augmentation, random: np.random.Generator
) -> Signal:
    """Cut random windows and change them at random.

    Args:
        signals: (B, 12, samples) float32, mV, at the rate of `spec`.
        spec: the image, which has rate and window.
        how: strength of each change.
        random: generator.

    Returns:
        (B, 12, window) float32; samples outside of the record are 0.
    """
    windows = _cut(signals, spec, how, random)
    size = (*windows.shape[:2], 1)
    deviation = windows.std(axis=-1, keepdims=True)
    level = how.noise * random.random((len(windows), 1, 1), dtype=np.float32)
    windows += level * deviation * random.standard_normal(windows.shape, dtype=np.float32)
    if how.wander:
        times = np.arange(spec.window, dtype=np.float32) / np.float32(spec.rate)
        hertz = random.uniform(*WANDER_HZ, size).astype(np.float32)
        phase = random.random(size, dtype=np.float32)
        wave = np.sin(np.float32(2 * np.pi) * (hertz * times + phase))
        windows += how.wander * random.random(size, dtype=np.float32) * deviation * wave
    windows[random.random(windows.shape[:2]) < how.drop] = 0.0
    return windows


def _cut(
    signals: Signal, spec: ImageSpec, how: Augmentation, random: np.random.Generator
) -> Signal:
    """Cut a window of each ECG at a random start and time scale, by linear interpolation."""
    samples, window = signals.shape[-1], spec.window
    slack = max(0, samples - window)
    reach = min(how.shift_s, MAX_SHIFT * spec.window_s) * spec.rate
    starts = random.uniform(0, slack, len(signals)) + random.uniform(-reach, reach, len(signals))
    paces = 1.0 + random.uniform(-how.warp, how.warp, len(signals))
    ticks = np.arange(window) - window / 2
    cut = np.zeros((len(signals), signals.shape[1], window), dtype=np.float32)
    for own, start, pace, out in zip(signals, starts, paces, cut, strict=True):
        first = start if how.warp else round(start)  # without a warp, samples stay samples
        places = first + window / 2 + pace * ticks
        inside = (places >= 0) & (places <= samples - 1)
        left = np.minimum(places[inside].astype(np.int64), samples - 2)
        part = (places[inside] - left).astype(np.float32)
        out[:, inside] = own[:, left] * (1.0 - part) + own[:, left + 1] * part
    return cut
