"""Drawing images of cleaned ECGs as an `ImageSpec` says."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from cardex.domain.ecg import Image, Signal, Waveform
from cardex.signals.beats import BEFORE_R, Beats, beat_windows, find_beats, median
from cardex.signals.cleaning import clean, seconds_to_samples
from cardex.signals.encodings import (
    gadf,
    gasf,
    markov_transition_field,
    paa,
    recurrence,
    rescale,
    segment_bounds,
)
from cardex.signals.image_spec import DEVIATIONS, MARKS_MV, UNKNOWN_MARK, ImageSpec, Layout
from cardex.signals.windows import best_start, best_window

_HALF = np.float32(0.5)
MIN_DEVIATION = 1e-4
"""A smaller deviation counts as this one, so that a flat lead is not scaled up."""
CENTRED = 0.5
"""Share of a single beat that lies before its R peak."""
STRETCH_S = 4.0
"""Length of the stretch whose middle beat is drawn: it holds two whole beats at 30 a minute."""


def image_of(waveform: Waveform, spec: ImageSpec) -> Image:
    """Clean one waveform and draw it: (height, width, channels)."""
    cleaned = clean(waveform, spec.rate, spec.filter)
    image: Image = draw(window_of(cleaned, spec)[None], spec)[0]
    return image


def window_of(cleaned: Signal, spec: ImageSpec) -> Signal:
    """Return the part of a cleaned record that is drawn: (12, window) float32, mV.

    Of the source "beat" it is the beat whose R peak is nearest to the middle of the best
    `STRETCH_S` seconds. If the specification asks for a beat and none is found, it is the best
    window.
    """
    beats = _whole_beats(cleaned, spec)
    if not beats.peaks.size:
        return best_window(cleaned, spec.window, spec.rate)
    if spec.source == "median-beat":
        return median(beat_windows(cleaned, beats, spec.window))
    stretch = min(seconds_to_samples(STRETCH_S, spec.rate), cleaned.shape[1])
    middle = best_start(cleaned, stretch, spec.rate) + stretch / 2
    nearest = np.abs(beats.peaks - middle).argmin()
    only = replace(beats, peaks=beats.peaks[nearest : nearest + 1])
    return beat_windows(cleaned, only, spec.window, CENTRED)[:, 0]


def windows_of(signals: Signal, spec: ImageSpec) -> Signal:
    """Return the window of each cleaned record that the service would draw.

    Args:
        signals: (ECGs, 12, samples) float32, mV.
        spec: the image.

    Returns:
        (ECGs, 12, window) float32, mV.
    """
    return np.stack([window_of(signal, spec) for signal in signals])


def beats_of(cleaned: Signal, spec: ImageSpec) -> Signal:
    """Return each whole beat of a cleaned record, to draw any of them.

    Args:
        cleaned: (12, samples) float32, mV, at the rate of `spec`.
        spec: the image; its source is "beat" or "median-beat".

    Returns:
        (beats, 12, window) float32, mV, in their order in the record; at least one, since a record
        without a beat gives what `window_of` returns.
    """
    beats = _whole_beats(cleaned, spec)
    if not beats.peaks.size:
        return window_of(cleaned, spec)[None]
    cut = beat_windows(cleaned, beats, spec.window, _before_r(spec))
    return np.ascontiguousarray(cut.transpose(1, 0, 2))


def draw(windows: Signal, spec: ImageSpec, calibrated: NDArray[np.bool_] | None = None) -> Image:
    """Draw a batch of windows.

    Args:
        windows: (B, 12, window) float32, mV; any unit where the scaling is not "millivolt" and
            the specification has no amplitude.
        spec: the image to make.
        calibrated: (B,) bool, False for an ECG whose unit is unknown: its marks of the amplitude
            are `UNKNOWN_MARK`. None if all are in mV.

    Returns:
        (B, height, width, channels) of the specification's dtype. As float32, GAF and raster are in
        [-1, 1]; RP (as a share of the largest possible distance), MTF and curves are in [0, 1]. As
        uint8 the same ranges become 0 to 255. Unused tiles of a grid and black channels are 0.
    """
    images = np.zeros((len(windows), *spec.shape), dtype=spec.dtype)
    canvas = np.zeros(spec.canvas, dtype=spec.dtype) if spec.size else None
    paint = _PAINTERS[spec.layout]
    for window, image in zip(windows, images, strict=True):  # one at a time fits the CPU's cache
        if canvas is None:
            paint(window, image, spec)
        else:
            paint(window, canvas, spec)  # the painter writes the same pixels each time
            _resize(canvas, image)
    if spec.amplitude and calibrated is not None:
        images[~calibrated, :, -1] = _pixel(np.float32(UNKNOWN_MARK), spec)
    return images


def _paint_grid(window: Signal, image: Image, spec: ImageSpec) -> None:
    tiles = _tiles(image, spec)
    for channel, field, lowest in _fields(window, spec):
        _lay(tiles[..., channel], field, lowest=lowest)


def _paint_concat(window: Signal, image: Image, spec: ImageSpec) -> None:
    joined = window.reshape(1, -1)  # (1, 12 * window)
    for channel, field, lowest in _fields(joined, spec):
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
        image[:, -1, 0] = _pixel(_marks(window), spec)


_PAINTERS: Mapping[Layout, Callable[[Signal, Image, ImageSpec], None]] = {
    "all-grid": _paint_grid,
    "all-concat": _paint_concat,
    "simple-plot": _paint_plot,
    "raster": _paint_raster,
}


def _whole_beats(cleaned: Signal, spec: ImageSpec) -> Beats:
    """Find the beats that can be cut as the specification says; none for the source "rhythm"."""
    if spec.source == "rhythm":
        return Beats(np.empty(0, dtype=np.int64), spec.rate)
    found = find_beats(cleaned, spec.rate)
    return found.whole(cleaned.shape[1], spec.window, _before_r(spec))


def _before_r(spec: ImageSpec) -> float:
    return CENTRED if spec.source == "beat" else BEFORE_R


def _fields(series: Signal, spec: ImageSpec) -> Iterator[tuple[int, Signal, float]]:
    """Yield each channel's number, its encoding of (series, n), and its lowest value.

    The encoding is (series, tile, tile); a black channel has none.
    """
    pixels = _scaled(paa(series, spec.tile), spec)
    for channel, encoding in enumerate(spec.encodings):
        if encoding == "gasf":
            yield channel, gasf(pixels), -1.0
        elif encoding == "gadf":
            yield channel, gadf(pixels), -1.0
        elif encoding == "rp":
            points = pixels if spec.dimension == 1 else _scaled(paa(series, spec.points), spec)
            yield channel, _distances(points, spec), 0.0
        elif encoding == "mtf":
            yield channel, markov_transition_field(series, spec.tile, spec.bins), 0.0


def _distances(points: Signal, spec: ImageSpec) -> Signal:
    """Return the RP of points in [-1, 1], with distances from 0 to 1."""
    # the distance that becomes 1: from 0 to the peak, or the largest, from -1 to 1
    longest = 1.0 if spec.scaling == "peak" else 2.0
    share = points * np.float32(1.0 / longest / spec.dimension**0.5)
    plot = recurrence(share, spec.dimension, spec.delay, spec.threshold or None)
    return np.minimum(plot, np.float32(1.0), out=plot)


def _scaled(series: Signal, spec: ImageSpec) -> Signal:
    """Scale (series, n) to [-1, 1] as the specification says."""
    if spec.scaling == "millivolt":
        return _millivolts(series, spec)
    if spec.scaling == "deviation":
        centred: Signal = series - series.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True))
        centred /= np.float32(DEVIATIONS) * np.maximum(deviation, np.float32(MIN_DEVIATION))
        return np.clip(centred, -1.0, 1.0)
    if spec.scaling == "peak":
        largest = np.abs(series).max(axis=-1, keepdims=True)
        over_peak: Signal = series / np.maximum(largest, np.finfo(np.float32).tiny)
        return over_peak
    return rescale(series, axis=-1 if spec.scaling == "lead" else (-2, -1))


def _millivolts(series: Signal, spec: ImageSpec) -> Signal:
    level: Signal = series / np.float32(spec.full_scale_mv)
    return np.clip(level, -1.0, 1.0)


def _marks(window: Signal) -> Signal:
    """Return the mark of each lead's standard deviation, 1 to 255: (12,)."""
    lowest, highest = MARKS_MV
    level = np.log(np.maximum(window.std(axis=-1), lowest) / lowest) / np.log(highest / lowest)
    marks: Signal = np.clip(np.rint(1.0 + 254.0 * level), 1.0, 255.0).astype(np.float32)
    return marks


