import json
import shutil
from io import BytesIO
from urllib.parse import quote

import httpx
import pytest
from google.protobuf.json_format import ParseDict
from PIL import Image as Picture

from cardex.api.convert.traces import trace_of
from cardex.api.pb.v1 import case_pb2
from cardex.signals.image_spec import ImageSpec
from cardex.signals.trace import waveform_of
from tests.helpers.real import demo_data, dicom


@pytest.fixture(scope="module")
def web(stack):
    with httpx.Client(base_url=stack.endpoints.web, timeout=30) as client:
        yield client


def test_an_uploaded_file_gets_an_answer(web):
    response = web.post(
        "/v1/ecgs:retrieve", files={"files": ("a.dcm", dicom().read_bytes())}, data={"top_k": "4"}
    )
    assert response.status_code == 200
    answer = response.json()["answer"]
    assert len(answer["hits"]) == 4
    assert answer["disclaimer"] == "RESEARCH USE ONLY"
    assert answer["hits"][0]["report"]["text"]


def test_a_wfdb_recording_is_uploaded_as_two_files(web):
    header = demo_data().cpsc[0]
    signals = header.with_suffix(".mat")
    for order in ([header, signals], [signals, header]):
        files = [("files", (path.name, path.read_bytes())) for path in order]
        response = web.post("/v1/ecgs:retrieve", files=files)
        assert response.status_code == 200, response.text


def test_a_job_is_looked_up(web):
    files = {"files": ("a.dcm", dicom().read_bytes())}
    made = web.post("/v1/ecgs:retrieve", files=files, data={"top_k": "6", "priority": "ROUTINE"})
    job_id = made.json()["job_id"]
    job = web.get(f"/v1/jobs/{job_id}").json()["job"]
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert len(job["answer"]["hits"]) == 6


@pytest.mark.parametrize(
    ("files", "data", "status", "reason", "field"),
    [
        (b"no ecg", {}, 400, "NOT_AN_ECG", "ecg.file.content"),
        (b"", {}, 400, "EMPTY_PAYLOAD", "ecg.file.content"),
        (b"no ecg", {"top_k": "0"}, 400, "TOP_K", "question.top_k"),
        (b"no ecg", {"top_k": "99999999999"}, 400, "TOP_K", "question.top_k"),
        (b"no ecg", {"rerank": "1"}, 400, "RERANK", "question.rerank"),
        (b"no ecg", {"priority": "SOON"}, 400, "PRIORITY", "priority"),
        (b"no ecg", {"by": "NEAR"}, 400, "NEARNESS", "by"),
        (b"no ecg", {"filter": '{"sex": "F"}'}, 400, "SCHEMA", "filter.sex"),
    ],
)
def test_a_bad_upload_is_refused_with_reason_and_field(web, files, data, status, reason, field):
    response = web.post("/v1/ecgs:retrieve", files={"files": ("x", files)}, data=data)
    error = response.json()["error"]
    assert (response.status_code, error["reason"], error["field"]) == (status, reason, field)


def test_a_large_upload_is_refused_before_it_is_read(web):
    files = {"files": ("x", b"x" * (17 * 1024 * 1024))}
    response = web.post("/v1/ecgs:retrieve", files=files)
    assert (response.status_code, response.json()["error"]["reason"]) == (413, "PAYLOAD_TOO_LARGE")


def test_an_upload_without_length_or_form_is_refused(web):
    assert web.post("/v1/ecgs:retrieve", content=iter([b"x"])).status_code == 413
    assert web.post("/v1/ecgs:retrieve", content=b"x").status_code == 422


def test_half_a_surrogate_pair_is_refused_with_the_usual_body(web):
    headers = {"content-type": "application/json"}
    response = web.post("/v1/reports:search", content=b'{"text":"\\ud800"}', headers=headers)
    assert (response.status_code, response.json()["error"]["field"]) == (422, "text")


def test_an_upload_is_submitted_and_watched_to_its_end(web):
    files = {"files": ("a.dcm", dicom().read_bytes())}
    data = {"top_k": "3", "request_id": "watched"}
    job = web.post("/v1/ecgs:submit", files=files, data=data).json()["job"]
    assert job["priority"] == "PRIORITY_ROUTINE"
    with web.stream("POST", "/v1/jobs:watch", json={"job_ids": [job["job_id"]]}) as stream:
        lines = list(stream.iter_lines())
    assert [line for line in lines if line.startswith("event: ")][-1] == "event: end"
    last = [json.loads(line[6:]) for line in lines if line.startswith("data: ")][-2]["jobs"][0]
    assert last["state"] == "JOB_STATE_SUCCEEDED"
    assert len(last["answer"]["hits"]) == 3
    fetched = web.get(f"/v1/jobs/{job['job_id']}").json()["job"]
    assert fetched["answer"]["hits"] == last["answer"]["hits"]


