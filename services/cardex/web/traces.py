"""ECGs to look at: a recording as its trace, and a trace as the image that the model sees."""

import math
from dataclasses import replace
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request, Response
from PIL import Image as Picture
from pydantic import BaseModel, Field

from cardex.api.convert.quality import quality_message, warning_messages
from cardex.api.convert.traces import trace_message, trace_of
from cardex.api.pb.v1 import case_pb2
from cardex.domain.ecg import MIN_RATE_HZ, FilePart
from cardex.domain.errors import InvalidEcg, Unavailable
from cardex.domain.trace import MAX_TRACE_BYTES, TRACE_RATE_HZ, TRACE_S, Trace
from cardex.signals.checks import check
from cardex.signals.cleaning import clean
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import image_of
from cardex.signals.quality import RATE_HZ, assess
from cardex.signals.readers import read
from cardex.signals.trace import trace_of as trace_of_waveform
from cardex.signals.trace import waveform_of
from cardex.web.credentials import Credentials
from cardex.web.errors import refusals
from cardex.web.gateway import info_of
from cardex.web.uploads import Files, parts_of
from cardex.web.wire import json_of, parse_message

router = APIRouter(prefix="/v1", tags=["ECGs"])
REFUSALS = refusals(400, 401, 403, 413, 422, 429, 500, 503, 504)
FIELD = "trace"
MAX_SAMPLES = round(TRACE_S * TRACE_RATE_HZ)
MAX_RESOLUTION_MV = 10.0

TRACE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rate_hz", "resolution_mv", "samples", "packed"],
    "properties": {
        "rate_hz": {"type": "number", "minimum": MIN_RATE_HZ, "maximum": TRACE_RATE_HZ},
        "resolution_mv": {
            "type": "number", "exclusiveMinimum": 0, "maximum": MAX_RESOLUTION_MV
        },
        "samples": {"type": "integer", "minimum": 1, "maximum": MAX_SAMPLES},
        "packed": {"type": "string", "contentEncoding": "base64"},
        "r_peaks": {"type": "array", "items": {"type": "integer"}},
        "start_s": {"type": "number"},
    },
}  # fmt: skip


class TraceBody(BaseModel):
    """A trace, as /v1/ecgs:trace, an answer or a case shows it."""

    trace: dict[str, Any] = Field(json_schema_extra=TRACE_SCHEMA)


@router.post("/ecgs:trace", responses=REFUSALS)
async def trace_ecg(request: Request, credentials: Credentials, files: Files) -> dict[str, Any]:
    """Read an ECG and show it, with the doubts about its signal; nothing is asked or kept."""
    await info_of(request, credentials)
    parts = await parts_of(files)
    found: dict[str, Any] = await request.app.state.reading.run(lambda: _shown(parts))
    return found


@router.post(
    "/traces:image",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **REFUSALS},
)
async def image_of_trace(request: Request, credentials: Credentials, body: TraceBody) -> Response:
    """Draw a trace as the image that the model sees."""
    info = await info_of(request, credentials)
    trace = _checked(trace_of(parse_message(body.trace, case_pb2.Trace(), FIELD)))
    spec = _spec_of(info.image_spec_json)
    png: bytes = await request.app.state.reading.run(lambda: _png(trace, spec))
    return Response(png, media_type="image/png")


def _shown(parts: tuple[FilePart, ...]) -> dict[str, Any]:
    waveform = read(parts)
    quality = assess(waveform, clean(waveform, RATE_HZ), TRACE_S)
    return {
        "trace": json_of(trace_message(trace_of_waveform(waveform))),
        "warnings": [json_of(warning) for warning in warning_messages(quality)],
        "signal_quality": json_of(quality_message(quality)),
        "format": waveform.source,
        "device": waveform.metadata.device,
        "recorded_at": waveform.metadata.recorded_at,
    }


def _checked(trace: Trace) -> Trace:
    """Check what bounds the work of unpacking and drawing a trace.

    Raises:
        InvalidEcg: naming the field.
    """
    rules = (
        ("rate_hz", MIN_RATE_HZ <= trace.rate <= TRACE_RATE_HZ),
        ("resolution_mv", 0.0 < trace.resolution <= MAX_RESOLUTION_MV),
        ("samples", 1 <= trace.samples <= MAX_SAMPLES),
        ("packed", len(trace.packed) <= MAX_TRACE_BYTES),
        ("start_s", math.isfinite(trace.start)),
    )
    for name, fits in rules:
        if not fits:
            raise InvalidEcg(
                f"{FIELD}.{name} is out of range: send a trace as /v1/ecgs:trace returned it",
                reason="TRACE",
                field=f"{FIELD}.{name}",
            )
    return trace


def _spec_of(text: str) -> ImageSpec:
    """Read the specification of the image that the model takes.

    Raises:
        Unavailable: if the gateway does not know it, or says what this release does not know.
    """
    try:
        return ImageSpec.from_json(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise Unavailable(
            "it is not known now which image the model takes: try again when Triton is back",
            reason="IMAGE_SPEC",
            retry_after_s=5.0,
        ) from error


def _png(trace: Trace, spec: ImageSpec) -> bytes:
    """Draw a trace: a PNG of grey or, where the image has more channels than one, of RGB."""
    try:
        waveform = waveform_of(trace)
        check(waveform)
    except InvalidEcg as error:
        raise InvalidEcg(error.message, reason=error.reason, field=FIELD) from error
    image = image_of(waveform, replace(spec, dtype="uint8"))  # (height, width, channels)
    if image.shape[2] == 2:  # a PNG has one channel or three
        image = np.pad(image, ((0, 0), (0, 0), (0, 1)))
    pixels = image[..., 0] if image.shape[2] == 1 else image
    content = BytesIO()
    Picture.fromarray(np.ascontiguousarray(pixels)).save(content, "PNG")
    return content.getvalue()
