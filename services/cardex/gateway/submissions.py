"""Taking ECGs in: what Retrieve, SubmitEcg and SubmitBatch have in common."""

import asyncio
import logging
from typing import Any

from cardex.api.convert.ecg import to_payload
from cardex.api.convert.jobs import priority_of, question_of
from cardex.api.pb.v1 import ecg_retrieval_pb2
from cardex.domain.errors import (
    CardexError,
    DeadlineExceeded,
    IndexMissing,
    InvalidEcg,
    InvalidQuestion,
    JobCancelled,
    JobFailed,
    Overloaded,
    PayloadExpired,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.jobs import Answer, Job, JobError, JobState, Priority
from cardex.domain.settings import Settings
from cardex.gateway.health import HealthMonitor
from cardex.gateway.keys import Principal
from cardex.gateway.metrics import CACHE
from cardex.gateway.rate_limit import RateLimit, check_size
from cardex.retrieval.dependencies import Dependencies
from cardex.retrieval.retriever import check_question
from cardex.stores.broker import Doorbell
from cardex.stores.job_events import JobEvents
from cardex.stores.job_queue import Submission, Submitted

logger = logging.getLogger(__name__)

MAX_REQUEST_ID = 128

Request = (
    ecg_retrieval_pb2.RetrieveRequest
    | ecg_retrieval_pb2.SubmitEcgRequest
    | ecg_retrieval_pb2.SubmitBatchRequest
)


class SubmissionService:
    """Checks, looks up and submits; blocking work runs in threads."""

    def __init__(
        self,
        settings: Settings,
        parts: Dependencies,
        doorbell: Doorbell,
        events: JobEvents,
        pulse: HealthMonitor,
    ) -> None:
        """Take ECGs in for `parts`."""
        self._settings = settings
        self._parts = parts
        self._doorbell = doorbell
        self._events = events
        self._pulse = pulse
        self._rate = RateLimit(settings.rate_per_s)

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

    async def known(self, submission: Submission) -> Answer | None:
        """Return the answer that the cache has."""
        answer = await asyncio.to_thread(
            self._parts.retriever.cached, submission.sha256, submission.question
        )
        CACHE.labels("miss" if answer is None else "hit").inc()
        return answer

    async def submit(self, submission: Submission) -> Job:
        """Make the ECG a job, answered at once where the answer is known.

        Raises:
            CardexError: RequestIdReused, Overloaded, Unavailable, or what does not fit together.
        """
        answer = await self.known(submission)
        if answer is None:
            self._refuse_what_cannot_end()
        return await asyncio.to_thread(self._submit, submission, answer)

    async def submit_patiently(self, submission: Submission) -> Job:
        """Submit an item of a stream; a full queue or store holds the stream up instead of refusing.

        Raises:
            CardexError: what `submit` raises, but for Overloaded.
        """
        while True:
            try:
                return await self.submit(submission)
            except Overloaded as error:
                await asyncio.sleep(error.retry_after_s or 1.0)

    def _refuse_what_cannot_end(self) -> None:
        """A part that is down comes back and the job waits; a mismatch needs the operator."""
        try:
            self._pulse.require()
        except (VersionMismatch, IndexMissing):
            raise
        except CardexError as error:
            logger.debug("the job will wait: %s", error.reason)

    def _submit(self, submission: Submission, answer: Answer | None) -> Job:
        submitted = self._enqueue(submission, answer)
        if not submitted.is_new:
            return self._parts.jobs.get(submitted.job_id)
        return Job(
            job_id=submitted.job_id,
            owner=submission.owner,
            state=JobState.QUEUED if answer is None else JobState.SUCCEEDED,
            priority=submission.priority,
            payload=submission.sha256,
            question=submission.question,
            attempts=0,
            submitted=submitted.at,
            updated=submitted.at,
            answer=answer,
        )

    def _enqueue(self, submission: Submission, answer: Answer | None = None) -> Submitted:
        submitted = self._parts.jobs.submit(submission, answer)
        self._wake(submission.priority, submitted)
        return submitted

    def _wake(self, priority: Priority, submitted: Submitted) -> None:
        if submitted.wake:
            try:
                self._doorbell.ring(priority)
            except Unavailable as error:  # the job is durable: the sweeper rings again
                logger.warning("%s", error.message, extra={"job_id": submitted.job_id})

    async def answered(self, submission: Submission, timeout_s: float) -> tuple[Answer, str]:
        """Submit and wait; returns the answer and the job's id, "" where none was needed.

        A job that nobody can find again, because it has no request_id, is cancelled when its caller
        goes away.

        Raises:
            CardexError: the job's own error, DeadlineExceeded, or what `submit` raises.
        """
        answer = await self.known(submission)
        if answer is not None:
            return answer, ""
        self._pulse.require()
        submitted = await asyncio.to_thread(self._enqueue, submission)
        try:
            job = await self._final(submitted, timeout_s)
        except (TimeoutError, asyncio.CancelledError, CardexError) as error:
            if submitted.is_new and not submission.request_id:
                await asyncio.shield(asyncio.to_thread(self._abandon, submitted.job_id))
            if not isinstance(error, TimeoutError):
                raise
            raise DeadlineExceeded(
                f"no answer within {timeout_s:.1f} s: allow more, or submit with a request_id and"
                " ask again",
                retry_after_s=5.0,
            ) from error
        return _answer_of(job), job.job_id

    def _abandon(self, job_id: str) -> None:
        try:
            self._parts.jobs.cancel(job_id)
        except CardexError as error:
            logger.warning("not cancelled: %s", error.reason, extra={"job_id": job_id})

    async def _final(self, submitted: Submitted, timeout_s: float) -> Job:
        job_id = submitted.job_id
        with self._events.ending(job_id) as ended:
            if not submitted.is_new:
                job = await asyncio.to_thread(self._parts.jobs.get, job_id)
                if job.state.final:
                    return job
            await self._end_or_trouble(ended, timeout_s)
        return await asyncio.to_thread(self._parts.jobs.get, job_id)

    async def _end_or_trouble(self, ended: asyncio.Future[None], timeout_s: float) -> None:
        """Wait for the job's end, but not through a trouble that lasts."""
        trouble = asyncio.create_task(self._pulse.lasting.wait())
        either: set[asyncio.Future[Any]] = {ended, trouble}
        try:
            done, _ = await asyncio.wait(
                either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            trouble.cancel()
        if not done:
            raise TimeoutError
        if ended not in done:
            self._pulse.require()


def _answer_of(job: Job) -> Answer:
    if job.answer is not None:
        return job.answer
    if job.state is JobState.CANCELLED:
        raise JobCancelled(f"job {job.job_id} was cancelled")
    raise _failure(job)


def _failure(job: Job) -> CardexError:
    """Return the error that a job failed with; where it names a field, the input is at fault."""
    error = job.error or JobError("UNKNOWN", f"job {job.job_id} failed without a reason")
    if error.reason == PayloadExpired.reason:
        return PayloadExpired(error.message)
    kind = InvalidEcg if error.field else JobFailed
    return kind(error.message, reason=error.reason, field=error.field)
