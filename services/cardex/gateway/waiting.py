"""Waiting for the answer of one ECG: what Retrieve does after it has submitted."""

import asyncio
import logging
import time
from typing import Any

from cardex.domain.errors import CardexError, DeadlineExceeded, JobCancelled, JobFailed
from cardex.domain.jobs import Job, JobState
from cardex.gateway.health import HealthMonitor
from cardex.gateway.keys import Principal
from cardex.gateway.submissions import Accepted, Envelope, SubmissionService
from cardex.stores.job_events import JobEvents
from cardex.stores.job_queue import JobQueue
from cardex.stores.submission import Submitted
from cardex.telemetry.tracing import span

logger = logging.getLogger(__name__)


class AnswerWaiter:
    """Submits one ECG and waits for the end of its job."""

    def __init__(
        self,
        submissions: SubmissionService,
        jobs: JobQueue,
        events: JobEvents,
        health: HealthMonitor,
    ) -> None:
        """Submit by `submissions`, hear of ends by `events`, give up by `health`."""
        self._submissions = submissions
        self._jobs = jobs
        self._events = events
        self._health = health

    async def retrieve(
        self, request: Envelope, caller: Principal, timeout_s: float
    ) -> tuple[bytes, str]:
        """Submit and wait; returns the answer's bytes and the job's id, "" where none was needed.

        A job that nobody can find again, because it has no request_id, is cancelled when its caller
        goes away.

        Raises:
            CardexError: the job's own error, DeadlineExceeded, or why it was not taken in.
        """
        taking = self._submissions.begin(request, caller)
        try:
            with span("submit"):
                accepted = await asyncio.shield(taking)
            if accepted.answer is not None:
                return accepted.answer, ""
            assert accepted.submitted is not None
            with span("wait"):
                job = await self._final(accepted.submitted, timeout_s)
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

    async def _cancel_unfinished(self, taking: "asyncio.Future[Accepted]") -> None:
        """Cancel the job of a call that ended, even if it ended before its job was made."""
        await asyncio.wait([taking])
        if taking.exception() is None and (submitted := taking.result().submitted):
            await asyncio.shield(asyncio.to_thread(self._cancel, submitted.job_id))

    def _cancel(self, job_id: str) -> None:
        try:
            self._jobs.cancel(job_id)
        except CardexError as error:
            logger.warning("not cancelled: %s", error.reason, extra={"job_id": job_id})

    async def _final(self, submitted: Submitted, timeout_s: float) -> Job:
        job_id = submitted.job_id
        deadline = time.monotonic() + timeout_s
        look = not submitted.is_new
        while True:
            with self._events.ending(job_id) as ended:
                if look:
                    job = await asyncio.to_thread(self._jobs.get, job_id)
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


def _answer_of(job: Job) -> bytes:
    if job.answer is not None:
        return job.answer
    if job.state is JobState.CANCELLED:
        raise JobCancelled(f"job {job.job_id} was cancelled")
    if job.error is None:
        raise JobFailed(f"job {job.job_id} failed without a reason")
    raise job.error.to_error()
