"""Sends the cases of an archive to be filed, some hundreds at a time."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from cardex.api.archive.patience import PATIENCE_S, Patience, may_pass
from cardex.api.convert.cases import filing_message
from cardex.api.convert.jobs import error_of
from cardex.api.ecgs import sized_ecg_of_files
from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.recordings import one_recording_files
from cardex.domain.cases import Case, Filing
from cardex.domain.errors import CardexError, IndexMissing, InvalidInput, PayloadTooLarge

CHUNK = 256
AT_ONCE = 3
"""Chunks on their way: one is read, one is answered, one waits."""
CHUNK_S = 600.0
SHOWN_REASONS = 20
NOT_THE_CASE = (InvalidInput, PayloadTooLarge)
"""Errors of an ECG or of a case itself: sent again, it fails again."""

HEARD_WITHIN_S, PAUSE_S = 15.0, 0.5
Source = tuple[Case, Path | None]
"""A case with its text, and the file of its ECG, for WFDB its header."""


class Gateway(Protocol):
    """What of a client is needed here."""

    def submit(
        self, requests: Iterable[pb.SubmitBatchRequest], *, timeout_s: float | None = None
    ) -> Iterator[pb.SubmitBatchResponse]:
        """Submit a stream of messages."""

    def finished(self, job_ids: Sequence[str], timeout_s: float) -> Iterator[job_pb2.Job]:
        """Yield each of the jobs when it is final."""


@dataclass(slots=True)
class Sent:
    """What became of the cases so far.

    Attributes:
        cases: cases that are done, from the first on: where to go on after a stop.
        without_ecg: how many of them were filed without their ECG, which cannot be used.
        refused: how many were not filed.
        reasons: why, of some.
    """

    cases: int = 0
    without_ecg: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)

    def note(self, reason: str) -> None:
        """Keep a reason, if there are few yet."""
        if len(self.reasons) < SHOWN_REASONS:
            self.reasons.append(reason)


class CaseSender:
    """Has cases filed; a case whose ECG cannot be used is filed without it."""

    def __init__(
        self, gateway: Gateway, index: str, *, max_bytes: int, patience_s: float = PATIENCE_S
    ) -> None:
        """Send to a gateway.

        Args:
            gateway: the client.
            index: name of the index that is filled; "" for the one in force.
            max_bytes: size of the largest ECG that the gateway takes.
            patience_s: how long to try on without a word from the gateway, in seconds.
        """
        self._gateway = gateway
        self._index = index
        self._max_bytes = max_bytes
        self._began = time.monotonic()
        self._halted = threading.Event()
        self._patience = Patience(patience_s, self._halted)

    def send(self, sources: Iterable[Source]) -> Iterator[Sent]:
        """Send cases; yields what became of them after each chunk, in their order.

        Raises:
            CardexError: what the operator must mend, Unavailable with the reason `PATIENCE_ENDED`,
                or what `sources` raises.
        """
        left, sent = iter(sources), Sent()
        under_way: deque[Future[_Chunk]] = deque()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cases") as pool:
            try:
                while True:
                    while len(under_way) < AT_ONCE and (some := list(islice(left, CHUNK))):
                        under_way.append(pool.submit(self._file, some))
                    if not under_way:
                        return
                    under_way.popleft().result().add_to(sent)
                    yield sent
            finally:
                self._halted.set()
                for future in under_way:
                    future.cancel()

    def _file(self, sources: Sequence[Source]) -> "_Chunk":
        """File a chunk; what a broken connection left open is sent again, as the same jobs."""
        chunk = _Chunk(sources)
        for source in sources:
            chunk.items[source[0].case_id] = self._request(source, chunk)
        while chunk.items:
            try:
                self._once(chunk)
            except IndexMissing:
                # Another gateway than the one that began the index hears of it a little later.
                if self._halted.is_set() or time.monotonic() - self._began > HEARD_WITHIN_S:
                    raise
                self._halted.wait(PAUSE_S)
            except CardexError as error:
                self._patience.wait_after(error)
                if self._halted.is_set():
                    raise
        return chunk

    def _request(self, source: Source, chunk: "_Chunk") -> pb.SubmitBatchRequest:
        case, path = source
        ecg = None
        if path is not None:
            try:
                ecg = sized_ecg_of_files(one_recording_files(path), self._max_bytes)
            except CardexError as error:
                chunk.lost_ecg(case.case_id, error)
        return self._request_of(case, ecg)

    def _request_of(self, case: Case, ecg: ecg_pb2.Ecg | None) -> pb.SubmitBatchRequest:
        # Its own, so that a case that was erased since an earlier call is filed anew.
        return pb.SubmitBatchRequest(
            item_id=case.case_id,
            ecg=ecg,
            request_id=secrets.token_hex(16),
            any_order=True,
            file_as=filing_message(Filing(case, self._index, only=True)),
        )

    def _once(self, chunk: "_Chunk") -> None:
        """Submit what is open, and wait for its jobs."""
        jobs: dict[str, str] = {}
        passing: CardexError | None = None
        for response in self._gateway.submit(list(chunk.items.values()), timeout_s=CHUNK_S):
            if response.HasField("job"):
                self._patience.heard()
                jobs[response.job.job_id] = response.item_id
            elif may_pass(error := error_of(response.error)):
                passing = error
            else:
                self._patience.heard()
                passing = self._refused(chunk, response.item_id, error) or passing
        for job in self._gateway.finished(list(jobs), timeout_s=CHUNK_S):
            self._patience.heard()
            case_id = jobs[job.job_id]
            if _is_filed(job, case_id):
                chunk.items.pop(case_id, None)
            else:
                passing = self._refused(chunk, case_id, error_of(job.error)) or passing
        if passing is not None:
            raise passing

    def _refused(self, chunk: "_Chunk", case_id: str, error: CardexError) -> CardexError | None:
        """Take a case whose ECG is at fault without it; returns an error that may pass."""
        request = chunk.items.get(case_id)
        if request is None:
            return None
        of_case = error.field.startswith("file_as")
        if request.HasField("ecg") and not of_case and isinstance(error, NOT_THE_CASE):
            chunk.lost_ecg(case_id, error)
            chunk.items[case_id] = self._request_of(chunk.case(case_id), None)
            chunk.failed.discard(case_id)
            return None
        if isinstance(error, NOT_THE_CASE) or case_id in chunk.failed:
            del chunk.items[case_id]
            chunk.refused.append(f"{case_id}: {error.message}")
            return None
        if not isinstance(error, IndexMissing):  # for a while it may only be unheard of
            chunk.failed.add(case_id)
        request.request_id = secrets.token_hex(16)  # by the old one the failed job would be found
        return error


def _is_filed(job: job_pb2.Job, case_id: str) -> bool:
    """Tell whether a job filed its case: a worker of an earlier version only answers it."""
    filed = job.answer.case_id
    return job.state == job_pb2.JOB_STATE_SUCCEEDED and (
        filed == case_id or filed.endswith(f"/{case_id}")
    )


@dataclass(slots=True)
class _Chunk:
    """Some cases on their way.

    Attributes:
        sources: the cases.
        items: requests by case id, of those that are not done.
        unusable: by case id, why its ECG is not filed.
        refused: why cases were not filed.
        failed: ids of cases whose jobs failed once for no fault of their own.
    """

    sources: Sequence[Source]
    items: dict[str, pb.SubmitBatchRequest] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)

    def case(self, case_id: str) -> Case:
        """Return a case by its id."""
        return next(case for case, _ in self.sources if case.case_id == case_id)

    def lost_ecg(self, case_id: str, error: CardexError) -> None:
        """Note that a case has to do without its ECG."""
        self.unusable[case_id] = error.message

    def add_to(self, sent: Sent) -> None:
        """Add what became of these cases."""
        sent.cases += len(self.sources)
        sent.without_ecg += len(self.unusable)
        sent.refused += len(self.refused)
        for case_id, reason in self.unusable.items():
            sent.note(f"{case_id} is filed without its ECG: {reason}")
        for reason in self.refused:
            sent.note(f"not filed: {reason}")
