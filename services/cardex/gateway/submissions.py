"""Taking ECGs in: what Retrieve, SubmitEcg and SubmitBatch have in common."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cardex.api.convert.ecg import to_payload
from cardex.api.convert.jobs import priority_of, question_of
from cardex.api.pb.v1 import ecg_retrieval_pb2
from cardex.domain.errors import (
    CardexError,
    DeadlineExceeded,
    IndexMissing,
    InvalidQuestion,
    JobCancelled,
    JobFailed,
    Overloaded,
    VersionMismatch,
)
from cardex.domain.jobs import MAX_REQUEST_ID, EncodedAnswer, Job, JobState, Priority
from cardex.domain.settings import Settings
from cardex.gateway.health import HealthMonitor
from cardex.gateway.keys import Principal
from cardex.gateway.metrics import CACHE
from cardex.gateway.rate_limit import RateLimit, check_size
from cardex.retrieval.dependencies import Dependencies
from cardex.retrieval.retriever import check_question
from cardex.stores.job_events import JobEvents
from cardex.stores.job_queue import Submission, Submitted

logger = logging.getLogger(__name__)

BEDSIDE_THREADS = 32

Request = (
    ecg_retrieval_pb2.RetrieveRequest
    | ecg_retrieval_pb2.SubmitEcgRequest
    | ecg_retrieval_pb2.SubmitBatchRequest
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An ECG that was taken in: its answer where that is known, else its job."""

    answer: EncodedAnswer | None
    submitted: Submitted | None