def _pixel(mark: Signal | np.float32, spec: ImageSpec) -> Image:
    """Return marks from 0 to 255 as pixels of the specification's dtype."""
    return np.asarray(mark if spec.dtype == "uint8" else mark / 127.5 - 1.0, dtype=spec.dtype)


def _tiles(image: Image, spec: ImageSpec) -> Image:
    """Return a view of a grid image as its tiles, in lines that the leads fill one by one.

    (rows, columns, tile, tile, channels), or (columns, rows, ..) where they fill columns.
    """
    rows, channels = image.shape[0] // spec.tile, image.shape[2]
    split = image.reshape(rows, spec.tile, spec.columns, spec.tile, channels)
    lines = split.transpose(0, 2, 1, 3, 4)
    return lines if spec.fill == "rows" else lines.swapaxes(0, 1)


def _lay(tiles: Image, fields: Signal, *, lowest: float) -> None:
    """Write the fields (leads, tile, tile) into (lines, tiles of a line, tile, tile)."""
    length = tiles.shape[1]
    for line, target in enumerate(tiles):
        some = fields[line * length : (line + 1) * length]
        _store(target[: len(some)], some, lowest=lowest)


def _resize(canvas: Image, image: Image) -> None:
    """Resize one image by Pillow's bilinear filter, which averages where it makes smaller."""
    height, width, channels = image.shape
    for channel in range(channels):
        picture = Picture.fromarray(np.ascontiguousarray(canvas[..., channel]))
        resized = picture.resize((width, height), Picture.Resampling.BILINEAR)
        image[..., channel] = np.asarray(resized)


def _store(target: Image, field: Signal, *, lowest: float) -> None:
    """Write a field of values from `lowest` to 1; for pixels it is scaled in place and rounded."""
    if target.dtype == np.uint8:
        field *= np.float32(255.0 / (1.0 - lowest))
        field += np.float32(0.5 - lowest * 255.0 / (1.0 - lowest))
    np.copyto(target, field, casting="unsafe")
