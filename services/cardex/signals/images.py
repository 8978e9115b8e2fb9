"""Drawing images of cleaned ECGs as an `ImageSpec` says."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Image, Signal, Waveform
from cardex.signals.beats import find_beats, median_beat
from cardex.signals.cleaning import clean
from cardex.signals.encodings import (
    gadf,
    gasf,
    markov_transition_field,
    paa,
    recurrence,
    rescale,
    segment_bounds,
)
from cardex.signals.image_spec import ImageSpec, Layout
from cardex.signals.windows import best_window

_HALF = np.float32(0.5)
_MIDDLE = 128
"""The pixel that a value of 0 between -1 and 1 becomes."""
DEVIATIONS = np.float32(8.0)
"""Standard deviations at the end of the scale "deviation": an R peak has about six."""
MIN_DEVIATION = 1e-4
"""A smaller deviation counts as this one, so that a flat lead is not scaled up."""


def image_of(waveform: Waveform, spec: ImageSpec) -> Image:
    """Clean one waveform and draw it: (height, width, channels)."""
    cleaned = clean(waveform, spec.rate, spec.filter)
    image: Image = draw(window_of(cleaned, spec)[None], spec)[0]
    return image


def window_of(cleaned: Signal, spec: ImageSpec) -> Signal:
    """Return the part of a cleaned record that is drawn: (12, window) float32, mV.

    If the specification asks for the median beat and no beat is found, it is the best window.
    """
    if spec.source == "median-beat":
        beat = median_beat(cleaned, find_beats(cleaned, spec.rate), spec.window)
        if beat is not None:
            return beat
    return best_window(cleaned, spec.window, spec.rate)


def draw(windows: Signal, spec: ImageSpec, calibrated: NDArray[np.bool_] | None = None) -> Image:
    """Draw a batch of windows.

    Args:
        windows: (B, 12, window) float32, mV; any unit where the scaling is not "millivolt" and
            there is no amplitude channel.
        spec: the image to make.
        calibrated: (B,) bool, False for an ECG whose unit is unknown: every pixel of its amplitude
            channel shows 0 mV. None if all are in mV.

    Returns:
        (B, height, width, channels) of the specification's dtype. As float32, GAF and raster are in
        [-1, 1]; RP (as a share of the largest possible distance), MTF and curves are in [0, 1]. As
        uint8 the same ranges become 0 to 255. Unused tiles of a grid are 0.
    """
    images = np.zeros((len(windows), *spec.shape), dtype=spec.dtype)
    paint = _PAINTERS[spec.layout]
    for window, image in zip(windows, images, strict=True):  # one at a time fits the CPU's cache
        paint(window, image, spec)
    if spec.amplitude and calibrated is not None:
        images[~calibrated, ..., 1] = _MIDDLE if spec.dtype == "uint8" else 0.0
    return images


def _paint_grid(window: Signal, image: Image, spec: ImageSpec) -> None:
    tiles = _tiles(image, spec)
    for channel, (field, lowest) in enumerate(_fields(window, spec)):
        _lay(tiles[..., channel], field, lowest=lowest)


def _paint_concat(window: Signal, image: Image, spec: ImageSpec) -> None:
    joined = window.reshape(1, -1)  # (1, 12 * window)
    for channel, (field, lowest) in enumerate(_fields(joined, spec)):
        _store(image[..., channel], field[0], lowest=lowest)


def _paint_plot(window: Signal, image: Image, spec: ImageSpec) -> None:
    """Fill each column of pixels from the lowest to the highest point of the curve in it."""
    heights = np.rint((1.0 - _scaled(window, spec)) * _HALF * (spec.tile - 1))  # (12, window)
    starts = segment_bounds(spec.window, spec.tile)[:-1]
    top, bottom = (f.reduceat(heights, starts, axis=-1) for f in (np.minimum, np.maximum))
    following = heights[:, starts[1:]]  # each column reaches to where the next one begins
    top[:, :-1] = np.minimum(top[:, :-1], following)
    bottom[:, :-1] = np.maximum(bottom[:, :-1], following)
    pixel = np.arange(spec.tile, dtype=np.float32)[:, None]
    inside = (pixel >= top[:, None]) & (pixel <= bottom[:, None])  # (12, tile, tile)
    _lay(_tiles(image, spec)[..., 0], inside.astype(np.float32), lowest=0.0)


def _paint_raster(window: Signal, image: Image, spec: ImageSpec) -> None:
    _store(image[..., 0], _scaled(window, spec), lowest=-1.0)
    if spec.amplitude:
        _store(image[..., 1], _millivolts(window, spec), lowest=-1.0)


_PAINTERS: Mapping[Layout, Callable[[Signal, Image, ImageSpec], None]] = {
    "all-grid": _paint_grid,
    "all-concat": _paint_concat,
    "simple-plot": _paint_plot,
    "raster": _paint_raster,
}


def _fields(series: Signal, spec: ImageSpec) -> Iterator[tuple[Signal, float]]:
    """Yield each encoding of (series, n) as (series, tile, tile), and its lowest value."""
    pixels = _scaled(paa(series, spec.tile), spec)
    for encoding in spec.encodings:
        if encoding == "gasf":
            yield gasf(pixels), -1.0
        elif encoding == "gadf":
            yield gadf(pixels), -1.0
        elif encoding == "rp":
            points = pixels if spec.dimension == 1 else _scaled(paa(series, spec.points), spec)
            # the largest distance, from -1 to 1 in every dimension, becomes 1
            share = points * np.float32(0.5 / spec.dimension**0.5)
            yield recurrence(share, spec.dimension, spec.delay, spec.threshold or None), 0.0
        else:
            yield markov_transition_field(series, spec.tile, spec.bins), 0.0


def _scaled(series: Signal, spec: ImageSpec) -> Signal:
    """Scale (series, n) to [-1, 1] as the specification says."""
    if spec.scaling == "millivolt":
        return _millivolts(series, spec)
    if spec.scaling == "deviation":
        centred: Signal = series - series.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True))
        centred /= DEVIATIONS * np.maximum(deviation, np.float32(MIN_DEVIATION))
        return np.clip(centred, -1.0, 1.0)
    return rescale(series, axis=-1 if spec.scaling == "lead" else (-2, -1))


def _millivolts(series: Signal, spec: ImageSpec) -> Signal:
    level: Signal = series / np.float32(spec.full_scale_mv)
    return np.clip(level, -1.0, 1.0)


def _tiles(image: Image, spec: ImageSpec) -> Image:
    """Return a view of a grid image as its tiles: (rows, columns, tile, tile, channels)."""
    rows, channels = image.shape[0] // spec.tile, image.shape[2]
    split = image.reshape(rows, spec.tile, spec.columns, spec.tile, channels)
    return split.transpose(0, 2, 1, 3, 4)


def _lay(tiles: Image, fields: Signal, *, lowest: float) -> None:
    """Write the fields (leads, tile, tile) into (rows, columns, tile, tile), row by row."""
    columns = tiles.shape[1]
    for row, target in enumerate(tiles):
        some = fields[row * columns : (row + 1) * columns]
        _store(target[: len(some)], some, lowest=lowest)


def _store(target: Image, field: Signal, *, lowest: float) -> None:
    """Write a field of values from `lowest` to 1; for pixels it is scaled in place and rounded."""
    if target.dtype == np.uint8:
        field *= np.float32(255.0 / (1.0 - lowest))
        field += np.float32(0.5 - lowest * 255.0 / (1.0 - lowest))
    np.copyto(target, field, casting="unsafe")
