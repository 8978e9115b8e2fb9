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

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cardex.api.archive.found import find
from cardex.api.archive.output import kept_files, open_output
from cardex.api.archive.patience import PATIENCE_S
from cardex.api.archive.results import OnProgress, Progress, Result
from cardex.api.archive.run import Run
from cardex.api.case_sender import CaseSender, Sent, Source
from cardex.api.connection import Connection
from cardex.api.convert.jobs import question_message
from cardex.api.convert.reports import report_message
from cardex.api.ecgs import ecg_of_files, ecg_of_samples, sized_ecg_of_files
from cardex.api.pb.v1 import (
    case_pb2,
    ecg_pb2,
    ecg_retrieval_pb2_grpc,
    job_pb2,
    report_index_pb2,
    report_index_pb2_grpc,
)
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.recordings import one_recording_files
from cardex.domain.cases import CaseFilter, Nearness
from cardex.domain.errors import DeadlineExceeded
from cardex.domain.jobs import Question
from cardex.domain.reports import Report
from cardex.domain.settings import Settings

__all__ = ["Client", "EcgSource", "Progress", "Result", "ecg_of_files", "ecg_of_samples"]

UPSERT_CHUNK = 256
WATCH_CHUNK = 5_000

EcgSource = ecg_pb2.Ecg | str | Path
"""An ECG message; or the path of a file, of a WFDB header, or of a folder with one recording."""


