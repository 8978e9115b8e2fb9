"""Jobs as they are, and every change of them: what WatchJobs sends."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence

from cardex.api.convert.jobs import job_envelope
from cardex.api.pb.internal.v1.envelope_pb2 import WatchResponse
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import InvalidQuestion, JobNotFound
from cardex.domain.jobs import Job
from cardex.gateway.keys import Principal
from cardex.stores.job_events import JobEvent, JobEvents
from cardex.stores.job_queue import JobQueue

MAX_WATCHED = 10_000
AT_ONCE = 256
"""Jobs that are read together, and that one message of many changes holds at most."""
MESSAGE_BYTES = 1024 * 1024
"""Answers of one message of many changes; a client takes 4 MB unless it says otherwise."""
_CURSOR = re.compile(r"\d{1,15}-\d{1,15}")


class JobWatches:
    """Follows jobs for callers; many watches cost the store one reading of its events."""

    def __init__(self, jobs: JobQueue, events: JobEvents) -> None:
        """Read `jobs`, and hear of their changes by `events`."""
        self._jobs = jobs
        self._events = events

    async def responses(
        self, request: pb.WatchJobsRequest, caller: Principal
    ) -> AsyncIterator[WatchResponse]:
        """Yield the named jobs as they are, then every change until all of them are final.

        Without names these are all changes of the caller's jobs, without end.

        Raises:
            CardexError: JobNotFound, InvalidQuestion for a wrong or expired cursor, or Unavailable.
        """
        watched = _watched(request)
        if request.cursor:
            await self._events.check(request.cursor)
        cursor = request.cursor or await self._events.latest()
        open_jobs = set(watched)
        async for response in self._sent(watched, cursor, cursor, request, caller, open_jobs):
            yield response
        while open_jobs or not watched:
            events = await self._events.after(cursor)
            before, cursor = cursor, events[-1].cursor
            changed = _changed(events, open_jobs if watched else None, caller)
            async for response in self._sent(changed, before, cursor, request, caller, open_jobs):
                yield response

    async def _sent(
        self,
        job_ids: Sequence[str],
        before: str,
        cursor: str,
        request: pb.WatchJobsRequest,
        caller: Principal,
        open_jobs: set[str],
    ) -> AsyncIterator[WatchResponse]:
        """Yield jobs as they are now, and leave those that are final out of `open_jobs`.

        Only the last message has the cursor behind them: one who goes on from an earlier message
        is sent the others again.
        """
        pending: WatchResponse | None = None
        for first in range(0, len(job_ids), AT_ONCE):
            some = job_ids[first : first + AT_ONCE]
            jobs = await asyncio.to_thread(self._jobs.find, some, caller.owner)
            found = [job for job in jobs if job is not None]
            if open_jobs and len(found) < len(jobs):
                _refuse_missing(some, jobs, open_jobs)
            open_jobs -= {job.job_id for job in found if job.state.final}
            for response in _messages(found, request):
                if pending is not None:
                    pending.cursor = before
                    yield pending
                pending = response
        if pending is not None:
            pending.cursor = cursor
            yield pending


def _messages(jobs: Iterable[Job], request: pb.WatchJobsRequest) -> Iterable[WatchResponse]:
    """Yield jobs one a message, or many where that was asked for."""
    envelopes = (job_envelope(job, with_answer=request.with_answers) for job in jobs)
    if not request.many:
        for envelope in envelopes:
            yield WatchResponse(job=envelope)
        return
    response, size = WatchResponse(), 0
    for envelope in envelopes:
        if size and size + len(envelope.answer) > MESSAGE_BYTES:
            yield response
            response, size = WatchResponse(), 0
        response.jobs.append(envelope)
        size += len(envelope.answer) + 1
    if size:
        yield response


def _refuse_missing(
    job_ids: Sequence[str], jobs: Sequence[Job | None], open_jobs: set[str]
) -> None:
    """Raise JobNotFound for a named job that is not there, or is somebody else's."""
    for job_id, job in zip(job_ids, jobs, strict=True):
        if job is None and job_id in open_jobs:
            raise JobNotFound(
                f"no job {job_id[:64]!r}: it never was, or its record has expired",
                field="job_ids",
            )


def _changed(
    events: Sequence[JobEvent], open_jobs: set[str] | None, caller: Principal
) -> list[str]:
    """Return the jobs of events that are watched, each once; None watches all of the caller's."""
    ids = dict.fromkeys(
        job_id
        for event in events
        if open_jobs is not None or caller.owner in (None, event.owner)
        for job_id in event.job_ids
    )
    return [job_id for job_id in ids if open_jobs is None or job_id in open_jobs]


def _watched(request: pb.WatchJobsRequest) -> list[str]:
    if request.cursor and not _CURSOR.fullmatch(request.cursor):
        raise InvalidQuestion(
            f"cursor {request.cursor[:40]!r}: send the cursor of an earlier WatchJobsResponse",
            reason="CURSOR",
            field="cursor",
        )
    watched = list(dict.fromkeys(request.job_ids))
    if len(watched) > MAX_WATCHED:
        raise InvalidQuestion(
            f"{len(watched)} job ids: at most {MAX_WATCHED}; leave them out to watch all your jobs",
            reason="JOB_IDS",
            field="job_ids",
        )
    return watched
