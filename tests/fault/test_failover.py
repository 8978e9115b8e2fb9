"""The primary of the job records dies, and its replica takes its place."""

import pytest

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import Unavailable
from cardex.domain.jobs import JobState, Priority, Question
from cardex.stores.job_limits import JobLimits
from cardex.stores.job_queue import PREFIX, JobQueue
from cardex.stores.redis import connect
from cardex.stores.submission import Submission
from tests.helpers.real import reports
from tests.helpers.sentinels import Failover
from tests.helpers.stack import build_index, running_stack, variant
from tests.helpers.waiting import until


@pytest.fixture
def failover(tmp_path):
    failover = Failover(tmp_path)
    try:
        failover.start()
        yield failover
    finally:
        failover.stop()


def queue(failover: Failover, replicas: int = 0) -> JobQueue:
    return JobQueue(connect(failover.url), JobLimits(replicas=replicas), lambda _: None)


def submission(number: int) -> Submission:
    return Submission("ward", Priority.ROUTINE, b"ecg %d" % number, Question(), f"r{number}")


def submitted(jobs: JobQueue, first: int, count: int) -> list[str]:
    outcomes = jobs.submit([(submission(first + number), None) for number in range(count)])
    return [outcome.job_id for outcome in outcomes]  # type: ignore[union-attr]


def test_what_a_replica_had_is_there_after_the_failover_and_goes_on(failover):
    jobs = queue(failover, replicas=1)
    ids = submitted(jobs, 0, 50)
    (held, *_) = jobs.claim(Priority.ROUTINE, 10)
    failover.kill_primary()
    failover.wait_promoted()
    until(lambda: _answers(jobs), seconds=30.0)
    assert all(job is not None for job in jobs.find(ids))
    assert jobs.finish([(held, b"answer")]) == [True]
    assert len(jobs.claim(Priority.ROUTINE, 50)) == 40
    assert jobs.get(held.job.job_id).state is JobState.SUCCEEDED


def test_what_no_replica_has_is_not_acknowledged_where_that_is_asked(failover):
    jobs = queue(failover, replicas=1)
    submitted(jobs, 0, 1)
    with failover.replica_cut_off(), pytest.raises(Unavailable) as refused:
        submitted(jobs, 1, 1)
    assert refused.value.reason == "NOT_REPLICATED"
    (again,) = jobs.submit([(submission(1), None)])
    assert not again.is_new  # type: ignore[union-attr]


def test_without_that_a_promoted_replica_lacks_what_it_had_not_heard(failover):
    jobs = queue(failover)
    (kept,) = submitted(jobs, 0, 1)
    until(lambda: failover.replica.exists(f"{PREFIX}job:{kept}") == 1, seconds=30.0)
    with failover.replica_cut_off():
        (lost,) = submitted(jobs, 1, 1)
        failover.kill_primary()
    failover.wait_promoted()
    until(lambda: _answers(jobs), seconds=30.0)
    found = jobs.find([kept, lost])
    assert found[0] is not None
    assert found[1] is None


def _answers(jobs: JobQueue) -> bool:
    try:
        jobs.ping()
    except Unavailable:
        return False
    return True


def test_the_whole_stack_goes_on_behind_sentinels(failover, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_STATE_URL", failover.url)
    monkeypatch.setenv("CARDEX_STATE_REPLICAS", "1")
    with running_stack(tmp_path / "stack") as (_, settings):
        build_index(settings, reports(300))
        with Client.from_settings(settings) as client:
            requests = [
                pb.SubmitBatchRequest(item_id=str(number), ecg=variant(number))
                for number in range(60)
            ]
            ids = [response.job.job_id for response in client.submit(iter(requests))]
            failover.kill_primary()
            failover.wait_promoted()
            ended = {job.job_id: job for job in client.finished(ids, 120)}
    assert set(ended) == set(ids)
    assert all(job.answer.hits for job in ended.values())
