"""`ImageSpec` says how an image is made of an ECG. Each model has the one it was trained with."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import msgspec

from cardex.domain.ecg import LEADS
from cardex.signals.cleaning import MONITORING, Filter, seconds_to_samples

Layout = Literal["all-grid", "all-concat", "simple-plot", "raster"]
Source = Literal["rhythm", "median-beat", "beat"]
Encoding = Literal["gasf", "gadf", "rp", "mtf", "black"]
Scaling = Literal["lead", "record", "deviation", "millivolt", "peak"]
Fill = Literal["rows", "columns"]
Dtype = Literal["uint8", "float32"]

DEVIATIONS = 8.0
"""Standard deviations at the end of the scale "deviation": an R peak has about six."""
MARKS_MV = (0.01, 10.0)
"""Standard deviations of a lead whose marks are 1 and 255; a step between is 2.7 per cent."""
UNKNOWN_MARK = 0
"""Mark of a lead whose unit is unknown."""
MAX_PIXELS = 4096
MAX_BEAT_S = 2.0


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """How the image that an encoder sees is made.

    Attributes:
        layout: "all-grid": each lead is one tile, its encodings are the channels (Qiu et
            al. 2023).
            "all-concat": the leads joined end to end are one tile. "simple-plot": each lead is
            drawn as a curve in its tile. "raster": one row of pixels for each lead, one column for
            each sample.
        source: "rhythm" for the best window of the record, "median-beat" for its median beat,
            "beat" for one beat with its R peak in the middle.
        encodings: one to three channels of "all-grid" and "all-concat"; "black" is an empty one.
        rate: Hz to which the record is resampled.
        window_s: length of the window or the beat, s.
        filter: the filter that the record passes before.
        tile: side of a tile in pixels; "raster" has no tiles.
        columns: tiles in a row of "all-grid" and "simple-plot".
        bins: quantile bins of the MTF.
        dimension: embedding dimension m of the RP.
        delay: time delay tau of the RP, in pixels.
        threshold: threshold of the RP, as a share of the largest distance; 0 shows the distances
            themselves.
        scaling: the amplitudes that become -1 and 1: "lead" for the extremes of each lead, "record"
            for those of all leads, "deviation" for 8 standard deviations about the mean of each
            lead, which hardly changes with a single spike, "millivolt" for `full_scale_mv`, or
            "peak" for the largest absolute value of each lead. With "peak", 0 mV stays 0, and the
            RP shows distances of up to this value, larger ones as 1.
        full_scale_mv: amplitude at the end of the scale "millivolt", and of the amplitudes that a
            model reads by the marks of `amplitude`.
        dtype: "uint8" for pixels of 0 to 255, "float32" for the values themselves.
        amplitude: whether the last column of a "raster" by "deviation" has marks in place of
            samples, as paper has a calibration pulse at its edge: each lead's standard deviation
            in mV, on a logarithmic scale from 1 to 255 over `MARKS_MV`, or `UNKNOWN_MARK`. With it,
            the shape can be read in mV.
        fill: whether the leads fill the tiles row by row ("rows") or column by column ("columns").
        size: side in pixels of the square to which the whole image is resized at last; 0 to leave
            it as it is drawn.
    """

    layout: Layout = "all-grid"
    source: Source = "rhythm"
    encodings: tuple[Encoding, ...] = ("gasf", "rp", "mtf")
    rate: float = 100.0
    window_s: float = 10.0
    filter: Filter = MONITORING
    tile: int = 64
    columns: int = 4
    bins: int = 8
    dimension: int = 1
    delay: int = 1
    threshold: float = 0.0
    scaling: Scaling = "lead"
    full_scale_mv: float = 2.0
    dtype: Dtype = "uint8"
    amplitude: bool = False
    fill: Fill = "rows"
    size: int = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ValueError: naming the field and what it may be.
        """
        self._check_choices()
        for field, (low, high) in _RANGES.items():
            if not low <= getattr(self, field) <= high:
                raise ValueError(f"{field} {getattr(self, field)}: must be {low} to {high}")
        for field in ("rate", "window_s", "threshold", "full_scale_mv"):
            # Equal specifications must have the same JSON form, since their id is computed from it.
            object.__setattr__(self, field, float(getattr(self, field)) + 0.0)
        self._check_together()

    def _check_choices(self) -> None:
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                raise ValueError(
                    f"{field} {getattr(self, field)!r}: must be {' or '.join(allowed)}"
                )
        shown = [encoding for encoding in self.encodings if encoding != "black"]
        known = get_args(Encoding)
        if not 1 <= len(set(shown)) == len(shown) <= len(self.encodings) <= 3 or not set(
            shown
        ) <= set(known):
            raise ValueError(
                f"encodings {self.encodings}: must be one to three of {', '.join(known)}"
            )

    def _check_together(self) -> None:
        if self.rate <= 2 * max(self.filter.band_hz):
            raise ValueError(
                f"rate {self.rate:g}: must be over twice the band's {self.filter.band_hz}"
            )
        if self.source != "rhythm" and self.window_s > MAX_BEAT_S:
            raise ValueError(f"window_s {self.window_s:g}: a beat has at most {MAX_BEAT_S:g} s")
        if self.layout != "raster" and self._needed > self._drawn:
            raise ValueError(
                f"tile {self.tile}: {self._drawn} samples cannot fill the {self._needed} it needs; "
                "make rate or window_s larger or tile smaller"
            )
        if self.amplitude and (self.layout, self.scaling) != ("raster", "deviation"):
            raise ValueError(
                "amplitude: the marks belong to a raster by deviation; this is"
                f" {self.layout} by {self.scaling}"
            )
        if self.amplitude and self.size:
            raise ValueError(
                f"amplitude: the marks would be mixed with the signal by size {self.size}; leave"
                " out one or the other"
            )

    @property
    def window(self) -> int:
        """Samples in the window."""
        return seconds_to_samples(self.window_s, self.rate)

    @property
    def points(self) -> int:
        """Points to which a series is reduced so that the RP of its trajectories fills a tile."""
        return self.tile + (self.dimension - 1) * self.delay

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the image."""
        height, width, channels = self.canvas
        return (self.size or height), (self.size or width), channels

    @property
    def canvas(self) -> tuple[int, int, int]:
        """(height, width, channels) of the image before it is resized to `size`."""
        if self.layout == "raster":
            return len(LEADS), self.window, 1
        if self.layout == "all-concat":
            return self.tile, self.tile, len(self.encodings)
        rows = -(-len(LEADS) // self.columns)
        channels = 1 if self.layout == "simple-plot" else len(self.encodings)
        return rows * self.tile, self.columns * self.tile, channels

    @property
    def id(self) -> str:
        """Short id of this specification: equal specifications have equal ids, on every machine."""
        canonical = msgspec.json.encode(self._written(), order="sorted")
        return f"{self.layout}-{hashlib.sha256(canonical).hexdigest()[:12]}"

    @property
    def _needed(self) -> int:
        return self.tile if self.layout == "simple-plot" else self.points

    @property
    def _drawn(self) -> int:
        return self.window * (len(LEADS) if self.layout == "all-concat" else 1)

    def to_json(self) -> str:
        """Return the JSON form that stands in a model's configuration.

        The fields of `_ADDED` stand in it only where they differ from their defaults, so a
        specification without them keeps its JSON form and its id.
        """
        return msgspec.json.encode(self._written()).decode()

    def _written(self) -> dict[str, Any]:
        fields = asdict(self)
        for path, default in _ADDED.items():
            outer, _, name = path.rpartition(".")
            holder = fields[outer] if outer else fields
            if holder[name] == default:
                del holder[name]
        return fields

    @classmethod
    def from_json(cls, text: str) -> "ImageSpec":
        """Read the JSON form.

        Raises:
            msgspec.ValidationError: if a field is missing that is not in `_ADDED`, or a field is
                unknown or has another type or range.
        """
        found = msgspec.json.decode(text, type=dict[str, Any])
        spec = cls.from_fields(found)
        if lacking := _paths(msgspec.to_builtins(spec)) - _paths(found) - _ADDED.keys():
            raise msgspec.ValidationError(f"missing fields: {', '.join(sorted(lacking))}")
        return spec

    @classmethod
    def from_fields(cls, found: Mapping[str, Any]) -> "ImageSpec":
        """Make a specification of some fields; the others keep their defaults.

        Raises:
            msgspec.ValidationError: if a field is unknown, of another type or out of range.
        """
        spec = msgspec.convert(found, cls)
        if odd := _paths(found) - _paths(msgspec.to_builtins(spec)):
            raise msgspec.ValidationError(f"unknown fields: {', '.join(sorted(odd))}")
        return spec


_CHOICES = {
    "layout": get_args(Layout),
    "source": get_args(Source),
    "scaling": get_args(Scaling),
    "dtype": get_args(Dtype),
    "fill": get_args(Fill),
}
_RANGES: dict[str, tuple[float, float]] = {
    "rate": (50.0, 1000.0),
    "window_s": (0.1, 60.0),
    "tile": (4, MAX_PIXELS // len(LEADS)),
    "columns": (1, len(LEADS)),
    "bins": (2, 100),
    "dimension": (1, 32),
    "delay": (1, 100),
    "threshold": (0.0, 1.0),
    "full_scale_mv": (0.1, 50.0),
    "size": (0, 1024),
}

_ADDED: dict[str, Any] = {"amplitude": False, "fill": "rows", "size": 0, "filter.order": 3}
"""Fields, with their defaults, that models exported by earlier releases do not have."""


def _paths(fields: Mapping[str, Any], prefix: str = "") -> set[str]:
    """Return the names of all fields, inner ones as "outer.inner"."""
    found = set()
    for name, value in fields.items():
        found |= (
            _paths(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name}
        )
    return found
