"""Parts are killed while jobs run: every job ends once, whatever dies."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import pytest
import redis

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import ecg_retrieval_pb2_grpc, job_pb2
from cardex.domain.jobs import JobState
from cardex.stores.job_queue import EVENTS
from tests.helpers.real import reports
from tests.helpers.stack import build_index, health, refusal, running_stack, variant
from tests.helpers.waiting import until

JOBS = 200
FINAL = {state.value for state in JobState if state.final}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fault")
    with running_stack(folder, lease_s=2.0, latch_s=1.0) as (stack, settings):
        build_index(settings, reports(1500))
        yield stack, settings


@pytest.fixture
def stack(running):
    return running[0]


@pytest.fixture
def settings(running):
    return running[1]


@pytest.fixture
def ecgs(settings):
    with grpc.insecure_channel(settings.gateway_target) as channel:
        yield ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(channel)


@pytest.fixture(scope="module", autouse=True)
def leases():
    """Let the workers' and the gateway's leases be short, as the stack's settings say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARDEX_LEASE_S", "2.0")
        patch.setenv("CARDEX_LATCH_S", "1.0")
        patch.setenv("CARDEX_KEEPALIVE_S", "1.0")
        yield


def events(settings) -> dict[str, list[str]]:
    client: Any = redis.Redis.from_url(settings.state_url)  # its types allow every reply
    found: dict[str, list[str]] = {}
    for _, fields in client.xrange(EVENTS):
        for job_id in fields[b"jobs"].decode().split():
            found.setdefault(job_id, []).append(fields[b"state"].decode())
    return found


def submit(settings, first: int, count: int) -> list[str]:
    requests = (
        pb.SubmitBatchRequest(item_id=str(number), ecg=variant(first + number))
        for number in range(count)
    )
    with Client.from_settings(settings) as client:
        return [response.job.job_id for response in client.submit(requests)]


def of_kind(stack, kind: str) -> list[str]:
    """Return the names of a part's processes, of which routine workers have several."""
    return [name for name in stack.processes if name == kind or name.startswith(f"{kind}-")]


def kill(stack, name: str) -> None:
    """Kill a part and its children, as the kernel would."""
    os.killpg(stack.processes[name].process.pid, signal.SIGKILL)


def mend(stack, seconds: float) -> None:
    """Do what `cardex up` does: start again what died."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stack.tend()
        time.sleep(0.1)


def last_states(settings, ids: list[str]) -> Counter[str]:
    seen = events(settings)
    return Counter(seen[job_id][-1] for job_id in ids)


def wait_final(stack, settings, ids: list[str], seconds: float = 120) -> Counter[str]:
    deadline = time.monotonic() + seconds
    while True:
        stack.tend()
        last = last_states(settings, ids)
        if set(last) <= FINAL:
            return last
        assert time.monotonic() < deadline, last
        time.sleep(0.3)


@contextmanager
def held(stack, name: str) -> Iterator[None]:
    """Stop a part's processes for a while: what is asked of it stays in flight."""
    group = stack.processes[name].process.pid
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)


def submit_and_kill(stack, settings, name: str, first: int, count: int) -> list[str]:
    """Kill a part in the midst of jobs: some answered, some at work, some waiting."""
    half = count // 2
    answered = submit(settings, first, half)

    def some_ended() -> bool:
        stack.tend()  # what was killed before may take another part with it
        return bool(FINAL & set(last_states(settings, answered)))

    until(some_ended)
    with held(stack, "triton"):
        open_ids = submit(settings, first + half, count - half)
        until(lambda: "RUNNING" in last_states(settings, answered + open_ids))
        assert not FINAL & set(last_states(settings, open_ids))
        for each in of_kind(stack, name):
            kill(stack, each)
    return answered + open_ids