class Client(Connection):
    """Calls a gateway. Every method raises `CardexError` or a class below it, as the gateway said.

    Use it as a context, or `close` it. Threads may share it.
    """

    def _open(self, settings: Settings) -> None:
        super()._open(settings)
        self._ecgs = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(self._channel)
        self._index = report_index_pb2_grpc.ReportIndexServiceStub(self._channel)

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
            ecg
            if isinstance(ecg, ecg_pb2.Ecg)
            else sized_ecg_of_files(one_recording_files(Path(ecg)), self._max_payload_bytes)
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
        results: str | Path | None = None,
        manifest: str | Path | None = None,
        patience_s: float = PATIENCE_S,
        on_progress: OnProgress = lambda progress: None,
    ) -> Iterator[Result]:
        """Submit every recording below files or folders, and yield the results as they come.

        Results come while the rest is still submitted, and memory does not grow with the archive.
        Broken connections and full queues are waited out. With a manifest a later call with the
        same arguments goes on where this one stopped, and yields what was not yet written.

        Args:
            paths: files or folders.
            question: what is asked of each; the default asks for ten reports.
            results: file that gets every result before it is yielded: JSON lines, or where its name
                ends with `.parquet` a table, made at the end of the lines beside it.
            manifest: file that keeps what became of each recording; beside the results where it is
                left out, and nowhere without them.
            patience_s: how long to try on without a word from the gateway, in seconds.
            on_progress: is given the progress at least twice a second, in the caller's thread.

        Yields:
            A result for each recording, as it is refused or answered; a bad one stops no other.

        Raises:
            InvalidEcg: if a path does not exist, or there is no recording.
            ConfigurationError: if results or manifest cannot be used, or belong to another archive.
            CardexError: what the operator must mend, or Unavailable with the reason
                `PATIENCE_ENDED`.
        """
        found = find(paths, kept_files(results, manifest))
        asked = question or Question()
        with open_output(found, asked, results, manifest) as output:
            run = Run(
                Client.from_settings(self._settings), output.manifest, found, asked,
                max_bytes=self._largest_message(), patience_s=patience_s,
            )  # fmt: skip
            for result in run.results(on_progress):
                if output.results is None:
                    yield result
                    run.done(result)
                else:
                    run.done(result, output.results.write(result))
                    yield result
            output.complete()

    def _largest_message(self) -> int:
        """Return how large an ECG may be, here and at the gateway, which is called once for it."""
        try:
            there = self.info().limits.max_payload_bytes
        except DeadlineExceeded:  # it answers, but one of its parts hangs
            there = 0
        return min(self._max_payload_bytes, there or self._max_payload_bytes)

    def submit(
        self, requests: Iterable[pb.SubmitBatchRequest], *, timeout_s: float | None = None
    ) -> Iterator[pb.SubmitBatchResponse]:
        """Submit a stream of messages; yields what became of each, in the order asked for.

        Args:
            requests: the messages.
            timeout_s: how long the stream may take, in seconds; without end where left out.
        """
        with self._translated():
            yield from self._ecgs.SubmitBatch(
                iter(requests), timeout=timeout_s, metadata=self._metadata
            )

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

    def search(
        self,
        text: str,
        top_k: int = 10,
        *,
        by: Nearness | None = None,
        wanted: CaseFilter | None = None,
    ) -> job_pb2.Answer:
        """Find the reports nearest to a text.

        Args:
            text: what to look for.
            top_k: how many reports.
            by: whether to look at the reports' texts, the cases' ECGs, or both.
            wanted: which cases may be found.
        """
        asked = question_message(Question(top_k, by=by, filter=wanted))
        request = pb.SearchReportsRequest(
            text=text,
            top_k=top_k,
            by=asked.by,
            filter=asked.filter if asked.HasField("filter") else None,
        )
        with self._translated():
            response: pb.SearchReportsResponse = self._ecgs.SearchReports(
                request, timeout=60.0, metadata=self._metadata
            )
        return response.answer

    def case(self, case_id: str) -> case_pb2.GetCaseResponse:
        """Return a case with its report, and the trace of its ECG."""
        with self._translated():
            response: case_pb2.GetCaseResponse = self._ecgs.GetCase(
                case_pb2.GetCaseRequest(case_id=case_id), timeout=30.0, metadata=self._metadata
            )
        return response

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

    def begin_rebuild(self) -> report_index_pb2.IndexInfo:
        """Make a new, empty index, which `file_cases` fills, and return it."""
        with self._translated():
            response: report_index_pb2.BeginRebuildResponse = self._index.BeginRebuild(
                report_index_pb2.BeginRebuildRequest(), timeout=120.0, metadata=self._metadata
            )
        return response.index

    def commit_rebuild(self, name: str) -> report_index_pb2.IndexInfo:
        """Make the new index of this name answer, and return it; a large one takes minutes."""
        with self._translated():
            response: report_index_pb2.CommitRebuildResponse = self._index.CommitRebuild(
                report_index_pb2.CommitRebuildRequest(index=name), metadata=self._metadata
            )
        return response.index

    def delete_cases(self, case_ids: Sequence[str]) -> int:
        """Delete cases with their ECGs, and return how many were there."""
        with self._translated():
            response: report_index_pb2.DeleteCasesResponse = self._index.DeleteCases(
                report_index_pb2.DeleteCasesRequest(case_ids=case_ids),
                timeout=120.0,
                metadata=self._metadata,
            )
        return response.deleted

    def file_cases(
        self,
        sources: Iterable[Source],
        index: str = "",
        *,
        patience_s: float = PATIENCE_S,
    ) -> Iterator[Sent]:
        """Have cases filed; yields what became of them after each chunk, in their order.

        Args:
            sources: each case with its text, and the file of its ECG or None. They are read as they
                are sent, so that any number may come.
            index: name of the index of `begin_rebuild`; "" for the one that answers.
            patience_s: how long to try on without a word from the gateway, in seconds.
        """
        max_bytes = self._largest_message()
        sender = CaseSender(self, index, max_bytes=max_bytes, patience_s=patience_s)
        yield from sender.send(sources)

    def migrate(
        self, model_version: str, *, shadow: bool
    ) -> Iterator[report_index_pb2.MigrateIndexResponse]:
        """Have the reports embedded by another model; yields the progress, and last the index."""
        request = report_index_pb2.MigrateIndexRequest(model_version=model_version, shadow=shadow)
        with self._translated():
            yield from self._index.MigrateIndex(request, metadata=self._metadata)
