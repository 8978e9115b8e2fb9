"""Owners that share a queue, its limits, and workers that stand idle, against a real Valkey."""

import threading
from collections import Counter
from dataclasses import replace

import pytest

from cardex.domain.errors import Overloaded
from cardex.domain.jobs import JobError, JobState, Priority, Question
from cardex.stores.job_limits import JobLimits
from cardex.stores.job_queue import JobQueue
from cardex.stores.redis import connect
from cardex.stores.submission import BACKLOG_RETRY_S, Submission, Submitted
from tests.helpers.answers import ANSWER

STAT, ROUTINE = Priority.STAT, Priority.ROUTINE
IDLE_S = 5.0


@pytest.fixture
def client(valkey):
    client = connect(valkey)
    client.flushall()
    yield client
    client.config_set("maxmemory", 0)


@pytest.fixture
def woken() -> list[Priority]:
    return []


@pytest.fixture
def queue(client, woken):
    limits = JobLimits(max_backlog=40, max_backlog_per_key=30, latch_s=60.0)
    return JobQueue(client, limits, woken.append)


def submissions(owner: str, count: int, priority: Priority = ROUTINE) -> list:
    return [
        (Submission(owner, priority, f"{owner} {number}".encode(), Question()), None)
        for number in range(count)
    ]


def submit(queue, owner: str, count: int, priority: Priority = ROUTINE):
    return queue.submit(submissions(owner, count, priority))


def owners(claims) -> list[str]:
    return [claim.job.owner for claim in claims]


def test_owners_take_turns_however_much_one_of_them_has_waiting(queue):
    submit(queue, "archive", 20)
    submit(queue, "ward", 3)
    submit(queue, "icu", 1)
    assert Counter(owners(queue.claim(ROUTINE, 6))) == {"archive": 3, "ward": 2, "icu": 1}
    assert Counter(owners(queue.claim(ROUTINE, 4))) == {"archive": 3, "ward": 1}


def test_an_owners_jobs_keep_their_order(queue):
    submit(queue, "ward", 5)
    claims = [*queue.claim(ROUTINE, 2), *queue.claim(ROUTINE, 9)]
    assert [claim.payload for claim in claims] == [f"ward {n}".encode() for n in range(5)]


def test_a_job_that_goes_back_is_the_next_of_its_owner(queue):
    submit(queue, "ward", 3)
    claims = queue.claim(ROUTINE, 1)
    queue.release(claims, JobError("DOWN", "down"), counted=False)
    assert queue.claim(ROUTINE, 1)[0].payload == b"ward 0"


def test_what_waits_is_counted_by_owner(queue):
    submit(queue, "archive", 4)
    submit(queue, "ward", 2)
    queue.claim(ROUTINE, 2)
    state = queue.state(ROUTINE)
    assert (state.depth, state.running, dict(state.waiting)) == (4, 2, {"archive": 3, "ward": 1})
    assert state.oldest_age_s >= 0.0
    queue.claim(ROUTINE, 9)
    assert queue.state(ROUTINE) == replace(state, depth=0, running=6, waiting={}, oldest_age_s=0.0)


def test_one_owner_cannot_fill_the_queue_of_all(queue):
    outcomes = submit(queue, "archive", 35)
    refused = [one for one in outcomes if isinstance(one, Overloaded)]
    assert len(refused) == 5
    assert "30 jobs of this key" in refused[0].message
    assert all(isinstance(one, Submitted) for one in submit(queue, "ward", 10))
    (over,) = submit(queue, "icu", 1)
    assert isinstance(over, Overloaded)
    assert "40 jobs wait" in over.message


def test_a_full_queue_of_routine_jobs_refuses_no_stat(queue):
    submit(queue, "archive", 30)
    (outcome,) = submit(queue, "archive", 1, STAT)
    assert isinstance(outcome, Submitted)


def test_who_comes_too_early_is_told_when_some_will_have_ended(queue):
    submit(queue, "archive", 30)
    (over,) = submit(queue, "archive", 1)
    assert over.retry_after_s == BACKLOG_RETRY_S  # nothing ended lately
    claims = queue.claim(ROUTINE, 10)
    queue.finish([(claim, ANSWER.message) for claim in claims])
    submit(queue, "archive", 10)
    (over,) = submit(queue, "archive", 1)
    # Of 30 a twentieth, at 10 in 11 to 20 seconds.
    assert 1.5 * 11 / 10 <= over.retry_after_s <= 1.5 * 20 / 10 + 0.01


def test_above_the_watermark_only_stat_is_taken_in(queue, client):
    submit(queue, "archive", 2)
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", int(used / 0.8))
    (routine,) = submit(queue, "archive", 1)
    assert isinstance(routine, Overloaded)
    assert (routine.reason, routine.retry_after_s) == ("STORE_FULL", BACKLOG_RETRY_S)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.82))
    (stat,) = submit(queue, "icu", 1, STAT)
    assert isinstance(stat, Submitted)


