import json
from collections.abc import Iterator

import httpx
import pytest

from cardex.domain.errors import Unavailable
from cardex.web import jobs
from tests.unit.web.conftest import KEY, refused


def events(response: httpx.Response) -> Iterator[tuple[str, dict]]:
    """Yield the events of a stream; a comment has no data."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield ":", {}


def watching(web, **query):
    return web.stream("POST", "/v1/jobs:watch", json={"job_ids": ["1", "2"], **query})


def states(data: dict) -> list[str]:
    return [job["state"] for job in data["jobs"]]


def test_changes_come_until_all_jobs_are_final(web, gateway):
    with watching(web) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        (first, queued), (second, final), (last, nothing) = events(response)
    assert (first, second, last, nothing) == ("jobs", "jobs", "end", {})
    assert states(queued) == ["JOB_STATE_QUEUED"] * 2
    assert states(final) == ["JOB_STATE_SUCCEEDED"] * 2
    assert (queued["cursor"], final["cursor"]) == ("1-0", "2-0")
    assert final["jobs"][0]["answer"]["model_version"] == "made up"


def test_the_query_goes_on_whole(web, gateway):
    with watching(web, cursor="1-0", with_answers=False) as response:
        found = list(events(response))
    (sent,) = gateway.asked
    assert (list(sent.job_ids), sent.cursor, sent.with_answers) == (["1", "2"], "1-0", False)
    assert sent.many
    assert found[1][1]["jobs"][0].get("answer") is None


def test_what_is_refused_at_once_has_its_status(web, gateway):
    response = web.post("/v1/jobs:watch", json={"job_ids": ["unknown"]})
    assert refused(response) == (404, "JOB_NOT_FOUND", "job_ids")
    gateway.keys = {KEY}
    assert web.post("/v1/jobs:watch", json={"job_ids": ["1"]}).status_code == 401


@pytest.mark.parametrize("job_ids", [[], ["1"] * 10_001, "1", [1]])
def test_a_wrong_list_of_jobs_is_refused(web, job_ids):
    response = web.post("/v1/jobs:watch", json={"job_ids": job_ids})
    status, reason, field = refused(response)
    assert (status, reason, field.split(".")[0]) == (422, "SCHEMA", "job_ids")


def test_an_error_in_the_midst_is_an_event(web, gateway):
    gateway.going_on.clear()
    gateway.broken = Unavailable("the state store is down", retry_after_s=1.0)
    with watching(web) as response:
        stream = events(response)
        assert next(stream)[0] == "jobs"
        gateway.going_on.set()
        name, data = next(stream)
        assert list(stream) == []
    assert name == "error"
    assert data["error"]["reason"] == "UNAVAILABLE"


def test_a_quiet_stream_has_comments(web, gateway, monkeypatch):
    monkeypatch.setattr(jobs, "COMMENT_S", 0.01)
    gateway.going_on.clear()
    with watching(web) as response:
        stream = events(response)
        names = [next(stream)[0] for _ in range(3)]
        gateway.going_on.set()
        rest = [name for name, _ in stream if name != ":"]
    assert names == ["jobs", ":", ":"]
    assert rest == ["jobs", "end"]


def test_the_watch_ends_when_the_browser_leaves(web, gateway):
    gateway.going_on.clear()
    with watching(web) as response:
        next(events(response))
    assert gateway.cancelled.wait(30)


def test_the_watch_ends_when_the_server_stops(served, gateway):
    web, server = served
    gateway.going_on.clear()
    with watching(web) as response:
        stream = events(response)
        assert next(stream)[0] == "jobs"
        server.should_exit = True
        name, data = next(stream)
        assert list(stream) == []
    assert (name, data["error"]["reason"]) == ("error", "STOPPING")
    assert gateway.cancelled.wait(30)
