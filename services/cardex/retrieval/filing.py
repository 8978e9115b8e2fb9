"""Files ECGs as cases of the index, once a worker has embedded them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from cardex.domain.cases import MAX_DEVICE, Case, FiledCase, Filing
from cardex.domain.ecg import Embedding, RecordingMetadata
from cardex.domain.errors import (
    CardexError,
    IndexMissing,
    InvalidReport,
    Overloaded,
    VersionMismatch,
)
from cardex.domain.index import IndexInfo
from cardex.domain.trace import Trace
from cardex.inference.encoder import Encoder
from cardex.reports.records import report_of_case
from cardex.retrieval.active_index import ServingSnapshot
from cardex.retrieval.case_writer import CaseWriter
from cardex.retrieval.write_lease import Lock, WriteLease
from cardex.stores.case_index import CaseRow
from cardex.stores.report_index import ReportIndex

PATIENCE_S = 5.0
"""How long a worker waits for another that writes the index."""
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class EmbeddedCase:
    """A case that is to be filed, with its ECG if it has one.

    Attributes:
        filing: as what.
        embedding: (E,) of the ECG; None without one.
        trace: of the ECG; None without one.
        submitted: when it was sent, in Unix seconds.
        metadata: what its file says of device and time; it fills what the filing leaves empty.
        held: asked right before it is written, whether its job is still in this worker's hands.
    """

    filing: Filing
    embedding: Embedding | None
    trace: Trace | None
    submitted: float
    metadata: RecordingMetadata = field(default=RecordingMetadata(), repr=False)
    held: Callable[[], bool] = lambda: True


class CaseFiler:
    """Files cases under the right to write the index, a batch at a time."""

    def __init__(self, encoder: Encoder, store: ReportIndex, lock: Callable[[], Lock]) -> None:
        """File into `store`.

        Args:
            encoder: embeds the reports that are new.
            store: the index.
            lock: makes the lock that keeps others from writing.
        """
        self._encoder = encoder
        self._store = store
        self._lock = lock

    def file(
        self, snapshot: ServingSnapshot, wanted: Sequence[EmbeddedCase]
    ) -> list[CardexError | None]:
        """File cases; what is wrong with one, or the index that it names, is its own error.

        A case whose job is not in this worker's hands any more is not filed.

        Args:
            snapshot: the model that embedded them.
            wanted: the cases.

        Returns:
            For each None, or why it can never be filed.

        Raises:
            CardexError: Overloaded where another client writes, VersionMismatch where the index in
                force is of another model by now, or Unavailable: try again, nothing is lost.
        """
        outcomes: list[CardexError | None] = [None] * len(wanted)
        by_index: dict[str, list[int]] = {}
        for place, one in enumerate(wanted):
            by_index.setdefault(one.filing.index, []).append(place)
        for name, places in by_index.items():
            found = self._file(name, snapshot, [wanted[place] for place in places])
            for place, outcome in zip(places, found, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _file(
        self, name: str, snapshot: ServingSnapshot, wanted: Sequence[EmbeddedCase]
    ) -> list[CardexError | None]:
        """File cases into the index of a name, "" for the one in force."""
        lease = WriteLease(self._lock())
        _take(lease)
        try:
            # Only now: whoever held the right before may have put another index in force.
            index = self._target(name, snapshot)
            writer = CaseWriter(self._encoder, self._store, lease.require)
            return _each(partial(self._put, writer, index, snapshot), wanted)
        except IndexMissing as error:
            return [error] * len(wanted)
        finally:
            lease.release()

    def _put(
        self,
        writer: CaseWriter,
        index: IndexInfo,
        snapshot: ServingSnapshot,
        wanted: Sequence[EmbeddedCase],
    ) -> None:
        """Write cases, but for those whose jobs were cancelled or given to another worker."""
        rows = [_row(one) for one in wanted if one.held()]
        if rows:
            writer.put(index, snapshot.model, rows)

    def _target(self, name: str, snapshot: ServingSnapshot) -> IndexInfo:
        index = self._store.named(name) if name else self._store.current()
        if not index.has_cases:
            raise IndexMissing(
                f"index {index.name} was built by a version of Cardex that knew no cases: build it"
                " anew with `cardex index`"
            )
        if index.model_version != snapshot.model.version:
            if name:
                raise IndexMissing(
                    f"index {index.name} was begun for model {index.model_version}, and"
                    f" {snapshot.model.version} answers now: begin anew",
                    field="file_as.index",
                )
            raise VersionMismatch(f"index {index.name} is of model {index.model_version}")
        return index


def _each(
    put: Callable[[Sequence[EmbeddedCase]], None], wanted: Sequence[EmbeddedCase]
) -> list[CardexError | None]:
    """Put cases together; where one can never be filed, each by itself, so that it harms no other.

    Returns:
        For each None, or why it can never be filed.
    """
    try:
        put(wanted)
    except InvalidReport as error:
        if len(wanted) == 1:
            return [error]
        return [outcome for one in wanted for outcome in _each(put, [one])]
    return [None] * len(wanted)


def _take(lease: WriteLease) -> None:
    """Take the right to write, waiting a little for another worker."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            lease.take()
            return
        except Overloaded:
            if time.monotonic() >= until:
                raise
            time.sleep(PAUSE_S)


def _row(wanted: EmbeddedCase) -> tuple[Case, CaseRow]:
    """Return a case with its text, and as the index keeps it."""
    case, metadata = wanted.filing.case, wanted.metadata
    case = replace(
        case,
        device=case.device or metadata.device[:MAX_DEVICE],
        month=case.month or _month(metadata.recorded_at),
        has_ecg=wanted.embedding is not None,
    )
    filed = FiledCase(replace(case, text=""), report_of_case(case), wanted.submitted)
    return case, CaseRow(filed, wanted.embedding, wanted.trace)


def _month(recorded_at: str) -> str:
    """Return the month of a time in ISO 8601; "" where there is none that can be."""
    month = recorded_at[:7]
    return month if "1900-01" <= month <= "2099-12" and len(month) == len("2026-11") else ""
