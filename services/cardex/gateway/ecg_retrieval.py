"""The EcgRetrievalService service: translates and calls."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from cardex import __version__
from cardex.api.convert.jobs import (
    PRIORITIES,
    answer_message,
    decode_answer,
    error_message,
    job_message,
)
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import ecg_retrieval_pb2_grpc
from cardex.domain.errors import CardexError, InvalidQuestion, JobNotFound
from cardex.domain.jobs import (
    DEFAULT_TOP_K,
    DISCLAIMER,
    MAX_TOP_K,
    Job,
    Priority,
    QueueState,
)
from cardex.domain.settings import Settings
from cardex.gateway.auth import caller
from cardex.gateway.keys import Principal
from cardex.gateway.metrics import RETRIEVE_SECONDS
from cardex.gateway.submissions import SubmissionService
from cardex.gateway.threads import SlowCalls
from cardex.retrieval.dependencies import Dependencies
from cardex.stores.job_events import JobEvents

logger = logging.getLogger(__name__)

MAX_WATCHED = 10_000
IN_FLIGHT = 64
_CURSOR = re.compile(r"\d{1,15}-\d{1,15}")


class EcgRetrievalService(ecg_retrieval_pb2_grpc.EcgRetrievalServiceServicer):
    """Answers ECGs and texts."""

    def __init__(
        self,
        settings: Settings,
        dependencies: Dependencies,
        submissions: SubmissionService,
        events: JobEvents,
        slow: SlowCalls,
    ) -> None:
        """Serve with `dependencies`; calls of Milvus and Triton run in the threads of `slow`."""
        self._settings = settings
        self._dependencies = dependencies
        self._submissions = submissions
        self._events = events
        self._slow = slow

    async def Retrieve(self, request: pb.RetrieveRequest, context: Any) -> pb.RetrieveResponse:  # noqa: ANN401
        """Submit one ECG and wait."""
        start = time.perf_counter()
        who = caller()
        self._submissions.limit(who)
        longest = self._settings.retrieve_timeout_s
        answer, job_id = await self._submissions.retrieve(
            request, who, min(context.time_remaining() or longest, longest)
        )
        RETRIEVE_SECONDS.observe(time.perf_counter() - start)
        return pb.RetrieveResponse(answer=decode_answer(answer.message), job_id=job_id)

    async def SubmitEcg(self, request: pb.SubmitEcgRequest, context: Any) -> pb.SubmitEcgResponse:  # noqa: ANN401
        """Submit one ECG."""
        who = caller()
        self._submissions.limit(who)
        job = await self._submissions.submit(request, who, Priority.ROUTINE)
        return pb.SubmitEcgResponse(job=job_message(job))

    async def SubmitBatch(
        self,
        request_iterator: AsyncIterator[pb.SubmitBatchRequest],
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[pb.SubmitBatchResponse]:
        """Submit a stream; at most `IN_FLIGHT` items are held, so a fast client is slowed down."""
        who = caller()
        begun: asyncio.Queue[asyncio.Task[pb.SubmitBatchResponse] | None] = asyncio.Queue(IN_FLIGHT)

        async def begin() -> None:
            try:
                async for request in request_iterator:
                    await self._submissions.pace(who)
                    await begun.put(asyncio.create_task(self._item(request, who)))
            finally:
                await begun.put(None)

        reader = asyncio.create_task(begin())
        try:
            while (task := await begun.get()) is not None:
                yield await task
            await reader
        finally:
            reader.cancel()

    async def _item(self, request: pb.SubmitBatchRequest, who: Principal) -> pb.SubmitBatchResponse:
        try:
            job = await self._submissions.submit_patiently(request, who, Priority.ROUTINE)
        except CardexError as error:
            return pb.SubmitBatchResponse(item_id=request.item_id, error=error_message(error))
        return pb.SubmitBatchResponse(
            item_id=request.item_id, job=job_message(job, with_answer=False)
        )

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:  # noqa: ANN401
        """Return one job."""
        job = await asyncio.to_thread(self._dependencies.jobs.get, request.job_id, caller().owner)
        return pb.GetJobResponse(job=job_message(job))

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:  # noqa: ANN401
        """Cancel one job."""
        job = await asyncio.to_thread(
            self._dependencies.jobs.cancel, request.job_id, caller().owner
        )
        return pb.CancelJobResponse(job=job_message(job))

    async def WatchJobs(
        self,
        request: pb.WatchJobsRequest,
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[pb.WatchJobsResponse]:
        """Send the jobs as they are, then every change, until all named ones are final."""
        who = caller()
        watched = _watched(request)
        if request.cursor:
            await self._events.check(request.cursor)
        cursor = request.cursor or await self._events.latest()
        open_jobs = set(watched)
        for job in await self._jobs(watched, who):
            open_jobs -= {job.job_id} if job.state.final else set()
            yield _change(job, cursor, request)
        while open_jobs or not watched:
            events = await self._events.after(cursor)
            newest = {event.job_id: event.cursor for event in events}
            cursor = events[-1].cursor
            mine = [
                job_id
                for job_id in newest
                if job_id in open_jobs
                or (not watched and any(_sees(who, e.owner) for e in events if e.job_id == job_id))
            ]
            for changed in await asyncio.to_thread(self._dependencies.jobs.find, mine, who.owner):
                if changed is not None:
                    open_jobs -= {changed.job_id} if changed.state.final else set()
                    yield _change(changed, newest[changed.job_id], request)

    async def _jobs(self, job_ids: list[str], who: Principal) -> list[Job]:
        jobs = await asyncio.to_thread(self._dependencies.jobs.find, job_ids, who.owner)
        missing = [job_id for job_id, job in zip(job_ids, jobs, strict=True) if job is None]
        if missing:
            raise JobNotFound(
                f"no job {missing[0][:64]!r}: it never was, or its record has expired",
                field="job_ids",
            )
        return [job for job in jobs if job is not None]

    async def SearchReports(
        self,
        request: pb.SearchReportsRequest,
        context: Any,  # noqa: ANN401
    ) -> pb.SearchReportsResponse:
        """Find reports by text."""
        top_k = request.top_k if request.HasField("top_k") else DEFAULT_TOP_K
        answer = await self._slow.run(
            partial(self._dependencies.retriever.by_text, request.text, top_k)
        )
        return pb.SearchReportsResponse(answer=answer_message(answer))

    async def GetServerInfo(
        self,
        request: pb.GetServerInfoRequest,
        context: Any,  # noqa: ANN401
    ) -> pb.GetServerInfoResponse:
        """Say what this server runs; what is down is left empty."""
        info = pb.GetServerInfoResponse(
            version=__version__,
            disclaimer=DISCLAIMER,
            limits=pb.Limits(
                max_payload_bytes=self._settings.max_payload_bytes,
                max_backlog=self._settings.max_backlog,
                max_top_k=MAX_TOP_K,
            ),
        )
        await self._slow.run(partial(self._fill, info))
        return info

    def _fill(self, info: pb.GetServerInfoResponse) -> None:
        index = self._dependencies.active_index.last_known_index()
        if index is not None:
            info.index_name, info.index_generation = index.name, index.generation
            info.index_model_version = index.model_version
        try:
            models = self._dependencies.encoder.models(fresh=True)
            info.served_model_versions.extend(model.version for model in models)
            answering = [
                model for model in models if index and model.version == index.model_version
            ]
            model = (answering or list(models))[0]
            info.model_version, info.image_spec = model.version, model.image_spec.id
        except CardexError as error:
            logger.debug("server info lacks the models: %s", error.reason)
        try:
            queues = [self._dependencies.jobs.state(priority) for priority in Priority]
            info.queues.extend(map(_queue_message, queues))
        except CardexError as error:
            logger.debug("server info lacks the queues: %s", error.reason)


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


def _sees(who: Principal, owner: str) -> bool:
    return who.owner is None or who.owner == owner


def _change(job: Job, cursor: str, request: pb.WatchJobsRequest) -> pb.WatchJobsResponse:
    return pb.WatchJobsResponse(
        job=job_message(job, with_answer=request.with_answers), cursor=cursor
    )


def _queue_message(queue: QueueState) -> pb.QueueInfo:
    return pb.QueueInfo(
        priority=PRIORITIES[queue.priority],
        depth=queue.depth,
        oldest_age_s=queue.oldest_age_s,
        running=queue.running,
    )
