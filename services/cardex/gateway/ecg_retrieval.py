"""The EcgRetrievalService service: translates and calls."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import Message

from cardex import __version__
from cardex.api.convert.cases import NEARNESS, case_response
from cardex.api.convert.jobs import PRIORITIES, answer_message, job_envelope, question_of
from cardex.api.pb.internal.v1.envelope_pb2 import (
    AnswerEnvelope,
    BatchEnvelope,
    BatchResponse,
    EcgEnvelope,
    JobResponse,
    WatchResponse,
)
from cardex.api.pb.v1 import case_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.cases import Nearness
from cardex.domain.errors import CardexError, CaseNotFound, InvalidQuestion
from cardex.domain.jobs import DISCLAIMER, MAX_TOP_K, Priority, QueueState
from cardex.domain.settings import Settings
from cardex.gateway.archives import own_ids
from cardex.gateway.auth import caller
from cardex.gateway.batches import BatchStream
from cardex.gateway.health import RETRIEVAL
from cardex.gateway.keys import Principal
from cardex.gateway.metrics import RETRIEVE_SECONDS
from cardex.gateway.submissions import SubmissionService
from cardex.gateway.threads import SlowCalls
from cardex.gateway.waiting import AnswerWaiter
from cardex.gateway.watches import JobWatches
from cardex.retrieval.dependencies import Dependencies

logger = logging.getLogger(__name__)


class EcgRetrievalService:
    """Answers ECGs and texts. ECGs, answers and jobs are read and written as envelopes."""

    def __init__(
        self,
        settings: Settings,
        dependencies: Dependencies,
        submissions: SubmissionService,
        waiter: AnswerWaiter,
        watches: JobWatches,
        slow: SlowCalls,
    ) -> None:
        """Serve with `dependencies`; calls of Milvus and Triton run in the threads of `slow`."""
        self._settings = settings
        self._dependencies = dependencies
        self._submissions = submissions
        self._waiter = waiter
        self._watches = watches
        self._slow = slow

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the methods as grpc serves them."""
        one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Retrieve": one(self.Retrieve, _read(EcgEnvelope), _write),
            "SubmitEcg": one(self.SubmitEcg, _read(EcgEnvelope), _write),
            "SubmitBatch": grpc.stream_stream_rpc_method_handler(
                self.SubmitBatch, _read(BatchEnvelope), _write
            ),
            "GetJob": one(self.GetJob, _read(pb.GetJobRequest), _write),
            "WatchJobs": many(self.WatchJobs, _read(pb.WatchJobsRequest), _write),
            "CancelJob": one(self.CancelJob, _read(pb.CancelJobRequest), _write),
            "SearchReports": one(self.SearchReports, _read(pb.SearchReportsRequest), _write),
            "GetCase": one(self.GetCase, _read(case_pb2.GetCaseRequest), _write),
            "GetServerInfo": one(self.GetServerInfo, _read(pb.GetServerInfoRequest), _write),
        }
        return grpc.method_handlers_generic_handler(RETRIEVAL, methods)

    async def Retrieve(self, request: EcgEnvelope, context: Any) -> AnswerEnvelope:  # noqa: ANN401
        """Submit one ECG and wait."""
        start = time.perf_counter()
        who = caller()
        self._submissions.limit(who)
        longest = self._settings.retrieve_timeout_s
        answer, job_id = await self._waiter.retrieve(
            request, who, min(context.time_remaining() or longest, longest)
        )
        RETRIEVE_SECONDS.observe(time.perf_counter() - start)
        return AnswerEnvelope(answer=answer, job_id=job_id)

    async def SubmitEcg(self, request: EcgEnvelope, context: Any) -> JobResponse:  # noqa: ANN401
        """Submit one ECG."""
        who = caller()
        self._submissions.limit(who)
        job = await self._submissions.submit_one(request, who, Priority.ROUTINE)
        return JobResponse(job=job_envelope(job))

    async def SubmitBatch(
        self,
        request_iterator: AsyncIterator[BatchEnvelope],
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[BatchResponse]:
        """Submit a stream."""
        stream = BatchStream(self._submissions, caller())
        async for response in stream.responses(request_iterator):
            yield response

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> JobResponse:  # noqa: ANN401
        """Return one job."""
        job = await asyncio.to_thread(self._dependencies.jobs.get, request.job_id, caller().owner)
        return JobResponse(job=job_envelope(job))

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> JobResponse:  # noqa: ANN401
        """Cancel one job."""
        job = await asyncio.to_thread(
            self._dependencies.jobs.cancel, request.job_id, caller().owner
        )
        return JobResponse(job=job_envelope(job))

    async def WatchJobs(
        self,
        request: pb.WatchJobsRequest,
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[WatchResponse]:
        """Send the jobs as they are, then every change, until all named ones are final."""
        async for response in self._watches.responses(request, caller()):
            yield response

    async def SearchReports(
        self,
        request: pb.SearchReportsRequest,
        context: Any,  # noqa: ANN401
    ) -> pb.SearchReportsResponse:
        """Find reports by text."""
        with _fields_without_a_question():
            question = question_of(request)
            by = question.by or Nearness.REPORT
            question = replace(question, by=by, archive=caller().archive)
            answer = await self._slow.run(
                partial(self._dependencies.retriever.by_text, request.text, question)
            )
        return pb.SearchReportsResponse(answer=answer_message(answer))

    async def GetCase(
        self,
        request: case_pb2.GetCaseRequest,
        context: Any,  # noqa: ANN401
    ) -> case_pb2.GetCaseResponse:
        """Return one case that the caller may see."""
        own = own_ids(caller(), [request.case_id])
        if not own:  # as of one that is not there, so that nobody learns what others have
            raise CaseNotFound.of(request.case_id)
        found = await self._slow.run(partial(self._dependencies.retriever.case, own[0]))
        restricted = bool(caller().archive)
        return case_response(found, restricted=restricted)

    async def GetServerInfo(
        self,
        request: pb.GetServerInfoRequest,
        context: Any,  # noqa: ANN401
    ) -> pb.GetServerInfoResponse:
        """Say what this server runs; what is down is left empty."""
        info = pb.GetServerInfoResponse(
            version=__version__,
            disclaimer=DISCLAIMER,
            by=NEARNESS[self._settings.nearness],
            limits=pb.Limits(
                max_payload_bytes=self._settings.max_payload_bytes,
                max_backlog=self._settings.max_backlog,
                max_backlog_per_key=self._settings.max_backlog_per_key,
                max_top_k=MAX_TOP_K,
            ),
        )
        await self._slow.run(partial(self._fill, info, caller()))
        return info

    def _fill(self, info: pb.GetServerInfoResponse, who: Principal) -> None:
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
            info.image_spec_json = model.image_spec.to_json()
        except CardexError as error:
            logger.debug("server info lacks the models: %s", error.reason)
        try:
            queues = [self._dependencies.jobs.state(priority) for priority in Priority]
            info.queues.extend(_queue_message(queue, who) for queue in queues)
        except CardexError as error:
            logger.debug("server info lacks the queues: %s", error.reason)


@contextmanager
def _fields_without_a_question() -> Iterator[None]:
    """Let errors name the fields of a search by text, which has those of a question itself."""
    try:
        yield
    except InvalidQuestion as error:
        field = error.field.removeprefix("question.")
        said = error.message.replace(error.field, field) if error.field else error.message
        raise InvalidQuestion(said, reason=error.reason, field=field) from error


def _queue_message(queue: QueueState, who: Principal) -> pb.QueueInfo:
    return pb.QueueInfo(
        priority=PRIORITIES[queue.priority],
        depth=queue.depth,
        oldest_age_s=queue.oldest_age_s,
        running=queue.running,
        own_depth=queue.waiting.get(who.name, 0),
    )


def _read(kind: type[Message]) -> Any:  # noqa: ANN401  grpc's types know no classes of messages
    return kind.FromString


def _write(message: Message) -> bytes:
    return message.SerializeToString()
