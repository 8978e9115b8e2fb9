"""The promises of the job records, against a real Valkey."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cardex.domain.cases import Filing
from cardex.domain.errors import (
    CardexError,
    JobNotFound,
    Overloaded,
    RequestIdReused,
    Unavailable,
)
from cardex.domain.jobs import Claim, JobError, JobState, Priority, Question
from cardex.local_stack.ports import free_ports
from cardex.local_stack.valkey import ValkeyConfig, valkey_process
from cardex.stores.job_limits import JobLimits
from cardex.stores.job_queue import JobQueue
from cardex.stores.redis import connect
from cardex.stores.submission import Submission, Submitted, submit_arguments
from tests.helpers.answers import ANSWER
from tests.helpers.cases import a_case

STAT, ROUTINE = Priority.STAT, Priority.ROUTINE
BROKEN = JobError("BROKEN", "broke")


@pytest.fixture
def client(valkey):
    client = connect(valkey)
    client.flushall()
    return client


@pytest.fixture
def woken() -> list[Priority]:
    return []


@pytest.fixture
def store(client, woken):
    limits = JobLimits(lease_s=1.0, latch_s=0.5, max_backlog=5, max_attempts=3)
    return JobQueue(client, limits, woken.append)


def submit(store: JobQueue, one: Submission, answer: bytes | None = None) -> Submitted:
    (outcome,) = store.submit([(one, answer)])
    if isinstance(outcome, CardexError):
        raise outcome
    return outcome


def submission(payload: bytes = b"ecg", request_id: str = "", **other) -> Submission:
    fields: dict[str, Any] = {"owner": "ward", "priority": ROUTINE, "question": Question()}
    return Submission(payload=payload, request_id=request_id, **fields | other)


def events(client, job_id: str) -> list[str]:
    return [
        fields[b"state"].decode()
        for _, fields in client.xrange("cardex:events")
        if job_id in fields[b"jobs"].decode().split()
    ]


def test_a_job_goes_its_way(store, client, woken):
    submitted = submit(store, submission())
    assert submitted.is_new
    assert woken == [ROUTINE]
    assert store.get(submitted.job_id).state is JobState.QUEUED
    (claim,) = store.claim(ROUTINE, 4)
    assert claim.job.state is JobState.RUNNING
    assert claim.payload == b"ecg"
    assert store.finish([(claim, ANSWER.message)]) == [True]
    job = store.get(submitted.job_id)
    assert (job.state, job.answer, job.attempts) == (JobState.SUCCEEDED, ANSWER.message, 1)
    assert events(client, submitted.job_id) == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_only_the_first_submission_wakes_a_worker_until_one_comes(store, woken):
    for number in range(3):
        submit(store, submission(bytes([number])))
    assert woken == [ROUTINE]
    store.claim(ROUTINE, 1)  # jobs are left: another worker is woken
    assert woken == [ROUTINE] * 2
    store.claim(ROUTINE, 2)
    assert woken == [ROUTINE] * 2
    submit(store, submission(b"later"))
    assert woken == [ROUTINE] * 3


def test_of_what_waits_a_share_is_taken_and_of_little_all(client):
    store = JobQueue(client, JobLimits(), lambda _: None)
    store.submit([(submission(bytes([number])), None) for number in range(100)])
    taken = [len(store.claim(ROUTINE, 32, share=8)) for _ in range(10)]
    assert taken == [13, 11, 10, 9, 8, 8, 8, 8, 8, 8]
    assert len(store.claim(ROUTINE, 32, share=8)) == 8
    assert len(store.claim(ROUTINE, 32, share=8)) == 1
    assert store.claim(ROUTINE, 32, share=8) == []


def test_many_are_submitted_at_once_and_wake_one_worker_of_each_queue(store, woken):
    many = [submission(bytes([n]), priority=STAT if n % 2 else ROUTINE) for n in range(6)]
    outcomes = store.submit([(one, None) for one in many])
    assert len({outcome.job_id for outcome in outcomes}) == 6
    assert sorted(woken) == [ROUTINE, STAT]
    assert [claim.payload for claim in store.claim(STAT, 9)] == [bytes([n]) for n in (1, 3, 5)]


def test_of_many_one_that_is_refused_stops_no_other(store):
    first = submission(b"one", request_id="r")
    other = submission(b"two", request_id="r")
    outcomes = store.submit([(first, None), (other, None), (submission(b"three"), None)])
    assert isinstance(outcomes[1], RequestIdReused)
    assert [claim.payload for claim in store.claim(ROUTINE, 9)] == [b"one", b"three"]


def test_a_call_that_is_sent_again_because_its_reply_was_lost_makes_one_job(store, client):
    arguments = submit_arguments([(submission(b"once"), None)], store.limits)
    first = store._scripts.run("submit", arguments)
    (claim,) = store.claim(ROUTINE, 9)
    store.finish([(claim, ANSWER.message)])
    assert store._scripts.run("submit", arguments)[3:] == first[3:]
    assert store.claim(ROUTINE, 9) == []
    assert events(client, claim.job.job_id) == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert not list(client.scan_iter("cardex:payload:*"))


def test_scripts_that_the_store_forgot_are_loaded_again(store, client):
    submit(store, submission(b"one"))
    client.script_flush()
    store.submit([(submission(b"two"), None), (submission(b"three"), None)])
    assert len(store.claim(ROUTINE, 9)) == 3


def test_a_job_is_durable_even_if_nobody_can_be_woken(client, caplog):
    def broken(_):
        raise Unavailable("the broker does not take a wake-up")

    store = JobQueue(client, JobLimits(), broken)
    assert submit(store, submission()).is_new
    assert "does not take a wake-up" in caplog.text
    assert store.state(ROUTINE).depth == 1


def test_a_result_is_written_once(store, client):
    job_id = submit(store, submission()).job_id
    (claim,) = store.claim(ROUTINE, 1)
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda _: store.finish([(claim, ANSWER.message)])[0], range(8)))
    assert written.count(True) == 1
    assert store.finish([(claim, BROKEN)]) == [False]
    assert store.get(job_id).state is JobState.SUCCEEDED
    assert events(client, job_id).count("SUCCEEDED") == 1


def test_a_worker_that_lost_its_lease_cannot_write(store):
    job_id = submit(store, submission()).job_id
    (late,) = store.claim(ROUTINE, 1)
    time.sleep(1.1)
    assert store.sweep(ROUTINE).requeued == 1
    (second,) = store.claim(ROUTINE, 1)
    assert store.finish([(late, BROKEN)]) == [False]
    assert store.finish([(second, ANSWER.message)]) == [True]
    assert store.get(job_id).attempts == 2


def test_a_claim_is_held_until_its_job_is_cancelled_finished_or_given_to_another(store):
    for _ in range(4):
        submit(store, submission())
    first, second, third, fourth = store.claim(ROUTINE, 4)
    assert store.holds(first)
    store.cancel(first.job.job_id)
    store.finish([(second, ANSWER.message)])
    store.release([third], BROKEN, counted=False)
    assert [store.holds(one) for one in (first, second, third, fourth)] == [False] * 3 + [True]
    (again,) = store.claim(ROUTINE, 1)
    assert again.job.job_id == third.job.job_id
    assert store.holds(again)
    assert not store.holds(third)


def test_an_extended_lease_is_not_swept(store):
    submit(store, submission())
    (claim,) = store.claim(ROUTINE, 1)
    time.sleep(0.7)
    store.extend([claim])
    time.sleep(0.7)
    assert store.sweep(ROUTINE).requeued == 0
    assert store.finish([(claim, ANSWER.message)]) == [True]


def test_a_job_that_kills_its_workers_ends_failed_and_alone(store):
    poison = submit(store, submission(b"poison")).job_id
    good = submit(store, submission(b"good")).job_id
    for attempt in range(3):
        claims = store.claim(ROUTINE, 4)
        ids = [claim.job.job_id for claim in claims]
        assert ids == ([poison, good] if attempt == 0 else [poison])
        if attempt == 0:
            store.finish([(claims[1], ANSWER.message)])
        time.sleep(1.1)
        store.sweep(ROUTINE)
    job = store.get(poison)
    assert (job.state, job.error.reason) == (JobState.FAILED, "ATTEMPTS_EXHAUSTED")
    assert store.get(good).state is JobState.SUCCEEDED
    assert store.claim(ROUTINE, 4) == []


def test_a_job_given_back_for_a_part_that_is_down_loses_no_attempt(store):
    job_id = submit(store, submission()).job_id
    for _ in range(10):
        claims = store.claim(ROUTINE, 1)
        assert store.release(claims, BROKEN, counted=False) == ["QUEUED"]
    assert store.get(job_id).attempts == 0


def test_a_job_given_back_too_often_fails_with_the_reason(store):
    job_id = submit(store, submission()).job_id
    states = [store.release(store.claim(ROUTINE, 1), BROKEN, counted=True)[0] for _ in range(3)]
    assert states == ["QUEUED", "QUEUED", "FAILED"]
    assert store.get(job_id).error == BROKEN


def test_a_lost_wake_up_is_sent_again_by_the_sweep(store, client, woken):
    submit(store, submission())
    store.sweep(ROUTINE)
    assert woken == [ROUTINE]
    client.delete("cardex:wake:routine")  # as it expires when no worker took the wake-up
    store.sweep(ROUTINE)
    assert woken == [ROUTINE] * 2


def test_a_queued_job_is_cancelled_and_never_claimed(store):
    job_id = submit(store, submission()).job_id
    assert store.cancel(job_id, "ward").state is JobState.CANCELLED
    assert store.claim(ROUTINE, 1) == []


def test_a_running_job_is_cancelled_and_its_result_dropped(store):
    job_id = submit(store, submission()).job_id
    (claim,) = store.claim(ROUTINE, 1)
    store.cancel(job_id)
    assert store.finish([(claim, ANSWER.message)]) == [False]
    assert store.get(job_id).state is JobState.CANCELLED
    assert store.state(ROUTINE).running == 0


def test_one_request_id_is_one_job(store, client):
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda _: submit(store, submission(request_id="patient 4711")), range(8))
        )
    assert len({submitted.job_id for submitted in made}) == 1
    assert [submitted.is_new for submitted in made].count(True) == 1
    assert store.state(ROUTINE).depth == 1
    with pytest.raises(RequestIdReused):
        submit(store, submission(b"another", request_id="patient 4711"))
    other = submit(store, submission(b"another", request_id="patient 4711", owner="clinic"))
    assert other.is_new
    assert not any(b"4711" in key for key in client.scan_iter("*"))


# What an ECG is filed as.

FILING = Filing(a_case("north/1", "old infarct", age=57), "reports_2")


def finished(store: JobQueue, claim: Claim) -> None:
    assert store.finish([(claim, ANSWER.message)]) == [True]


def failed(store: JobQueue, claim: Claim) -> None:
    assert store.finish([(claim, BROKEN)]) == [True]


def given_up(store: JobQueue, claim: Claim) -> None:
    assert store.release([claim], BROKEN, counted=True) == ["QUEUED"]
    for state in ("QUEUED", "FAILED"):
        assert store.release(store.claim(ROUTINE, 1), BROKEN, counted=True) == [state]


def cancelled(store: JobQueue, claim: Claim) -> None:
    store.cancel(claim.job.job_id)


def test_a_job_keeps_what_it_is_filed_as_until_it_is_claimed_and_given_back(store):
    job_id = submit(store, submission(filing=FILING)).job_id
    assert store.get(job_id).filing == FILING
    (claim,) = store.claim(ROUTINE, 1)
    assert claim.job.filing == FILING
    store.release([claim], BROKEN, counted=False)
    (again,) = store.claim(ROUTINE, 1)
    assert again.job.filing == FILING
    submit(store, submission(b"plain"))
    assert store.claim(ROUTINE, 1)[0].job.filing is None


@pytest.mark.parametrize("ends", [finished, failed, given_up, cancelled])
def test_the_record_of_a_final_job_holds_no_report(store, client, ends):
    job_id = submit(store, submission(filing=FILING)).job_id
    (claim,) = store.claim(ROUTINE, 1)
    assert b"old infarct" in client.hget(f"cardex:job:{job_id}", "filing")
    ends(store, claim)
    assert store.get(job_id).state.final
    assert store.get(job_id).filing is None
    assert not any(
        b"old infarct" in value for value in client.hgetall(f"cardex:job:{job_id}").values()
    )


def test_one_request_id_is_one_ecg_and_one_case(store):
    first = submit(store, submission(request_id="r", filing=FILING))
    again = submit(store, submission(request_id="r", filing=FILING))
    assert (again.job_id, again.is_new) == (first.job_id, False)
    for other in (
        None,
        replace(FILING, index=""),
        replace(FILING, only=True),
        replace(FILING, case=replace(FILING.case, age=58)),
        replace(FILING, case=replace(FILING.case, text="new infarct")),
    ):
        with pytest.raises(RequestIdReused) as caught:
            submit(store, submission(request_id="r", filing=other))
        assert (caught.value.reason, caught.value.field) == ("REQUEST_ID_REUSED", "request_id")
    finished(store, store.claim(ROUTINE, 1)[0])
    assert submit(store, submission(request_id="r", filing=FILING)).job_id == first.job_id
    with pytest.raises(RequestIdReused):
        submit(store, submission(request_id="r"))


def test_cases_without_an_ecg_are_claimed_with_no_bytes_and_none_is_missing(store, client):
    filings = [replace(FILING, case=replace(FILING.case, case_id=str(n)), only=True) for n in "ab"]
    store.submit([(submission(b"", filing=one), None) for one in filings])
    first, second = store.claim(ROUTINE, 2)
    assert (first.payload, second.payload) == (b"", b"")
    finished(store, first)
    store.release([second], BROKEN, counted=False)
    (again,) = store.claim(ROUTINE, 1)
    assert (again.payload, again.job.filing) == (b"", filings[1])
    finished(store, again)
    assert not list(client.scan_iter("cardex:payload:*"))


def test_no_key_shows_a_case(store, client):
    submit(store, submission(request_id="north/1", filing=FILING))
    assert not any(b"north" in key for key in client.scan_iter("*"))


def test_a_full_queue_refuses_and_stores_nothing(store, client):
    for number in range(5):
        submit(store, submission(bytes([number])))
    before = set(client.scan_iter("*"))
    with pytest.raises(Overloaded) as refused:
        submit(store, submission(b"one too many"))
    assert refused.value.reason == "BACKLOG_FULL"
    assert refused.value.retry_after_s
    assert set(client.scan_iter("*")) == before
    assert submit(store, submission(b"urgent", priority=STAT)).is_new


def test_a_known_answer_makes_a_job_that_is_done(store):
    job = store.get(submit(store, submission(), ANSWER.message).job_id)
    assert (job.state, job.answer, job.attempts) == (JobState.SUCCEEDED, ANSWER.message, 0)
    assert store.claim(ROUTINE, 1) == []


def test_a_job_is_shown_to_its_owner_only(store):
    job_id = submit(store, submission()).job_id
    assert store.get(job_id, "ward").job_id == job_id
    with pytest.raises(JobNotFound):
        store.get(job_id, "clinic")
    with pytest.raises(JobNotFound):
        store.cancel(job_id, "clinic")
    assert store.find([job_id, "nothing"], "clinic") == [None, None]


def test_payloads_and_final_jobs_expire(store, client):
    job_id = submit(store, submission(request_id="r")).job_id
    (payload_key,) = client.scan_iter("cardex:payload:*")
    assert 0 < client.pttl(payload_key) <= 86_400_000
    assert client.pttl(f"cardex:job:{job_id}") == -1
    store.finish([(store.claim(ROUTINE, 1)[0], ANSWER.message)])
    assert 0 < client.pttl(f"cardex:job:{job_id}") <= 86_400_000
    (request_key,) = client.scan_iter("cardex:request:*")
    assert 0 < client.pttl(request_key) <= 86_400_000


def test_an_ecg_is_forgotten_when_its_last_job_is_final(store, client):
    submit(store, submission(b"shared"))
    second = submit(store, submission(b"shared")).job_id
    first_claim, second_claim = store.claim(ROUTINE, 2)
    assert (first_claim.payload, second_claim.payload) == (b"shared", b"shared")
    store.finish([(first_claim, ANSWER.message)])
    assert len(list(client.scan_iter("cardex:payload:*"))) == 1
    store.cancel(second)
    assert not list(client.scan_iter("cardex:payload:*"))
    submit(store, submission(b"known"), ANSWER.message)
    assert not list(client.scan_iter("cardex:payload:*"))
    assert not list(client.scan_iter("cardex:uses:*"))


def test_an_ecg_that_has_expired_is_claimed_without_its_bytes(store, client):
    submit(store, submission(b"first"))
    submit(store, submission(b"second"))
    client.delete(
        *[key for key in client.scan_iter("cardex:payload:*") if client.get(key) == b"first"]
    )
    assert [claim.payload for claim in store.claim(ROUTINE, 2)] == [None, b"second"]


def test_the_queue_tells_depth_age_and_running(store):
    submit(store, submission(b"a"))
    time.sleep(0.2)
    submit(store, submission(b"b"))
    queue = store.state(ROUTINE)
    assert (queue.depth, queue.running) == (2, 0)
    assert queue.oldest_age_s >= 0.2
    store.claim(ROUTINE, 1)
    assert store.state(ROUTINE).running == 1
    assert store.state(ROUTINE).oldest_age_s < queue.oldest_age_s + 0.2


def test_a_store_without_memory_refuses_new_jobs_but_ends_old_ones(store, client):
    job_id = submit(store, submission()).job_id
    (claim,) = store.claim(ROUTINE, 1)
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(Overloaded) as refused:
            submit(store, submission(b"more"))
        assert refused.value.reason == "STORE_FULL"
        assert store.finish([(claim, ANSWER.message)]) == [True]
    finally:
        client.config_set("maxmemory", limit)
    assert store.get(job_id).state is JobState.SUCCEEDED


def test_a_store_that_is_down_is_unavailable():
    store = JobQueue(connect(f"redis://127.0.0.1:{free_ports(1)[0]}/0"), JobLimits(), print)
    with pytest.raises(Unavailable):
        submit(store, submission())


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path):
    config = ValkeyConfig("state", free_ports(1)[0], "pw", tmp_path, "64mb")
    part = valkey_process(config, tmp_path / "log")
    part.start()
    try:
        part.wait_ready()
        store = JobQueue(connect(config.url), JobLimits(), print)
        ids = [submit(store, submission(bytes([number]))).job_id for number in range(50)]
        assert part.process is not None
        part.process.kill()
        part.process.wait()
        part.start()
        part.wait_ready()
        assert [job and job.state for job in store.find(ids)] == [JobState.QUEUED] * 50
        assert len(store.claim(ROUTINE, 100)) == 50
    finally:
        part.stop()


def test_a_store_runs_in_a_folder_with_a_blank_in_its_name(tmp_path: Path):
    config = ValkeyConfig("state", free_ports(1)[0], "secret", tmp_path / "our data", "64mb")
    process = valkey_process(config, tmp_path / "log")
    process.start()
    try:
        process.wait_ready()
    finally:
        process.stop()
    assert (config.folder / "appendonlydir").is_dir()
