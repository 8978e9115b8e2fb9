import asyncio
import hashlib
import threading
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cardex.api.convert.ecg import to_payload
from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import (
    DeadlineExceeded,
    IndexMissing,
    InvalidEcg,
    InvalidQuestion,
    JobCancelled,
    JobFailed,
    Overloaded,
    PayloadTooLarge,
    Unavailable,
)
from cardex.domain.jobs import (
    DEFAULT_TOP_K,
    MAX_REQUEST_ID,
    EncodedAnswer,
    JobError,
    JobState,
    Priority,
    Question,
)
from cardex.domain.settings import Settings
from cardex.gateway.health import HealthMonitor
from cardex.gateway.keys import Principal, Scope
from cardex.gateway.submissions import SubmissionService
from cardex.retrieval.dependencies import Dependencies
from cardex.stores.job_events import JobEvents
from cardex.stores.job_queue import Submission, Submitted
from tests.helpers.answers import ANSWER
from tests.helpers.fakes import a_job

ICU = Principal("icu", frozenset({Scope.SUBMIT}))
ECG = ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=b"an ECG"))


@pytest.fixture
def service():
    """A service that is asked for submissions only, so that nothing is behind it."""
    return service_of(Settings(max_payload_bytes=1024), None, None, None)


def service_of(settings: Settings, parts, events, health) -> SubmissionService:
    return SubmissionService(
        settings,
        cast(Dependencies, parts),
        cast(JobEvents, events),
        cast(HealthMonitor, health),
    )


def submission(service, default=Priority.STAT, **request):
    return service.submission(pb.RetrieveRequest(**{"ecg": ECG, **request}), ICU, default)


def test_a_submission_belongs_to_its_caller(service):
    assert submission(service, request_id="r-1").owner == "icu"
    assert submission(service, request_id="r-1").request_id == "r-1"


@pytest.mark.parametrize("default", Priority)
def test_the_method_decides_the_priority_where_the_request_does_not(service, default):
    assert submission(service, default).priority is default


def test_the_request_decides_the_priority_where_it_can(service):
    assert submission(service, priority=job_pb2.PRIORITY_ROUTINE).priority is Priority.ROUTINE


def test_a_priority_that_does_not_exist_is_refused(service):
    with pytest.raises(InvalidQuestion) as caught:
        submission(service, priority=7)
    assert (caught.value.reason, caught.value.field) == ("PRIORITY", "priority")


def test_without_a_question_the_default_is_asked(service):
    assert submission(service).question == Question(DEFAULT_TOP_K)


@pytest.mark.parametrize("top_k", [0, -1, 101])
def test_a_top_k_out_of_range_is_refused_before_it_is_stored(service, top_k):
    with pytest.raises(InvalidQuestion) as caught:
        submission(service, question=pb.Question(top_k=top_k))
    assert (caught.value.reason, caught.value.field) == ("TOP_K", "question.top_k")


def test_a_request_without_an_ecg_is_refused(service):
    with pytest.raises(InvalidEcg) as caught:
        service.submission(pb.RetrieveRequest(), ICU, Priority.STAT)
    assert (caught.value.reason, caught.value.field) == ("EMPTY_PAYLOAD", "ecg")


def test_an_ecg_over_the_limit_is_refused(service):
    large = ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=bytes(1025)))
    with pytest.raises(PayloadTooLarge):
        submission(service, ecg=large)


def test_a_long_request_id_is_refused(service):
    assert submission(service, request_id="x" * MAX_REQUEST_ID)
    with pytest.raises(InvalidQuestion) as caught:
        submission(service, request_id="x" * (MAX_REQUEST_ID + 1))
    assert (caught.value.reason, caught.value.field) == ("REQUEST_ID", "request_id")


def test_the_claim_check_is_the_hash_of_the_ecg_alone(service):
    one = submission(service, request_id="r-1")
    other = submission(service, request_id="r-2", question=pb.Question(top_k=3))
    assert one.sha256 == other.sha256


# Submitting and waiting, with everything behind the service made up.

LONG_S, NO_TIME_S = 60.0, 0.001


