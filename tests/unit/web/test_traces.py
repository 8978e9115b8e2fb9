import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from PIL import Image as Picture

from cardex.api.convert.traces import trace_message, trace_of
from cardex.api.pb.v1 import case_pb2
from cardex.domain.ecg import FilePart
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import image_of
from cardex.signals.readers import read
from cardex.signals.trace import trace_of as trace_of_waveform
from cardex.signals.trace import waveform_of
from cardex.web.wire import json_of
from tests.helpers.real import dicom
from tests.unit.web.conftest import KEY, SPEC, refused


def shown(web, content: bytes, name: str = "a.dcm"):
    return web.post("/v1/ecgs:trace", files={"files": (name, content)})


@pytest.fixture(scope="module")
def trace():
    waveform = read((FilePart("", dicom().read_bytes()),))
    return json_of(trace_message(trace_of_waveform(waveform)))


def test_an_ecg_is_shown_as_its_trace(web):
    content = dicom().read_bytes()
    found = shown(web, content).json()
    waveform = read((FilePart("", content),))
    message = ParseDict(found["trace"], case_pb2.Trace())
    assert trace_of(message) == trace_of_waveform(waveform)
    assert found["format"] == "DICOM Waveform"
    assert found["device"] == waveform.metadata.device
    assert found["recorded_at"] == waveform.metadata.recorded_at
    assert 40 < found["signal_quality"]["heart_rate_bpm"] < 120
    assert all(warning.keys() == {"code", "leads", "message"} for warning in found["warnings"])


def test_bytes_that_are_no_ecg_are_refused_as_the_gateway_does(web):
    assert refused(shown(web, b"no ecg")) == (400, "NOT_AN_ECG", "ecg.file.content")
    assert refused(shown(web, b"")) == (400, "EMPTY_PAYLOAD", "ecg.file.content")


def test_nobody_without_a_key_has_an_ecg_read(web, gateway):
    gateway.keys = {KEY}
    assert refused(shown(web, b"no ecg"))[0] == 401
    response = web.post("/v1/traces:image", json={"trace": {}})
    assert refused(response)[0] == 401


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        (SPEC, "RGB"),
        (replace(SPEC, encodings=("gasf", "mtf")), "RGB"),
        (replace(SPEC, encodings=("rp",), dtype="float32"), "L"),
        (ImageSpec(layout="raster"), "L"),
    ],
)
def test_the_image_is_what_the_model_sees(web, gateway, trace, spec, mode):
    gateway.image_spec_json = spec.to_json()
    response = web.post("/v1/traces:image", json={"trace": trace})
    assert response.headers["content-type"] == "image/png"
    picture = Picture.open(BytesIO(response.content))
    assert picture.mode == mode
    pixels = np.asarray(picture).reshape(*picture.size[::-1], -1)[..., : spec.shape[2]]
    waveform = waveform_of(trace_of(ParseDict(trace, case_pb2.Trace())))
    assert np.array_equal(pixels, image_of(waveform, replace(spec, dtype="uint8")))


@pytest.mark.parametrize("text", ["", "{", '{"layout": "new"}'])
def test_without_a_known_image_there_is_a_time_to_come_back(web, gateway, trace, text):
    gateway.image_spec_json = text
    response = web.post("/v1/traces:image", json={"trace": trace})
    assert refused(response) == (503, "IMAGE_SPEC", "")
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"rate_hz": 0}, "TRACE", "trace.rate_hz"),
        ({"rate_hz": 1e9}, "TRACE", "trace.rate_hz"),
        ({"rate_hz": "NaN"}, "SCHEMA", "trace.rate_hz"),
        ({"resolution_mv": -1}, "TRACE", "trace.resolution_mv"),
        ({"resolution_mv": "Infinity"}, "SCHEMA", "trace.resolution_mv"),
        ({"resolution_mv": 10}, "AMPLITUDE", "trace"),
        ({"samples": 0}, "TRACE", "trace.samples"),
        ({"samples": 2**31 - 1}, "TRACE", "trace.samples"),
        ({"samples": 20}, "TRACE", "trace"),
        ({"packed": base64.b64encode(b"x" * 16_385).decode()}, "TRACE", "trace.packed"),
        ({"packed": base64.b64encode(b"no stream").decode()}, "TRACE", "trace"),
        ({"packed": 1}, "SCHEMA", "trace.packed"),
        ({"start_s": "NaN"}, "SCHEMA", "trace.start_s"),
        ({"r_peaks": "many"}, "SCHEMA", "trace.r_peaks"),
        ({"name": "Doe"}, "SCHEMA", "trace"),
    ],
)
def test_a_damaged_trace_is_refused_by_its_field(web, trace, change, reason, field):
    response = web.post("/v1/traces:image", json={"trace": {**trace, **change}})
    assert refused(response) == (400, reason, field)
