"""What the commands do that draw one recording and need no server: encode and plot."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from PIL import Image

from services.domain import ecg
from services.domain.ecg import Waveform
from services.domain.errors import InvalidQuestion
from services.records import load, recordings
from services.signals.cleaning import MONITORING, Filter, clean
from services.signals.images import image_of
from services.signals.paper.page import PaperStyle, draw_paper
from services.signals.paper.png import to_png
from services.signals.paper.svg import to_svg
from services.signals.readers import read
from services.signals.spec import ImageSpec

Treatment = Literal["raw", "level", "filtered"]
"""What is done to a signal before it is plotted."""
LEVEL = Filter(band_hz=(0.5, 0.0))
"""Takes out baseline wander only. The AHA/ACC/HRS recommendations of 2007 (Kligfield et al., Circulation
115:1306) allow up to 0.67 Hz where the filter has zero phase: it leaves the ST segment at its level."""


def run_encode(path: Path, out: Path, spec: ImageSpec, zoom: int) -> None:
    """Write the image of one recording as PNG, each pixel as a square of `zoom`.

    Raises:
        InvalidEcg: if the file is no ECG.
        InvalidQuestion: if the file cannot be written.
    """
    pixels = _pixels(image_of(_waveform(path), replace(spec, dtype="uint8")))
    picture = Image.fromarray(pixels.repeat(zoom, axis=0).repeat(zoom, axis=1))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    _write(out, {".png": buffer.getvalue()})


def run_plot(path: Path, out: Path, style: PaperStyle, *, treatment: Treatment, dpi: int) -> None:
    """Write one recording on grid paper, as PNG or SVG.

    Raises:
        InvalidEcg: if the file is no ECG.
        InvalidQuestion: for a suffix, resolution or start that cannot be, or a file that cannot be
            written.
    """
    suffix = out.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise InvalidQuestion(f"{out.name}: name a file that ends in .png or .svg", field="out")
    waveform, processing = _treated(_waveform(path), treatment)
    drawing = draw_paper(waveform, replace(style, processing=processing))
    content = to_svg(drawing).encode() if suffix == ".svg" else to_png(drawing, dpi)
    _write(out, {suffix: content})


def image_spec(text: str) -> ImageSpec:
    """Read what `--spec` was given: a layout, a JSON object of some fields, or a file with one.

    Raises:
        InvalidQuestion: naming the field and what it may be.
    """
    try:
        return ImageSpec.from_fields(_spec_fields(text))
    except (msgspec.ValidationError, json.JSONDecodeError, ValueError) as error:
        raise InvalidQuestion(
            f"no image specification: {error}; for example raster, or"
            """ '{"layout": "simple-plot", "tile": 128}'""",
            field="spec",
        ) from error


def _spec_fields(text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        path = Path(text)
        if not path.is_file():
            return {"layout": text}
        text = path.read_text(encoding="utf-8")
    fields: dict[str, Any] = json.loads(text)
    return fields


def _waveform(path: Path) -> Waveform:
    files = next(recordings([path]), [path]) if path.exists() else [path]
    return read(load(files))


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
    """Give an image of one, two or three channels those of a picture: grey, or red, green and blue."""
    channels = image.shape[2]
    if channels == 1:
        return image[..., 0]
    return np.pad(image, ((0, 0), (0, 0), (0, 3 - channels)))


def _write(out: Path, contents: dict[str, bytes]) -> None:
    content = contents.get(out.suffix.lower())
    if content is None:
        raise InvalidQuestion(
            f"{out.name}: name a file that ends in {' or '.join(contents)}", field="out"
        )
    try:
        out.write_bytes(content)
    except OSError as error:
        raise InvalidQuestion(
            f"cannot write {out}: {error.strerror}: name a file in a folder that you can write to",
            field="out",
        ) from error