class Jobs:
    """One job, which ends as `ends` says as soon as somebody waits for it."""

    def __init__(self) -> None:
        self.job = a_job("j1", state=JobState.QUEUED)
        self.ends: dict[str, Any] = {}
        self.errors: list[Exception] = []
        self.outcome = Submitted("j1", is_new=True, at=0.0)
        self.submitted: list[tuple[Submission, bytes | None]] = []
        self.cancelled: list[str] = []

    def submit(self, submissions):
        if self.errors:
            return [self.errors.pop()]
        self.submitted += submissions
        return [self.outcome]

    def get(self, job_id):
        return self.job

    def cancel(self, job_id):
        self.cancelled.append(job_id)


class Events:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    @contextmanager
    def ending(self, job_id):
        future = asyncio.get_running_loop().create_future()
        if self._jobs.ends:
            self._jobs.job = replace(self._jobs.job, **self._jobs.ends)
            future.set_result(None)
        yield future


class Health:
    def __init__(self) -> None:
        self.outage: Exception | None = None
        self.lasting_outage = asyncio.Event()

    def require(self):
        if self.outage is not None:
            raise self.outage


@pytest.fixture
def world():
    jobs, health = Jobs(), Health()
    known: dict[str, EncodedAnswer] = {}
    retriever = SimpleNamespace(cached=lambda sha256, question: known.get(sha256))
    parts = SimpleNamespace(jobs=jobs, retriever=retriever)
    service = service_of(Settings(), parts, Events(jobs), health)
    return SimpleNamespace(jobs=jobs, health=health, known=known, service=service)


ASKED = pb.RetrieveRequest(ecg=ECG)
NAMED = pb.RetrieveRequest(ecg=ECG, request_id="r-1")
SHA256 = hashlib.sha256(to_payload(ECG)).hexdigest()


def retrieve(world, request, timeout_s: float):
    return world.service.retrieve(request, ICU, timeout_s)


def submit(world):
    return world.service.submit(ASKED, ICU, Priority.ROUTINE)


async def test_a_known_answer_needs_no_job(world):
    world.known[SHA256] = ANSWER
    assert await retrieve(world, ASKED, LONG_S) == (ANSWER, "")
    assert not world.jobs.submitted


async def test_a_known_answer_is_given_while_a_part_is_down(world):
    world.known[SHA256] = ANSWER
    world.health.outage = Unavailable("Triton is down")
    assert await retrieve(world, ASKED, LONG_S) == (ANSWER, "")


async def test_the_answer_comes_when_the_job_ends(world):
    world.jobs.ends = {"state": JobState.SUCCEEDED, "answer": ANSWER.message}
    assert await retrieve(world, ASKED, LONG_S) == (EncodedAnswer(ANSWER.message), "j1")
    ((submission, answer),) = world.jobs.submitted
    assert (submission.priority, answer) == (Priority.STAT, None)


async def test_the_answer_of_an_earlier_submission_is_not_waited_for(world):
    world.jobs.outcome = Submitted("j1", is_new=False, at=0.0)
    world.jobs.job = replace(world.jobs.job, state=JobState.SUCCEEDED, answer=ANSWER.message)
    assert await retrieve(world, NAMED, LONG_S) == (EncodedAnswer(ANSWER.message), "j1")


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


async def test_a_job_waits_for_a_part_that_is_down(world):
    world.health.outage = Unavailable("Triton is down")
    assert (await submit(world)).job_id == "j1"


async def test_no_job_waits_for_an_index_that_is_missing(world):
    world.health.outage = IndexMissing("there is no report index yet")
    with pytest.raises(IndexMissing):
        await submit(world)
    assert not world.jobs.submitted


async def test_a_known_answer_makes_a_job_that_is_answered_at_once(world):
    world.known[SHA256] = ANSWER
    await submit(world)
    ((submission, answer),) = world.jobs.submitted
    assert (submission.sha256, answer) == (SHA256, ANSWER.message)


async def test_a_stream_is_held_up_while_the_queue_is_full(world):
    full = Overloaded("jobs wait", retry_after_s=NO_TIME_S)
    world.jobs.errors = [full, full]
    assert (await world.service.submit_patiently(ASKED, ICU, Priority.ROUTINE)).job_id == "j1"


async def test_a_single_ecg_is_refused_while_the_queue_is_full(world):
    world.jobs.errors = [Overloaded("jobs wait", retry_after_s=5.0)]
    with pytest.raises(Overloaded):
        await submit(world)
