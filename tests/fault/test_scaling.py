"""Workers come and go while 2,000 jobs run: each job is begun once, and ends."""

import pytest

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import job_pb2
from loadtest.ecgs import Ecgs
from loadtest.faults import Patient
from tests.helpers.fleet import another, drained
from tests.helpers.real import demo_data, reports
from tests.helpers.stack import build_index, running_stack
from tests.helpers.waiting import until

JOBS = 2_000
ROUNDS = 3
LEASE_S = "60"  # a worker that let a job fall would show: it would come back only then


@pytest.fixture
def patient(tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_LEASE_S", LEASE_S)
    with running_stack(tmp_path / "stack", routine_workers=1) as (stack, settings):
        build_index(settings, reports(300))
        yield Patient(stack, settings, Ecgs(demo_data()))


def submitted(patient: Patient) -> list[str]:
    requests = (pb.SubmitBatchRequest(item_id=str(n), ecg=patient.ecg()) for n in range(JOBS))
    with Client.from_settings(patient.settings) as client:
        return [response.job.job_id for response in client.submit(requests)]


def test_workers_that_are_taken_away_let_no_job_fall(patient, tmp_path):
    """Each worker is asked to stop while Triton lets it wait with jobs in its hands."""
    with patient.stopped("worker-routine-1"):
        ids = submitted(patient)
        assert len(set(ids)) == JOBS
        for number in range(ROUNDS):
            name = f"more-{number}"
            more = another(
                patient.stack, tmp_path, name, "worker", "--queue", "routine", "--name", name
            )
            with patient.stopped("triton"):
                until(lambda: patient.running() > 0, seconds=30.0)
                more.ask_to_stop()
            assert drained(more) == 0
            assert patient.running() == 0
    with Client.from_settings(patient.settings) as client:
        jobs = list(client.finished(ids, 300))
    assert {job.job_id for job in jobs} == set(ids)
    assert {job.state for job in jobs} == {job_pb2.JOB_STATE_SUCCEEDED}
    assert {job.attempts for job in jobs} == {1}
