"""The command line's side of the gateway: one channel, blocking calls, errors of the tree."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from cardex.api.channel import channel_credentials, channel_options
from cardex.api.convert.jobs import question_message
from cardex.api.convert.reports import report_message
from cardex.api.pb.v1 import (
    ecg_pb2,
    ecg_retrieval_pb2_grpc,
    job_pb2,
    report_index_pb2,
    report_index_pb2_grpc,
)
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.recordings import load
from cardex.domain.errors import CardexError
from cardex.domain.jobs import Question
from cardex.domain.reports import Report
from cardex.domain.settings import Settings

UPSERT_CHUNK = 256
WATCH_CHUNK = 5_000


class GatewayClient:
    """Calls the gateway of these settings."""

    def __init__(self, settings: Settings) -> None:
        """Open a channel; nothing is sent until it is used."""
        credentials, options = channel_credentials(settings), channel_options(settings)
        target = settings.gateway_target
        self._channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        self._metadata = (
            [("authorization", f"Bearer {settings.api_key}")] if settings.api_key else []
        )
        self._ecgs = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(self._channel)
        self._index = report_index_pb2_grpc.ReportIndexServiceStub(self._channel)

    def __enter__(self) -> "GatewayClient":
        """Use the client in a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the channel."""
        self._channel.close()

    def retrieve(
        self, ecg: ecg_pb2.Ecg, question: Question | None = None, *, timeout_s: float = 60.0
    ) -> pb.RetrieveResponse:
        """Submit one ECG as STAT and wait for its answer."""
        asked = question_message(question or Question())
        request = pb.RetrieveRequest(ecg=ecg, question=asked)
        with _translated():
            response: pb.RetrieveResponse = self._ecgs.Retrieve(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return response

    def submit(self, requests: Iterable[pb.SubmitBatchRequest]) -> Iterator[pb.SubmitBatchResponse]:
        """Submit a stream; yields what became of each item."""
        with _translated():
            yield from self._ecgs.SubmitBatch(iter(requests), metadata=self._metadata)

    def finished(self, job_ids: Sequence[str], timeout_s: float) -> Iterator[job_pb2.Job]:
        """Yield each job when it is final, with its answer."""
        with _translated():
            for first in range(0, len(job_ids), WATCH_CHUNK):
                request = pb.WatchJobsRequest(
                    job_ids=job_ids[first : first + WATCH_CHUNK], with_answers=True
                )
                for change in self._ecgs.WatchJobs(
                    request, timeout=timeout_s, metadata=self._metadata
                ):
                    if change.job.state >= job_pb2.JOB_STATE_SUCCEEDED:
                        yield change.job

    def search(self, text: str, top_k: int) -> job_pb2.Answer:
        """Find reports by text."""
        request = pb.SearchReportsRequest(text=text, top_k=top_k)
        with _translated():
            response: pb.SearchReportsResponse = self._ecgs.SearchReports(
                request, timeout=60.0, metadata=self._metadata
            )
        return response.answer

    def info(self) -> pb.GetServerInfoResponse:
        """Return what the server runs."""
        with _translated():
            response: pb.GetServerInfoResponse = self._ecgs.GetServerInfo(
                pb.GetServerInfoRequest(), timeout=10.0, metadata=self._metadata
            )
        return response

    def index(self) -> report_index_pb2.IndexInfo:
        """Return the index that answers now."""
        with _translated():
            response: report_index_pb2.GetIndexResponse = self._index.GetIndex(
                report_index_pb2.GetIndexRequest(), timeout=30.0, metadata=self._metadata
            )
        return response.index

    def upsert(
        self, reports: Sequence[Report], *, rebuild: bool
    ) -> Iterator[report_index_pb2.UpsertReportsResponse]:
        """Send reports; yields the progress, and last the index."""
        mode = (
            report_index_pb2.UPSERT_MODE_REBUILD if rebuild else report_index_pb2.UPSERT_MODE_MERGE
        )

        def chunks() -> Iterator[report_index_pb2.UpsertReportsRequest]:
            for first in range(0, len(reports), UPSERT_CHUNK):
                messages = map(report_message, reports[first : first + UPSERT_CHUNK])
                yield report_index_pb2.UpsertReportsRequest(mode=mode, reports=messages)

        with _translated():
            yield from self._index.UpsertReports(chunks(), metadata=self._metadata)

    def migrate(
        self, model_version: str, *, shadow: bool
    ) -> Iterator[report_index_pb2.MigrateIndexResponse]:
        """Have the reports embedded by another model; yields the progress, and last the index."""
        request = report_index_pb2.MigrateIndexRequest(model_version=model_version, shadow=shadow)
        with _translated():
            yield from self._index.MigrateIndex(request, metadata=self._metadata)


def ecg_of_files(paths: Sequence[Path]) -> ecg_pb2.Ecg:
    """Return the message of one recording: one file, or a header and its signal files.

    Raises:
        InvalidEcg: if a file cannot be read, or they are too large together.
    """
    first, *rest = load(paths)
    companions = [ecg_pb2.CompanionFile(name=part.name, content=part.content) for part in rest]
    file = ecg_pb2.ClinicalFile(name=first.name, content=first.content, companions=companions)
    return ecg_pb2.Ecg(file=file)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        reason = error.code().name
        rich = rpc_status.from_call(error)
        info = ErrorInfo()
        for detail in rich.details if rich else ():
            if detail.Unpack(info):
                reason = info.reason
        raise CardexError(error.details() or "", reason=reason) from error