def test_an_unknown_job_is_not_watched(web):
    response = web.post("/v1/jobs:watch", json={"job_ids": ["000"]})
    assert (response.status_code, response.json()["error"]["field"]) == (404, "job_ids")


def test_an_upload_is_shown_as_its_trace(web):
    header = demo_data().cpsc[0]
    files = [("files", (path.name, path.read_bytes()))
             for path in (header, header.with_suffix(".mat"))]  # fmt: skip
    shown = web.post("/v1/ecgs:trace", files=files).json()
    waveform = waveform_of(trace_of(ParseDict(shown["trace"], case_pb2.Trace())))
    assert (shown["format"], waveform.signal.shape) == ("WFDB", (12, 2500))
    answer = web.post("/v1/ecgs:retrieve", files=files).json()["answer"]
    assert shown["signal_quality"] == answer["signal_quality"]


def test_the_demos_ecgs_are_there_to_try(web, settings):
    folder = settings.data_dir / "data" / "cpsc_2018"
    shutil.copytree(demo_data().cpsc[0].parent, folder)
    first, *rest = web.get("/v1/examples").json()["examples"]
    assert len(rest) == 9
    zipped = web.get(f"/v1/examples/{first['id']}").content
    response = web.post("/v1/ecgs:retrieve", files={"files": ("example.zip", zipped)})
    assert response.status_code == 200, response.text


def test_a_server_without_keys_asks_for_none(web):
    state = {"needs_key": False, "signed_in": False, "csrf": ""}
    assert web.get("/v1/session").json() == state


def test_an_unknown_job_is_404(web):
    response = web.get("/v1/jobs/000")
    assert (response.status_code, response.json()["error"]["reason"]) == (404, "JOB_NOT_FOUND")


def test_reports_are_searched_by_text(web):
    query = {"text": "sinus tachycardia", "top_k": 2}
    response = web.post("/v1/reports:search", json=query)
    assert len(response.json()["answer"]["hits"]) == 2


@pytest.mark.parametrize("case_id", ["none", "a/none", "'", "x'] or case_id in ['y", "%00", " "])
def test_an_unknown_case_is_404(web, case_id):
    response = web.get(f"/v1/cases/{quote(case_id)}")
    assert (response.status_code, response.json()["error"]["field"]) == (404, "case_id")


def test_the_image_that_the_model_sees_is_drawn(web):
    files = {"files": ("a.dcm", dicom().read_bytes())}
    trace = web.post("/v1/ecgs:trace", files=files).json()["trace"]
    answer = web.post("/v1/ecgs:retrieve", files=files, data={"trace": "true"}).json()["answer"]
    assert answer["trace"] == trace
    spec = ImageSpec.from_json(web.get("/v1/server").json()["image_spec_json"])
    picture = Picture.open(BytesIO(web.post("/v1/traces:image", json={"trace": trace}).content))
    assert picture.size == spec.shape[1::-1]


def test_the_probes_and_the_contract_answer(web):
    assert web.get("/healthz").json() == {"status": "alive"}
    assert web.get("/readyz").json() == {"status": "SERVING"}
    paths = web.get("/openapi.json").json()["paths"]
    assert "/v1/ecgs:retrieve" in paths
    assert web.get("/v1/server").json()["model_version"].startswith("cardex-")


def test_the_metrics_tell_stages_queues_cache_and_batches(web):
    for _ in range(2):
        web.post("/v1/ecgs:retrieve", files={"files": ("a.dcm", dicom().read_bytes())})
    text = web.get("/metrics").text
    for stage in ("queue", "read", "clean", "encode", "inference", "search"):
        assert f'cardex_stage_seconds_count{{stage="{stage}"}}' in text
    for name in (
        'cardex_queue_depth{queue="stat"}',
        'cardex_queue_oldest_age_seconds{queue="routine"}',
        'cardex_answer_cache_total{outcome="hit"}',
        'cardex_batch_size_count{queue="stat"}',
        'cardex_requests_total{code="OK",method="/cardex.v1.EcgRetrievalService/Retrieve",outcome="OK"}',
    ):
        assert name in text
