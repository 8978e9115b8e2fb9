import asyncio
import threading
from dataclasses import replace
from typing import cast

import pytest

from cardex.domain.errors import (
    DeadlineExceeded,
    InvalidEcg,
    JobCancelled,
    JobFailed,
    Unavailable,
)
from cardex.domain.jobs import JobError, JobState, Priority
from cardex.gateway.health import HealthMonitor
from cardex.gateway.waiting import AnswerWaiter
from cardex.stores.job_events import JobEvents
from cardex.stores.job_queue import JobQueue
from tests.helpers.answers import ANSWER
from tests.helpers.gateway import ICU, SHA256, Events, Parts, asked

LONG_S, NO_TIME_S = 60.0, 0.001
ASKED, NAMED = asked(), asked(request_id="r-1")


@pytest.fixture
def world():
    return Parts()


def retrieve(world, request, timeout_s: float):
    waiter = AnswerWaiter(
        world.service,
        cast(JobQueue, world.jobs),
        cast(JobEvents, Events(world.jobs)),
        cast(HealthMonitor, world.health),
    )
    return waiter.retrieve(request, ICU, timeout_s)


async def test_a_known_answer_needs_no_job(world):
    world.retriever.known[SHA256] = ANSWER
    assert await retrieve(world, ASKED, LONG_S) == (ANSWER.message, "")
    assert not world.jobs.submitted


async def test_a_known_answer_is_given_while_a_part_is_down(world):
    world.retriever.known[SHA256] = ANSWER
    world.health.outage = Unavailable("Triton is down")
    assert await retrieve(world, ASKED, LONG_S) == (ANSWER.message, "")


async def test_the_answer_comes_when_the_job_ends(world):
    world.jobs.ends = {"state": JobState.SUCCEEDED, "answer": ANSWER.message}
    assert await retrieve(world, ASKED, LONG_S) == (ANSWER.message, "j1")
    ((submission, answer),) = world.jobs.submitted
    assert (submission.priority, answer) == (Priority.STAT, None)


async def test_the_answer_of_an_earlier_submission_is_not_waited_for(world):
    world.jobs.known["r-1"] = "j1"
    world.jobs.job = replace(world.jobs.job, state=JobState.SUCCEEDED, answer=ANSWER.message)
    assert await retrieve(world, NAMED, LONG_S) == (ANSWER.message, "j1")


@pytest.mark.parametrize("field", ["ecg.samples.leads", ""])
async def test_a_job_whose_ecg_was_at_fault_raises_its_error_as_it_was(world, field):
    error = JobError("DURATION", "too short", field, "InvalidEcg")
    world.jobs.ends = {"state": JobState.FAILED, "error": error}
    with pytest.raises(InvalidEcg, match="too short") as caught:
        await retrieve(world, ASKED, LONG_S)
    assert (caught.value.reason, caught.value.field) == ("DURATION", field)


async def test_a_job_that_was_given_up_raises_its_reason(world):
    error = JobError("ATTEMPTS_EXHAUSTED", "every worker died")
    world.jobs.ends = {"state": JobState.FAILED, "error": error}
    with pytest.raises(JobFailed, match="every worker died"):
        await retrieve(world, ASKED, LONG_S)


async def test_a_job_that_was_cancelled_raises_so(world):
    world.jobs.ends = {"state": JobState.CANCELLED}
    with pytest.raises(JobCancelled, match="j1"):
        await retrieve(world, ASKED, LONG_S)


async def test_a_job_that_nobody_can_find_again_is_cancelled_at_the_deadline(world):
    with pytest.raises(DeadlineExceeded):
        await retrieve(world, ASKED, NO_TIME_S)
    assert world.jobs.cancelled == ["j1"]


async def test_a_job_that_is_made_while_its_caller_goes_away_is_cancelled_too(world):
    submitting, go_on = threading.Event(), threading.Event()
    submit = world.jobs.submit

    def slow(submissions):
        submitting.set()
        assert go_on.wait(20)
        return submit(submissions)

    world.jobs.submit = slow
    waiting = asyncio.create_task(retrieve(world, ASKED, LONG_S))
    await asyncio.to_thread(submitting.wait, 20)
    waiting.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert world.jobs.cancelled == ["j1"]


async def test_a_job_with_a_request_id_goes_on_after_the_deadline(world):
    with pytest.raises(DeadlineExceeded):
        await retrieve(world, NAMED, NO_TIME_S)
    assert not world.jobs.cancelled


async def test_nothing_is_submitted_that_would_have_to_wait_for_a_part(world):
    world.health.outage = Unavailable("Triton is down")
    with pytest.raises(Unavailable, match="Triton is down"):
        await retrieve(world, ASKED, LONG_S)
    assert not world.jobs.submitted


async def test_nobody_waits_through_an_outage_that_lasts(world):
    waiting = asyncio.create_task(retrieve(world, NAMED, LONG_S))
    while not world.jobs.submitted:
        await asyncio.sleep(0)
    world.health.outage = Unavailable("Triton is down")
    world.health.lasting_outage.set()
    with pytest.raises(Unavailable, match="Triton is down"):
        await waiting
