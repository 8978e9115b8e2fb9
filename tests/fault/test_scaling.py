"""Workers come and go while 2,000 jobs run: each job is begun once, and ends."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import job_pb2
from cardex.domain.settings import Settings
from cardex.local_stack.stack import Stack
from loadtest.ecgs import Ecgs
from tests.helpers.fleet import another, drained
from tests.helpers.real import demo_data, reports
from tests.helpers.sentinels import until
from tests.helpers.stack import build_index, running_stack

JOBS = 2_000
ROUNDS = 3
LEASE_S = "60"  # a worker that let a job fall would show: it would come back only then


@pytest.fixture
def running(tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_LEASE_S", LEASE_S)
    with running_stack(tmp_path / "stack", routine_workers=1) as (stack, settings):
        build_index(settings, reports(300))
        yield stack, settings


def submitted(settings: Settings) -> list[str]:
    ecgs = Ecgs(demo_data()).take(JOBS)
    requests = (pb.SubmitBatchRequest(item_id=str(n), ecg=ecg) for n, ecg in enumerate(ecgs))
    with Client.from_settings(settings) as client:
        return [response.job.job_id for response in client.submit(requests)]


def running_jobs(settings: Settings) -> int:
    with Client.from_settings(settings) as client:
        queues = client.info().queues
    return sum(q.running for q in queues if q.priority == job_pb2.PRIORITY_ROUTINE)


@contextmanager
def stopped(stack: Stack, name: str) -> Iterator[None]:
    os.killpg(stack.pids[name], signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(stack.pids[name], signal.SIGCONT)


def test_workers_that_are_taken_away_let_no_job_fall(running, tmp_path):
    """Each worker is asked to stop while Triton lets it wait with jobs in its hands."""
    stack, settings = running
    with stopped(stack, "worker-routine-1"):
        ids = submitted(settings)
        assert len(set(ids)) == JOBS
        for number in range(ROUNDS):
            name = f"more-{number}"
            more = another(stack, tmp_path, name, "worker", "--queue", "routine", "--name", name)
            with stopped(stack, "triton"):
                until(lambda: running_jobs(settings) > 0)
                more.ask_to_stop()
            assert drained(more) == 0
            assert running_jobs(settings) == 0
    with Client.from_settings(settings) as client:
        jobs = list(client.finished(ids, 300))
    assert {job.job_id for job in jobs} == set(ids)
    assert {job.state for job in jobs} == {job_pb2.JOB_STATE_SUCCEEDED}
    assert {job.attempts for job in jobs} == {1}