def test_200_jobs_survive_the_death_of_every_part(stack, settings):
    ids = []
    for place, name in enumerate(("worker-routine", "triton", "milvus", "state")):
        ids += submit_and_kill(stack, settings, name, place * 50, JOBS // 4)
        mend(stack, 1.0)
    assert len(set(ids)) == JOBS
    assert wait_final(stack, settings, ids) == {"SUCCEEDED": JOBS}
    seen = events(settings)
    for job_id in ids:
        assert [state for state in seen[job_id] if state in FINAL] == ["SUCCEEDED"]
    with Client.from_settings(settings) as client:
        answers = {job.job_id: job.answer for job in client.finished(ids, 60)}
    assert len(answers) == JOBS
    assert all(answer.hits for answer in answers.values())


def test_a_bedside_caller_is_told_when_triton_is_down_and_a_job_waits(stack, settings, ecgs):
    kill(stack, "triton")
    stack.processes["triton"].process.wait()
    try:
        found = refusal(ecgs.Retrieve, pb.RetrieveRequest(ecg=variant(3000)), timeout=30)
        assert found.code == grpc.StatusCode.UNAVAILABLE
        assert found.retry_s
        job = ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=variant(3001)), timeout=20).job
        assert job.state == job_pb2.JOB_STATE_QUEUED
        assert _health(settings) == "NOT_SERVING"
    finally:
        stack.tend()
    assert wait_final(stack, settings, [job.job_id]) == {"SUCCEEDED": 1}
    until(lambda: _health(settings) == "SERVING")


def test_a_stopped_milvus_is_a_clear_word_too(stack, settings, ecgs):
    kill(stack, "milvus")
    stack.processes["milvus"].process.wait()
    # Until then a worker may answer from the index in its memory.
    until(lambda: _health(settings) == "NOT_SERVING")
    found = refusal(ecgs.Retrieve, pb.RetrieveRequest(ecg=variant(3050)), timeout=30)
    assert found.code == grpc.StatusCode.UNAVAILABLE
    assert found.retry_s
    stack.tend()
    until(lambda: _health(settings) == "SERVING")
    assert ecgs.Retrieve(pb.RetrieveRequest(ecg=variant(3100)), timeout=30).answer.hits


def test_a_cache_that_dies_costs_time_and_nothing_else(stack, settings, ecgs):
    kill(stack, "cache")
    stack.processes["cache"].process.wait()
    assert ecgs.Retrieve(pb.RetrieveRequest(ecg=variant(3200)), timeout=30).answer.hits
    stack.tend()


def test_a_gateway_that_dies_loses_no_acknowledged_job(stack, settings):
    ids = submit(settings, 4000, 30)
    kill(stack, "gateway")
    mend(stack, 1.0)
    assert wait_final(stack, settings, ids) == {"SUCCEEDED": 30}


def test_jobs_whose_wake_ups_are_lost_are_found(stack, settings):
    workers = [stack.processes[name] for name in of_kind(stack, "worker-routine")]
    for worker in workers:
        worker.stop()
    ids = submit(settings, 5000, 5)
    client = redis.Redis.from_url(settings.state_url)
    client.delete(*[key for key in client.keys("*celery*") if b"_kombu" not in key] or ["none"])
    for worker in workers:
        worker.start()
        worker.wait_ready()
    assert wait_final(stack, settings, ids) == {"SUCCEEDED": 5}


def test_workers_that_are_asked_to_stop_finish_what_they_hold(stack, settings):
    ids = submit(settings, 6000, 60)
    workers = [stack.processes[name].process for name in of_kind(stack, "worker-routine")]
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    for worker in workers:
        try:
            worker.wait(30)
        except subprocess.TimeoutExpired:
            pytest.fail("a worker does not stop")
    running = [job for job, states in events(settings).items() if states[-1] == "RUNNING"]
    assert running == []
    mend(stack, 0.5)
    assert wait_final(stack, settings, ids) == {"SUCCEEDED": 60}


def _health(settings) -> str:
    with grpc.insecure_channel(settings.gateway_target) as channel:
        return health(channel, "cardex.v1.EcgRetrievalService")
