import pytest

from cardex.api.pb.v1 import case_pb2
from tests.unit.web.conftest import refused

FILES = {"files": ("a.dcm", b"content")}
QUESTION = {
    "top_k": "7",
    "rerank": "16",
    "by": "BOTH",
    "filter": '{"max_age": 60, "without_codes": ["PACE"]}',
    "trace": "true",
    "request_id": "mine",
}


@pytest.mark.parametrize(
    ("path", "usual"), [("retrieve", "PRIORITY_STAT"), ("submit", "PRIORITY_ROUTINE")]
)
def test_the_question_goes_on_whole(web, gateway, path, usual):
    assert web.post(f"/v1/ecgs:{path}", files=FILES, data=QUESTION).status_code == 200
    (sent,) = gateway.asked
    assert (sent.question.top_k, sent.question.rerank, sent.request_id) == (7, 16, "mine")
    assert sent.question.by == case_pb2.NEARNESS_BOTH
    assert sent.question.filter == case_pb2.CaseFilter(max_age=60, without_codes=["PACE"])
    assert sent.question.trace
    assert sent.ecg.file.content == b"content"
    assert sent.priority == type(sent)(priority=usual).priority


def test_what_is_left_out_is_not_set(web, gateway):
    web.post("/v1/ecgs:retrieve", files=FILES)
    (sent,) = gateway.asked
    assert sent.question.by == case_pb2.NEARNESS_UNSPECIFIED
    assert not sent.question.HasField("filter")
    assert not sent.question.trace


def test_answers_are_in_the_contracts_names(web):
    found = web.post("/v1/ecgs:retrieve", files=FILES, data={"by": "ECG"}).json()
    assert (found["job_id"], found["answer"]["by"]) == ("1", "NEARNESS_ECG")
    job = web.post("/v1/ecgs:submit", files=FILES, data={"priority": "STAT"}).json()["job"]
    assert (job["job_id"], job["priority"]) == ("1", "PRIORITY_STAT")


@pytest.mark.parametrize("path", ["retrieve", "submit"])
@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        ({"by": "NEAR"}, (400, "NEARNESS", "by")),
        ({"filter": "{"}, (400, "SCHEMA", "filter")),
        ({"filter": '{"sex": "W"}'}, (400, "SCHEMA", "filter.sex")),
        ({"priority": "SOON"}, (400, "PRIORITY", "priority")),
        ({"trace": "perhaps"}, (422, "SCHEMA", "trace")),
        ({"trace": "1"}, (422, "SCHEMA", "trace")),
    ],
)
def test_a_wrong_field_is_named(web, gateway, path, data, refusal):
    response = web.post(f"/v1/ecgs:{path}", files=FILES, data=data)
    assert refused(response) == refusal
    assert not gateway.asked


def test_reports_are_searched_by_nearness_and_filter(web, gateway):
    query = {"text": "pacemaker", "by": "ECG", "filter": {"languages": ["sv"]}}
    answer = web.post("/v1/reports:search", json=query).json()["answer"]
    assert answer["by"] == "NEARNESS_ECG"
    (sent,) = gateway.asked
    assert sent.filter == case_pb2.CaseFilter(languages=["sv"])
    wrong = web.post("/v1/reports:search", json={**query, "filter": {"languages": "sv"}})
    assert refused(wrong) == (400, "SCHEMA", "filter.languages")


@pytest.mark.parametrize(
    ("path", "case_id"), [("12", "12"), ("a/b.1:2", "a/b.1:2"), ("a%2Fb", "a/b")]
)
def test_a_case_is_fetched_by_an_id_that_may_hold_a_slash(web, path, case_id):
    assert web.get(f"/v1/cases/{path}").json()["case"]["case_id"] == case_id


def test_the_server_says_what_nearness_means_and_which_image_is_seen(web, gateway):
    info = web.get("/v1/server").json()
    assert (info["by"], info["image_spec_json"]) == ("NEARNESS_BOTH", gateway.image_spec_json)