def test_the_jobs_of_a_unit_are_one_event_for_each_owner(queue, client):
    queue.submit([*submissions("archive", 3), *submissions("ward", 2)])
    queue.finish([(claim, ANSWER.message) for claim in queue.claim(ROUTINE, 9)])
    told = [
        (fields[b"state"].decode(), fields[b"owner"].decode(), len(fields[b"jobs"].split()))
        for _, fields in client.xrange("cardex:events")
    ]
    assert sorted(told) == sorted(
        (state, *owner)
        for state in ("QUEUED", "RUNNING", "SUCCEEDED")
        for owner in (("archive", 3), ("ward", 2))
    )


def test_an_idle_worker_needs_no_message(queue, woken):
    assert queue.claim(ROUTINE, 4, "token", IDLE_S) == []
    submit(queue, "ward", 1)
    assert woken == []
    assert queue.wait(ROUTINE, IDLE_S)
    assert len(queue.claim(ROUTINE, 4, "token", IDLE_S)) == 1


def test_a_worker_is_woken_while_it_waits(queue):
    queue.claim(STAT, 1, "token", IDLE_S)
    woken = []
    thread = threading.Thread(target=lambda: woken.append(queue.wait(STAT, 60.0)))
    thread.start()
    submit(queue, "icu", 1, STAT)
    thread.join(60.0)
    assert woken == [True]


def test_a_worker_that_took_jobs_is_idle_no_more(queue, woken):
    queue.claim(ROUTINE, 1, "token", IDLE_S)
    submit(queue, "ward", 1)
    queue.claim(ROUTINE, 1, "token", IDLE_S)
    submit(queue, "ward", 1)
    assert woken == [ROUTINE]


def test_an_idle_worker_that_died_is_forgotten(queue, woken):
    queue.claim(ROUTINE, 1, "token", 0.001)
    while queue.state(ROUTINE).depth == 0 or not woken:
        submit(queue, "ward", 1)
        queue.sweep(ROUTINE)
    assert woken == [ROUTINE]


def test_an_idle_worker_of_another_clock_is_forgotten(queue, client, woken):
    client.zadd("cardex:idle:routine", {"ghost": 1e15})
    submit(queue, "ward", 1)
    assert woken == [ROUTINE]


def test_a_worker_that_leaves_hands_the_bell_on(queue, woken):
    queue.claim(ROUTINE, 1, "token", IDLE_S)
    submit(queue, "ward", 1)
    assert woken == []
    assert queue.claim(ROUTINE, 0, "token") == []
    assert woken == [ROUTINE]


def test_one_message_wakes_however_many_claims_leave_jobs(client):
    messages: list[Priority] = []

    def notify(priority: Priority) -> None:
        messages.append(priority)
        client.lpush(f"cardex:celery:{priority.value}", "message")

    queue = JobQueue(client, JobLimits(), notify)
    submit(queue, "archive", 20)
    for _ in range(19):
        queue.claim(ROUTINE, 1)
    assert messages == [ROUTINE]
    client.delete("cardex:celery:routine")  # a worker took it
    submit(queue, "archive", 1)
    queue.claim(ROUTINE, 1)
    assert messages == [ROUTINE] * 2


def test_a_job_that_was_begun_before_is_next_however_much_others_have_waiting(queue):
    submit(queue, "ward", 1)
    queue.release(queue.claim(ROUTINE, 1), JobError("LOST", "lost"), counted=True)
    submit(queue, "archive", 20)
    claims = [queue.claim(ROUTINE, 16) for _ in range(3)]
    assert ["ward"] in [owners(claim) for claim in claims[:2]]
    assert sum(map(len, claims)) >= 18


def test_a_claim_passes_over_cancelled_jobs(queue):
    outcomes = submit(queue, "archive", 5)
    for outcome in outcomes[:4]:
        queue.cancel(outcome.job_id)
    (claim,) = queue.claim(ROUTINE, 1)
    assert claim.job.job_id == outcomes[4].job_id


def test_known_answers_stop_at_the_watermark_too(queue, client):
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", int(used / 0.8))
    one = Submission("archive", ROUTINE, b"ecg", Question())
    (routine,) = queue.submit([(one, ANSWER.message)])
    assert isinstance(routine, Overloaded)


def test_jobs_of_the_one_queue_that_all_owners_had_are_taken_over(queue, client):
    (submitted,) = submit(queue, "ward", 1)
    client.delete("cardex:queue:routine:ward", "cardex:turns:routine", "cardex:waiting:routine")
    client.lpush("cardex:queue:routine", submitted.job_id, "gone")
    queue.sweep(ROUTINE)
    (claim,) = queue.claim(ROUTINE, 9)
    assert claim.job.job_id == submitted.job_id
    assert queue.get(submitted.job_id).state is JobState.RUNNING
