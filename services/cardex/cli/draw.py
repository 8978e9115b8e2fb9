"""What the commands do that draw one recording and need no server: encode and plot."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from cardex.api.recordings import one_recording
from cardex.domain import ecg
from cardex.domain.ecg import Waveform
from cardex.domain.errors import InvalidQuestion
from cardex.plotting.page import draw_paper
from cardex.plotting.paper_style import PaperStyle
from cardex.plotting.png import to_png
from cardex.plotting.svg import to_svg
from cardex.signals.cleaning import MONITORING, Filter, clean
from cardex.signals.image_spec import ImageSpec, Layout
from cardex.signals.images import image_of
from cardex.signals.readers import read

Treatment = Literal["raw", "level", "filtered"]
"""What is done to a signal before it is plotted."""
MAX_PIXELS = 50_000_000
LEVEL = Filter(band_hz=(0.5, 0.0))
"""Takes out baseline wander only.

The AHA/ACC/HRS recommendations of 2007 (Kligfield et al., Circulation 115:1306) allow up to 0.67 Hz
where the filter has zero phase: it leaves the ST segment at its level.
"""


def run_encode(path: Path, out: Path, spec: ImageSpec, zoom: int) -> None:
    """Write the image of one recording as PNG, each pixel as a square of `zoom`.

    Raises:
        InvalidEcg: if the file is no ECG.
        InvalidQuestion: if the file cannot be written.
    """
    _check_suffix(out, (".png",))
    height, width, _ = spec.shape
    if height * width * zoom**2 > MAX_PIXELS:
        raise InvalidQuestion(
            f"zoom {zoom} makes {height * zoom} x {width * zoom} pixels: at most {MAX_PIXELS} in"
            f" all",
            field="zoom",
        )
    pixels = _pixels(image_of(read(one_recording(path)), replace(spec, dtype="uint8")))
    picture = Image.fromarray(pixels.repeat(zoom, axis=0).repeat(zoom, axis=1))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    _write(out, buffer.getvalue())


def run_plot(path: Path, out: Path, style: PaperStyle, *, treatment: Treatment, dpi: int) -> None:
    """Write one recording on grid paper, as PNG or SVG: the whole of it, calibration pulses too.

    Raises:
        InvalidEcg: if the file is no ECG.
        InvalidQuestion: for a suffix, resolution or start that cannot be, or a file that cannot be
            written.
    """
    suffix = _check_suffix(out, (".png", ".svg"))
    waveform, processing = _treated(read(one_recording(path), with_pulses=True), treatment)
    drawing = draw_paper(waveform, replace(style, processing=processing))
    content = to_svg(drawing).encode() if suffix == ".svg" else to_png(drawing, dpi)
    _write(out, content)


def image_spec(text: str) -> ImageSpec:
    """Read what `--spec` was given: a layout, a JSON object of some fields, or a file with one.

    Raises:
        InvalidQuestion: naming the field and what it may be.
    """
    try:
        return ImageSpec.from_fields(_spec_fields(text))
    except (ValueError, OSError, RecursionError) as error:  # JSON and msgspec raise ValueErrors
        raise InvalidQuestion(
            f"no image specification: {error}; name a layout, a JSON file, or fields: raster,"
            """ '{"layout": "simple-plot", "tile": 128}'""",
            field="spec",
        ) from error


def _spec_fields(text: str) -> dict[str, Any]:
    if text in get_args(Layout):
        return {"layout": text}
    if not text.lstrip().startswith("{"):
        text = Path(text).read_text(encoding="utf-8-sig")
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return fields


def _treated(waveform: Waveform, treatment: Treatment) -> tuple[Waveform, str]:
    """Return what is plotted, and what the footer says was done to it."""
    if treatment == "raw":
        return waveform, "as recorded, not filtered"
    wanted = LEVEL if treatment == "level" else MONITORING
    low, high = wanted.band_hz
    try:
        signal = clean(waveform, waveform.rate, wanted)
    except ValueError as error:
        raise InvalidQuestion(f"{error}: leave out --filtered", field="filtered") from error
    done = f"band-pass {low:g}-{high:g} Hz" if high else f"high-pass {low:g} Hz"
    return replace(waveform, signal=signal), f"{done}, zero phase"


def _pixels(image: ecg.Image) -> ecg.Image:
    """Make an image of one, two or three channels grey, or red, green and blue."""
    channels = image.shape[2]
    if channels == 1:
        return image[..., 0]
    return np.pad(image, ((0, 0), (0, 0), (0, 3 - channels)))


def _check_suffix(out: Path, allowed: tuple[str, ...]) -> str:
    suffix = out.suffix.lower()
    if suffix not in allowed:
        raise InvalidQuestion(
            f"{out.name}: name a file that ends in {' or '.join(allowed)}", field="out"
        )
    return suffix


def _write(out: Path, content: bytes) -> None:
    try:
        out.write_bytes(content)
    except OSError as error:
        raise InvalidQuestion(
            f"cannot write {out}: {error.strerror}: name a file in a folder that you can write to",
            field="out",
        ) from error
