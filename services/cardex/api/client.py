"""The client of a gateway: blocking calls, typed answers, errors of the tree.

Example:
    ```python
    with Client("ecg.hospital.example:50051", api_key="cdx_...") as client:
        answer = client.retrieve("one.dcm").answer
        print(answer.hits[0].report.text)
        for result in client.submit_folder("archive/"):
            print(result.name, result.answer or result.error)
    ```
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import numpy as np
from numpy.typing import ArrayLike

from cardex.api.channel import channel_credentials, channel_options
from cardex.api.convert.jobs import error_of, question_message
from cardex.api.convert.reports import report_message
from cardex.api.packing import lead_message
from cardex.api.pb.v1 import (
    ecg_pb2,
    ecg_retrieval_pb2_grpc,
    job_pb2,
    report_index_pb2,
    report_index_pb2_grpc,
)
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.recordings import load, one_recording_files, recordings
from cardex.api.status import error_of_call
from cardex.domain.ecg import LEADS
from cardex.domain.errors import (
    CardexError,
    InvalidEcg,
    JobCancelled,
    PayloadTooLarge,
    Unavailable,
)
from cardex.domain.jobs import Question
from cardex.domain.reports import Report
from cardex.domain.settings import Settings, settings_of

UPSERT_CHUNK = 256
WATCH_CHUNK = 5_000
FINISH_TIMEOUT_S = 24 * 3600.0

EcgSource = ecg_pb2.Ecg | str | Path
"""An ECG message; or the path of a file, of a WFDB header, or of a folder with one recording."""
OnProgress = Callable[[str, int, int], None]
"""Is given a step ("submitted" or "answered"), how many recordings passed it, and of how many."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recording of a folder.

    Attributes:
        name: name of its file; of a WFDB record, of its header.
        answer: the answer, None where it failed.
        error: why it failed, None where it was answered.
        job_id: its job, "" where it was refused before it became one.
    """

    name: str
    answer: job_pb2.Answer | None = None
    error: CardexError | None = None
    job_id: str = ""


class Client:
    """Calls a gateway. Every method raises `CardexError` or a class below it, as the gateway said.

    Use it as a context, or `close` it. Threads may share it.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        api_key: str = "",
        ca: Path | None = None,
        insecure: bool = False,
    ) -> None:
        """Prepare a connection; nothing is sent until the first call.

        Args:
            target: `host:port`, `dns:///host:port` for several gateways, or `unix:PATH`.
            api_key: key with the scopes that the calls need; none is needed on loopback.
            ca: PEM file of the CA that signed the gateway's certificate; the system's CAs where
                left out.
            insecure: send everything in clear to another machine.

        Raises:
            ConfigurationError: if the CA cannot be read, or a `CARDEX_*` variable is wrong.
        """
        self._open(
            settings_of(gateway_target=target, api_key=api_key, gateway_ca=ca, insecure=insecure)
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Prepare a connection by the `CARDEX_*` settings, as the command line does."""
        client = cls.__new__(cls)
        client._open(settings)
        return client

    def _open(self, settings: Settings) -> None:
        credentials, options = channel_credentials(settings), channel_options(settings)
        self._target = settings.gateway_target
        self._max_payload_bytes = settings.max_payload_bytes
        self._channel = (
            grpc.insecure_channel(self._target, options)
            if credentials is None
            else grpc.secure_channel(self._target, credentials, options)
        )
        key = settings.api_key
        self._metadata = [("authorization", f"Bearer {key}")] if key else []
        self._ecgs = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(self._channel)
        self._index = report_index_pb2_grpc.ReportIndexServiceStub(self._channel)

    def __enter__(self) -> Self:
        """Use the client in a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as call:
            error = error_of_call(call)
            if isinstance(error, Unavailable) and error.reason == grpc.StatusCode.UNAVAILABLE.name:
                # gRPC's own words, where no gateway answered that has better ones.
                error.message = (
                    f"no gateway answers at {self._target} ({error.message}): start one with"
                    " `cardex up`, or set CARDEX_GATEWAY_TARGET to one that runs"
                )
            raise error from call

    def retrieve(
        self,
        ecg: EcgSource,
        question: Question | None = None,
        *,
        request_id: str = "",
        timeout_s: float = 60.0,
    ) -> pb.RetrieveResponse:
        """Submit one ECG as STAT and wait for its answer.

        Args:
            ecg: the ECG; `ecg_of_samples` makes one of an array.
            question: how many reports, and whether to re-rank; the default asks for ten.
            request_id: makes the call idempotent, and lets the job go on if the connection breaks.
            timeout_s: how long to wait, in seconds.
        """
        asked = question_message(question or Question())
        message = (
            ecg if isinstance(ecg, ecg_pb2.Ecg) else self._read(one_recording_files(Path(ecg)))
        )
        request = pb.RetrieveRequest(ecg=message, question=asked, request_id=request_id)
        with self._translated():
            response: pb.RetrieveResponse = self._ecgs.Retrieve(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return response

    def submit_folder(
        self,
        *paths: str | Path,
        question: Question | None = None,
        on_progress: OnProgress = lambda step, done, total: None,
    ) -> Iterator[Result]:
        """Submit every recording below files or folders as one routine stream.

        Yields:
            A result for each recording, as it is refused or answered; a bad one stops no other.

        Raises:
            InvalidEcg: if a path does not exist, or there is no recording.
        """
        found = _recordings(paths)
        jobs: dict[str, list[str]] = {}
        outcomes = self._submitted(found, question or Question())
        for done, (number, outcome) in enumerate(outcomes, start=1):
            name = found[number][0].name
            if isinstance(outcome, CardexError):
                yield Result(name, error=outcome)
            else:
                jobs.setdefault(outcome.job_id, []).append(name)
            on_progress("submitted", done, len(found))
        for done, job in enumerate(self.finished(list(jobs), FINISH_TIMEOUT_S), start=1):
            yield from (_result(name, job) for name in jobs[job.job_id])
            on_progress("answered", done, len(jobs))

    def _submitted(
        self, found: Sequence[Sequence[Path]], question: Question
    ) -> Iterator[tuple[int, job_pb2.Job | CardexError]]:
        """Submit recordings; yields the place of each with its job, or why there is none."""
        unreadable: dict[int, CardexError] = {}

        def requests() -> Iterator[pb.SubmitBatchRequest]:
            for number, files in enumerate(found):
                try:
                    ecg = self._read(files)
                except CardexError as error:
                    unreadable[number] = error
                else:
                    yield pb.SubmitBatchRequest(
                        item_id=str(number), ecg=ecg, question=question_message(question)
                    )

        for response in self.submit(requests()):
            refused = response.HasField("error")
            yield int(response.item_id), error_of(response.error) if refused else response.job
        yield from unreadable.items()

    def _read(self, files: Sequence[Path]) -> ecg_pb2.Ecg:
        """Read a recording; one that no message can carry is refused before it breaks a stream."""
        ecg = ecg_of_files(files)
        if ecg.ByteSize() > self._max_payload_bytes:
            raise PayloadTooLarge(
                f"{files[0].name} has {ecg.ByteSize()} bytes: at most {self._max_payload_bytes}"
                " (CARDEX_MAX_PAYLOAD_BYTES, here and at the gateway)",
                field="ecg",
            )
        return ecg

    def submit(self, requests: Iterable[pb.SubmitBatchRequest]) -> Iterator[pb.SubmitBatchResponse]:
        """Submit a stream of messages; yields what became of each, in their order."""
        with self._translated():
            yield from self._ecgs.SubmitBatch(iter(requests), metadata=self._metadata)

    def watch(
        self,
        job_ids: Sequence[str] = (),
        *,
        cursor: str = "",
        with_answers: bool = True,
        timeout_s: float | None = None,
    ) -> Iterator[pb.WatchJobsResponse]:
        """Yield jobs as they are, then every change, until all are final.

        Args:
            job_ids: the jobs; left out, all jobs of the caller from now on, without end.
            cursor: of the last response of an earlier watch, to miss nothing between.
            with_answers: send the answer with the final state.
            timeout_s: how long to watch, in seconds; without end where left out.
        """
        request = pb.WatchJobsRequest(
            job_ids=job_ids, cursor=cursor, with_answers=with_answers, many=True
        )
        with self._translated():
            for response in self._ecgs.WatchJobs(
                request, timeout=timeout_s, metadata=self._metadata
            ):
                if response.HasField("job"):  # a gateway that knows no `many`
                    yield response
                for number, job in enumerate(response.jobs, start=1):
                    # Who goes on from any but the last is sent the others again.
                    cursor = response.cursor if number == len(response.jobs) else cursor
                    yield pb.WatchJobsResponse(job=job, cursor=cursor)

    def finished(self, job_ids: Sequence[str], timeout_s: float) -> Iterator[job_pb2.Job]:
        """Yield each of the jobs when it is final, with its answer."""
        for first in range(0, len(job_ids), WATCH_CHUNK):
            for change in self.watch(job_ids[first : first + WATCH_CHUNK], timeout_s=timeout_s):
                if change.job.state >= job_pb2.JOB_STATE_SUCCEEDED:
                    yield change.job

    def job(self, job_id: str) -> job_pb2.Job:
        """Return a job as it is now."""
        with self._translated():
            response: pb.GetJobResponse = self._ecgs.GetJob(
                pb.GetJobRequest(job_id=job_id), timeout=10.0, metadata=self._metadata
            )
        return response.job

    def cancel(self, job_id: str) -> job_pb2.Job:
        """Cancel a job that is not final, and return it as it is now."""
        with self._translated():
            response: pb.CancelJobResponse = self._ecgs.CancelJob(
                pb.CancelJobRequest(job_id=job_id), timeout=10.0, metadata=self._metadata
            )
        return response.job

    def search(self, text: str, top_k: int = 10) -> job_pb2.Answer:
        """Find the reports nearest to a text."""
        request = pb.SearchReportsRequest(text=text, top_k=top_k)
        with self._translated():
            response: pb.SearchReportsResponse = self._ecgs.SearchReports(
                request, timeout=60.0, metadata=self._metadata
            )
        return response.answer

    def info(self) -> pb.GetServerInfoResponse:
        """Return what the server runs."""
        with self._translated():
            response: pb.GetServerInfoResponse = self._ecgs.GetServerInfo(
                pb.GetServerInfoRequest(), timeout=10.0, metadata=self._metadata
            )
        return response

    def index(self) -> report_index_pb2.IndexInfo:
        """Return the index that answers now."""
        with self._translated():
            response: report_index_pb2.GetIndexResponse = self._index.GetIndex(
                report_index_pb2.GetIndexRequest(), timeout=30.0, metadata=self._metadata
            )
        return response.index

    def upsert(
        self, reports: Sequence[Report], *, rebuild: bool
    ) -> Iterator[report_index_pb2.UpsertReportsResponse]:
        """Send reports to the index; yields the progress, and last the index.

        Args:
            reports: the reports.
            rebuild: make a new index of them, which replaces the old one at the end; else add them.
        """
        mode = (
            report_index_pb2.UPSERT_MODE_REBUILD if rebuild else report_index_pb2.UPSERT_MODE_MERGE
        )

        def chunks() -> Iterator[report_index_pb2.UpsertReportsRequest]:
            for first in range(0, len(reports), UPSERT_CHUNK):
                messages = map(report_message, reports[first : first + UPSERT_CHUNK])
                yield report_index_pb2.UpsertReportsRequest(mode=mode, reports=messages)

        with self._translated():
            yield from self._index.UpsertReports(chunks(), metadata=self._metadata)

    def migrate(
        self, model_version: str, *, shadow: bool
    ) -> Iterator[report_index_pb2.MigrateIndexResponse]:
        """Have the reports embedded by another model; yields the progress, and last the index."""
        request = report_index_pb2.MigrateIndexRequest(model_version=model_version, shadow=shadow)
        with self._translated():
            yield from self._index.MigrateIndex(request, metadata=self._metadata)


def ecg_of_files(paths: Sequence[Path]) -> ecg_pb2.Ecg:
    """Return the message of one recording: one file, or a header and its signal files.

    Raises:
        InvalidEcg: if a file cannot be read, or they are too large together.
    """
    first, *rest = load(paths)
    companions = [
        ecg_pb2.CompanionFile(name=_utf8(part.name), content=part.content) for part in rest
    ]
    file = ecg_pb2.ClinicalFile(
        name=_utf8(first.name), content=first.content, companions=companions
    )
    return ecg_pb2.Ecg(file=file)


def ecg_of_samples(
    signal: ArrayLike,
    rate_hz: float,
    leads: Sequence[str] = LEADS,
    resolution: float | None = None,
) -> ecg_pb2.Ecg:
    """Return the message of an array; in half of the bytes where that loses nothing.

    Args:
        signal: (leads, samples) in mV.
        rate_hz: samples per second.
        leads: name of each row; at least I, II and V1 to V6.
        resolution: one step of the samples in mV, where the caller knows it; the usual ones are
            found.

    Raises:
        InvalidEcg: if the array has another shape.
    """
    try:
        rows = np.asarray(signal, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidEcg(
            "the samples are no array of numbers, a row for each lead",
            reason="LEAD_SET",
            field="ecg.samples.leads",
        ) from error
    if rows.ndim != 2 or len(rows) != len(leads):
        raise InvalidEcg(
            f"the array has shape {rows.shape}: must be ({len(leads)}, samples), a row for each of"
            f" {', '.join(leads)}",
            reason="LEAD_SET",
            field="ecg.samples.leads",
        )
    named = [lead_message(name, row, resolution) for name, row in zip(leads, rows, strict=True)]
    unit = ecg_pb2.VOLTAGE_UNIT_MILLIVOLT
    return ecg_pb2.Ecg(samples=ecg_pb2.Samples(leads=named, rate_hz=rate_hz, unit=unit))


def _utf8(name: str) -> str:
    """Return a file's name without the bytes that are no UTF-8, which no message carries."""
    return name.encode("utf-8", "replace").decode()


def _recordings(paths: Sequence[str | Path]) -> list[list[Path]]:
    try:
        found = list(recordings(map(Path, paths)))
    except FileNotFoundError as error:
        raise InvalidEcg(f"{error.filename} does not exist", field="path") from error
    if not found:
        raise InvalidEcg("no ECG file there", field="path")
    return found


def _result(name: str, job: job_pb2.Job) -> Result:
    if job.HasField("answer"):
        return Result(name, job.answer, None, job.job_id)
    if job.state == job_pb2.JOB_STATE_CANCELLED:
        return Result(name, None, JobCancelled(f"job {job.job_id} was cancelled"), job.job_id)
    return Result(name, None, error_of(job.error), job.job_id)
