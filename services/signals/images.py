"""The image that an encoder sees: which one (`ImageSpec`) and how it is made."""

import hashlib
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import msgspec
import numpy as np

from services.domain.ecg import LEADS, Image, Signal, Waveform
from services.signals.cleaning import centre_window, clean, seconds_to_samples
from services.signals.encodings import gasf, markov_transition_field, paa, recurrence


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Everything that makes an image out of a waveform; a model carries the one it was trained on.

    Attributes:
        layout: "all-grid": each lead is one tile, its channels are GASF, RP and MTF (P1, section 3).
        rate: Hz to which the waveform is resampled.
        window_s: seconds that one tile shows, from the middle of the record.
        tile: side of a tile in pixels.
        columns: tiles in a row of the grid.
        bins: quantile bins of the MTF.
    """

    layout: Literal["all-grid"] = "all-grid"
    rate: float = 100.0
    window_s: float = 10.0
    tile: int = 64
    columns: int = 4
    bins: int = 8

    @property
    def window(self) -> int:
        """Samples in the window."""
        return seconds_to_samples(self.window_s, self.rate)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the image."""
        rows = -(-len(LEADS) // self.columns)
        return rows * self.tile, self.columns * self.tile, 3

    @property
    def id(self) -> str:
        """Stable short id of this specification."""
        canonical = msgspec.json.encode(asdict(self), order="sorted")
        return f"{self.layout}-{hashlib.sha256(canonical).hexdigest()[:12]}"

    def to_json(self) -> str:
        """Return the JSON form that travels in a model's configuration."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "ImageSpec":
        """Read the JSON form.

        Raises:
            msgspec.ValidationError: if a field is missing, unknown or of another type.
        """
        found = msgspec.json.decode(text, type=dict[str, Any])
        if odd := found.keys() ^ {field.name for field in fields(cls)}:
            raise msgspec.ValidationError(f"missing or unknown fields: {', '.join(sorted(odd))}")
        return msgspec.convert(found, cls)


def image_of(waveform: Waveform, spec: ImageSpec) -> Image:
    """Clean one waveform and draw it: (height, width, 3) uint8."""
    image: Image = draw(window_of(waveform, spec)[None], spec)[0]
    return image


def window_of(waveform: Waveform, spec: ImageSpec) -> Signal:
    """Clean one waveform and cut its window: (12, window) float32, mV."""
    return centre_window(clean(waveform, spec.rate), spec.window)


def draw(windows: Signal, spec: ImageSpec) -> Image:
    """Draw a batch of windows.

    Args:
        windows: (B, 12, window) float32, any unit: every channel is normalised per lead.
        spec: the image to make.

    Returns:
        (B, height, width, 3) uint8. Channel 0 is GASF, [-1, 1] on 0..255; channel 1 is RP divided by
        the lead's range; channel 2 is MTF, [0, 1].
    """
    batch, leads, _ = windows.shape
    tiles = np.empty((batch, leads, spec.tile, spec.tile, 3), dtype=np.uint8)
    for window, drawn in zip(windows, tiles, strict=True):  # one record stays in the cache
        _draw_leads(window, drawn, spec)
    return _grid(tiles, spec.columns)


def _draw_leads(window: Signal, tiles: Image, spec: ImageSpec) -> None:
    """Draw the (12, window) leads of one record into their (12, tile, tile, 3) tiles."""
    reduced = paa(window, spec.tile)  # (12, tile)
    span = np.ptp(reduced, axis=-1)[..., None, None]
    span[span == 0.0] = 1.0
    tiles[..., 0] = _levels(gasf(reduced), np.float32(127.5), 127.5)
    tiles[..., 1] = _levels(recurrence(reduced), np.float32(255.0) / span)
    tiles[..., 2] = _levels(
        markov_transition_field(window, spec.tile, spec.bins), np.float32(255.0)
    )


def _levels(field: Signal, scale: Signal | np.float32, shift: float = 0.0) -> Signal:
    """Put a field on 0..255, in place, so that cutting off the fraction rounds to the nearest."""
    field *= scale
    field += np.float32(shift + 0.5)
    return field


def _grid(tiles: Image, columns: int) -> Image:
    """Lay (B, leads, tile, tile, C) out in rows of `columns` tiles, the rest of the last one black."""
    batch, leads, tile, _, channels = tiles.shape
    rows = -(-leads // columns)
    blank = rows * columns - leads
    tiles = np.pad(tiles, ((0, 0), (0, blank), (0, 0), (0, 0), (0, 0))) if blank else tiles
    grid = tiles.reshape(batch, rows, columns, tile, tile, channels)
    grid = grid.transpose(0, 1, 3, 2, 4, 5)  # (B, rows, tile, columns, tile, C)
    return np.ascontiguousarray(grid.reshape(batch, rows * tile, columns * tile, channels))
