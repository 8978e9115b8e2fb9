"""The promises of the job records, against a real Valkey."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cardex.domain.errors import JobNotFound, Overloaded, RequestIdReused, Unavailable
from cardex.domain.jobs import Answer, JobError, JobState, Priority, Question
from cardex.local_stack.ports import free_ports
from cardex.local_stack.valkey import ValkeyConfig, valkey_part
from cardex.stores.job_queue import JobLimits, JobQueue, Submission
from cardex.stores.redis import connect

ANSWER = Answer((), (), "model", "index", "generation")
STAT, ROUTINE = Priority.STAT, Priority.ROUTINE
BROKEN = JobError("BROKEN", "broke")


@pytest.fixture
def client(valkey):
    client = connect(valkey)
    client.flushall()
    return client


@pytest.fixture
def store(client):
    return JobQueue(client, JobLimits(lease_s=1.0, latch_s=0.5, max_backlog=5, max_attempts=3))


def submission(payload: bytes = b"ecg", request_id: str = "", **other) -> Submission:
    fields = {"owner": "ward", "priority": ROUTINE, "question": Question()} | other
    return Submission(payload=payload, request_id=request_id, **fields)


def events(client, job_id: str) -> list[str]:
    return [
        fields[b"state"].decode()
        for _, fields in client.xrange("cardex:events")
        if fields[b"job"].decode() == job_id
    ]


def test_a_job_goes_its_way(store, client):
    submitted = store.submit(submission())
    assert submitted.is_new
    assert submitted.wake
    assert store.get(submitted.job_id).state is JobState.QUEUED
    (claim,) = store.claim(ROUTINE, 4).claims
    assert claim.job.state is JobState.RUNNING
    assert store.payloads([claim.job]) == [b"ecg"]
    assert store.finish([(claim, ANSWER)]) == [True]
    job = store.get(submitted.job_id)
    assert (job.state, job.answer, job.attempts) == (JobState.SUCCEEDED, ANSWER, 1)
    assert events(client, submitted.job_id) == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_only_the_first_submission_wakes_a_worker_until_one_comes(store):
    wakes = [store.submit(submission(bytes([number]))).wake for number in range(3)]
    assert wakes == [True, False, False]
    assert store.claim(ROUTINE, 1).wake
    assert not store.claim(ROUTINE, 2).wake
    assert store.submit(submission(b"later")).wake


def test_a_result_is_written_once(store, client):
    job_id = store.submit(submission()).job_id
    (claim,) = store.claim(ROUTINE, 1).claims
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda _: store.finish([(claim, ANSWER)])[0], range(8)))
    assert written.count(True) == 1
    assert store.finish([(claim, BROKEN)]) == [False]
    assert store.get(job_id).state is JobState.SUCCEEDED
    assert events(client, job_id).count("SUCCEEDED") == 1


def test_a_worker_that_lost_its_lease_cannot_write(store):
    job_id = store.submit(submission()).job_id
    (late,) = store.claim(ROUTINE, 1).claims
    time.sleep(1.1)
    assert store.sweep(ROUTINE).requeued == 1
    (second,) = store.claim(ROUTINE, 1).claims
    assert store.finish([(late, BROKEN)]) == [False]
    assert store.finish([(second, ANSWER)]) == [True]
    assert store.get(job_id).attempts == 2


def test_an_extended_lease_is_not_swept(store):
    store.submit(submission())
    (claim,) = store.claim(ROUTINE, 1).claims
    time.sleep(0.7)
    store.extend([claim])
    time.sleep(0.7)
    assert store.sweep(ROUTINE).requeued == 0
    assert store.finish([(claim, ANSWER)]) == [True]


def test_a_job_that_kills_its_workers_ends_failed_and_alone(store):
    poison = store.submit(submission(b"poison")).job_id
    good = store.submit(submission(b"good")).job_id
    for attempt in range(3):
        claims = store.claim(ROUTINE, 4).claims
        ids = [claim.job.job_id for claim in claims]
        assert ids == ([poison, good] if attempt == 0 else [poison])
        if attempt == 0:
            store.finish([(claims[1], ANSWER)])
        time.sleep(1.1)
        store.sweep(ROUTINE)
    job = store.get(poison)
    assert (job.state, job.error.reason) == (JobState.FAILED, "ATTEMPTS_EXHAUSTED")
    assert store.get(good).state is JobState.SUCCEEDED
    assert store.claim(ROUTINE, 4).claims == ()


def test_a_job_given_back_for_a_part_that_is_down_loses_no_attempt(store):
    job_id = store.submit(submission()).job_id
    for _ in range(10):
        claims = store.claim(ROUTINE, 1).claims
        assert store.give_back(claims, BROKEN, counted=False) == ["QUEUED"]
    assert store.get(job_id).attempts == 0


def test_a_job_given_back_too_often_fails_with_the_reason(store):
    job_id = store.submit(submission()).job_id
    states = [
        store.give_back(store.claim(ROUTINE, 1).claims, BROKEN, counted=True)[0] for _ in range(3)
    ]
    assert states == ["QUEUED", "QUEUED", "FAILED"]
    assert store.get(job_id).error == BROKEN


def test_a_lost_wake_up_is_found_by_the_sweep(store):
    assert store.submit(submission()).wake
    assert not store.sweep(ROUTINE).wake
    time.sleep(0.6)
    assert store.sweep(ROUTINE).wake


def test_a_queued_job_is_cancelled_and_never_claimed(store):
    job_id = store.submit(submission()).job_id
    assert store.cancel(job_id, "ward").state is JobState.CANCELLED
    assert store.claim(ROUTINE, 1).claims == ()


def test_a_running_job_is_cancelled_and_its_result_dropped(store):
    job_id = store.submit(submission()).job_id
    (claim,) = store.claim(ROUTINE, 1).claims
    store.cancel(job_id)
    assert store.finish([(claim, ANSWER)]) == [False]
    assert store.get(job_id).state is JobState.CANCELLED
    assert store.queue(ROUTINE).running == 0


def test_one_request_id_is_one_job(store, client):
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda _: store.submit(submission(request_id="patient 4711")), range(8))
        )
    assert len({submitted.job_id for submitted in made}) == 1
    assert [submitted.is_new for submitted in made].count(True) == 1
    assert store.queue(ROUTINE).depth == 1
    with pytest.raises(RequestIdReused):
        store.submit(submission(b"another", request_id="patient 4711"))
    other = store.submit(submission(b"another", request_id="patient 4711", owner="clinic"))
    assert other.is_new
    assert not any(b"4711" in key for key in client.scan_iter("*"))


def test_a_full_queue_refuses_and_stores_nothing(store, client):
    for number in range(5):
        store.submit(submission(bytes([number])))
    before = set(client.scan_iter("*"))
    with pytest.raises(Overloaded) as refused:
        store.submit(submission(b"one too many"))
    assert refused.value.reason == "BACKLOG_FULL"
    assert refused.value.retry_after_s
    assert set(client.scan_iter("*")) == before
    assert store.submit(submission(b"urgent", priority=STAT)).is_new


def test_a_known_answer_makes_a_job_that_is_done(store):
    job = store.get(store.submit(submission(), ANSWER).job_id)
    assert (job.state, job.answer, job.attempts) == (JobState.SUCCEEDED, ANSWER, 0)
    assert store.claim(ROUTINE, 1).claims == ()


def test_a_job_is_shown_to_its_owner_only(store):
    job_id = store.submit(submission()).job_id
    assert store.get(job_id, "ward").job_id == job_id
    with pytest.raises(JobNotFound):
        store.get(job_id, "clinic")
    with pytest.raises(JobNotFound):
        store.cancel(job_id, "clinic")
    assert store.find([job_id, "nothing"], "clinic") == [None, None]


def test_payloads_and_final_jobs_expire(store, client):
    job_id = store.submit(submission(request_id="r")).job_id
    (payload_key,) = client.scan_iter("cardex:payload:*")
    assert 0 < client.pttl(payload_key) <= 86_400_000
    assert client.pttl(f"cardex:job:{job_id}") == -1
    store.finish([(store.claim(ROUTINE, 1).claims[0], ANSWER)])
    assert 0 < client.pttl(f"cardex:job:{job_id}") <= 86_400_000
    (request_key,) = client.scan_iter("cardex:request:*")
    assert 0 < client.pttl(request_key) <= 86_400_000


def test_an_ecg_is_forgotten_when_its_last_job_is_final(store, client):
    store.submit(submission(b"shared"))
    second = store.submit(submission(b"shared")).job_id
    first_claim, second_claim = store.claim(ROUTINE, 2).claims
    store.finish([(first_claim, ANSWER)])
    assert store.payloads([second_claim.job]) == [b"shared"]
    store.cancel(second)
    assert store.payloads([second_claim.job]) == [None]
    store.submit(submission(b"known"), ANSWER)
    assert not list(client.scan_iter("cardex:payload:*"))
    assert not list(client.scan_iter("cardex:uses:*"))


def test_the_queue_tells_depth_age_and_running(store):
    store.submit(submission(b"a"))
    time.sleep(0.2)
    store.submit(submission(b"b"))
    queue = store.queue(ROUTINE)
    assert (queue.depth, queue.running) == (2, 0)
    assert queue.oldest_age_s >= 0.2
    store.claim(ROUTINE, 1)
    assert store.queue(ROUTINE).running == 1
    assert store.queue(ROUTINE).oldest_age_s < queue.oldest_age_s + 0.2


def test_a_store_without_memory_refuses_new_jobs_but_ends_old_ones(store, client):
    job_id = store.submit(submission()).job_id
    (claim,) = store.claim(ROUTINE, 1).claims
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(Overloaded) as refused:
            store.submit(submission(b"more"))
        assert refused.value.reason == "STORE_FULL"
        assert store.finish([(claim, ANSWER)]) == [True]
    finally:
        client.config_set("maxmemory", limit)
    assert store.get(job_id).state is JobState.SUCCEEDED


def test_a_store_that_is_down_is_unavailable():
    store = JobQueue(connect(f"redis://127.0.0.1:{free_ports(1)[0]}/0"), JobLimits())
    with pytest.raises(Unavailable):
        store.submit(submission())


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path):
    config = ValkeyConfig("state", free_ports(1)[0], "pw", tmp_path, "64mb")
    part = valkey_part(config, tmp_path / "log")
    part.start()
    try:
        part.wait_ready()
        store = JobQueue(connect(config.url), JobLimits())
        ids = [store.submit(submission(bytes([number]))).job_id for number in range(50)]
        part.process.kill()
        part.process.wait()
        part.start()
        part.wait_ready()
        assert [job.state for job in store.find(ids)] == [JobState.QUEUED] * 50
        assert len(store.claim(ROUTINE, 100).claims) == 50
    finally:
        part.stop()