class SubmissionService:
    """Checks, looks up and submits; all of one ECG's blocking work is one visit to a thread."""

    def __init__(
        self,
        settings: Settings,
        dependencies: Dependencies,
        events: JobEvents,
        health: HealthMonitor,
    ) -> None:
        """Take ECGs in for `dependencies`."""
        self._settings = settings
        self._dependencies = dependencies
        self._events = events
        self._health = health
        self._rate = RateLimit(settings.rate_per_s)
        # Known answers must not wait behind submissions that a hanging state store holds up.
        self._bedside = ThreadPoolExecutor(BEDSIDE_THREADS, thread_name_prefix="bedside")

    def submission(self, request: Request, caller: Principal, default: Priority) -> Submission:
        """Return what the request asks for, checked as far as no clinical file is parsed.

        Raises:
            CardexError: InvalidInput or PayloadTooLarge, with the field.
        """
        payload = to_payload(request.ecg)
        check_size(payload, self._settings.max_payload_bytes)
        if len(request.request_id) > MAX_REQUEST_ID:
            raise InvalidQuestion(
                f"request_id has {len(request.request_id)} characters: at most {MAX_REQUEST_ID}",
                reason="REQUEST_ID",
                field="request_id",
            )
        return Submission(
            owner=caller.name,
            priority=priority_of(request.priority, default),
            payload=payload,
            question=check_question(question_of(request.question)),
            request_id=request.request_id,
        )

    def limit(self, caller: Principal) -> None:
        """Count one submission of a caller; raises Overloaded."""
        self._rate.check(caller.name)

    async def pace(self, caller: Principal) -> None:
        """Wait for the caller's turn: a stream is slowed down rather than refused."""
        while (delay := self._rate.wait_s(caller.name)) > 0.0:
            await asyncio.sleep(delay)

    async def submit(self, request: Request, caller: Principal, default: Priority) -> Job:
        """Make the ECG a job, answered at once where the answer is known.

        Raises:
            CardexError: InvalidInput, PayloadTooLarge, RequestIdReused, Overloaded, Unavailable, or
                what does not fit together.
        """
        return await asyncio.to_thread(self._submit, request, caller, default)

    async def submit_patiently(self, request: Request, caller: Principal, default: Priority) -> Job:
        """Submit an item of a stream, waiting while the queue or the store is full.

        Raises:
            CardexError: what `submit` raises, but for Overloaded.
        """
        while True:
            try:
                return await self.submit(request, caller, default)
            except Overloaded as error:
                await asyncio.sleep(error.retry_after_s or 1.0)

    def _submit(self, request: Request, caller: Principal, default: Priority) -> Job:
        submission = self.submission(request, caller, default)
        answer = self._known(submission)
        if answer is None:
            self._refuse_what_cannot_end()
        message = answer.message if answer else None
        submitted = self._enqueue(submission, message)
        if not submitted.is_new:
            return self._dependencies.jobs.get(submitted.job_id)
        return Job(
            job_id=submitted.job_id,
            owner=submission.owner,
            state=JobState.SUCCEEDED if answer else JobState.QUEUED,
            priority=submission.priority,
            payload=submission.sha256,
            question=submission.question,
            attempts=0,
            submitted=submitted.at,
            updated=submitted.at,
            answer=message,
        )

    def _known(self, submission: Submission) -> EncodedAnswer | None:
        """Return the answer that the cache has."""
        retriever = self._dependencies.retriever
        answer = retriever.cached(submission.sha256, submission.question)
        CACHE.labels("miss" if answer is None else "hit").inc()
        return answer

    def _refuse_what_cannot_end(self) -> None:
        """A part that is down comes back and the job waits; a mismatch needs the operator."""
        try:
            self._health.require()
        except (VersionMismatch, IndexMissing):
            raise
        except CardexError as error:
            logger.debug("the job will wait: %s", error.reason)

    def _enqueue(self, submission: Submission, answer: bytes | None) -> Submitted:
        (outcome,) = self._dependencies.jobs.submit([(submission, answer)])
        if isinstance(outcome, CardexError):
            raise outcome
        return outcome

    async def retrieve(
        self, request: Request, caller: Principal, timeout_s: float
    ) -> tuple[EncodedAnswer, str]:
        """Submit and wait; returns the answer and the job's id, "" where no job was needed.

        A job that nobody can find again, because it has no request_id, is cancelled when its caller
        goes away.

        Raises:
            CardexError: the job's own error, DeadlineExceeded, or what `submit` raises.
        """
        loop = asyncio.get_running_loop()
        taking = loop.run_in_executor(self._bedside, self._take, request, caller)
        submitted: Submitted | None = None
        try:
            accepted = await asyncio.shield(taking)
            if accepted.answer is not None:
                return accepted.answer, ""
            submitted = accepted.submitted
            assert submitted is not None
            job = await self._final(submitted, timeout_s)
        except (TimeoutError, asyncio.CancelledError, CardexError) as error:
            if not request.request_id:
                await self._cancel_unfinished(taking)
            if not isinstance(error, TimeoutError):
                raise
            raise DeadlineExceeded(
                f"no answer within {timeout_s:.1f} s: allow more, or submit with a request_id and"
                " ask again",
                retry_after_s=5.0,
            ) from error
        return _answer_of(job), job.job_id

    def _take(self, request: Request, caller: Principal) -> Accepted:
        submission = self.submission(request, caller, Priority.STAT)
        answer = self._known(submission)
        if answer is not None:
            return Accepted(answer, None)
        self._health.require()
        return Accepted(None, self._enqueue(submission, None))

    async def _cancel_unfinished(self, taking: "asyncio.Future[Accepted]") -> None:
        """Cancel the job of a call that ended, even if it ended before its job was made."""
        await asyncio.wait([taking])
        if taking.exception() is None and (submitted := taking.result().submitted):
            await asyncio.shield(asyncio.to_thread(self._cancel, submitted.job_id))

    def _cancel(self, job_id: str) -> None:
        try:
            self._dependencies.jobs.cancel(job_id)
        except CardexError as error:
            logger.warning("not cancelled: %s", error.reason, extra={"job_id": job_id})

    async def _final(self, submitted: Submitted, timeout_s: float) -> Job:
        job_id, jobs = submitted.job_id, self._dependencies.jobs
        deadline = time.monotonic() + timeout_s
        look = not submitted.is_new
        while True:
            with self._events.ending(job_id) as ended:
                if look:
                    job = await asyncio.to_thread(jobs.get, job_id)
                    if job.state.final:
                        return job
                await self._end_or_outage(ended, deadline - time.monotonic())
            look = True  # the wait also ends where an event may have been missed

    async def _end_or_outage(self, ended: asyncio.Future[None], timeout_s: float) -> None:
        """Wait for the job's end, but not through an outage that lasts."""
        outage = asyncio.create_task(self._health.lasting_outage.wait())
        either: set[asyncio.Future[Any]] = {ended, outage}
        try:
            done, _ = await asyncio.wait(
                either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            outage.cancel()
        if not done:
            raise TimeoutError
        if ended not in done:
            self._health.require()


def _answer_of(job: Job) -> EncodedAnswer:
    if job.answer is not None:
        return EncodedAnswer(job.answer)
    if job.state is JobState.CANCELLED:
        raise JobCancelled(f"job {job.job_id} was cancelled")
    if job.error is None:
        raise JobFailed(f"job {job.job_id} failed without a reason")
    raise job.error.to_error()
