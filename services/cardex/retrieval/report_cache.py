"""Reports kept in memory: a report that is near to one ECG is near to many."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from cardex.domain.ecg import Embedding
from cardex.domain.index import IndexInfo, Match
from cardex.domain.reports import Report
from cardex.stores.report_index import ReportIndex

T = TypeVar("T")
AT_ONCE = 500


class ReportCache:
    """Reports of the index in force, and their embeddings, each read once; for many threads."""

    LIMIT = 50_000

    def __init__(self, store: ReportIndex) -> None:
        """Read from `store` what is not there yet."""
        self._reports = _ById(store.get)
        self._embeddings = _ById(store.embeddings)

    def get(self, index: IndexInfo, matches: Sequence[Match]) -> dict[str, Report]:
        """Return the reports of matches by id; those that were deleted meanwhile are left out."""
        return self._reports.get(index, (match.report_id for match in matches), self.LIMIT)

    def embeddings(self, index: IndexInfo, report_ids: Iterable[str]) -> dict[str, Embedding]:
        """Return the embeddings of reports by id, (E,) float32; deleted ones are left out."""
        return self._embeddings.get(index, report_ids, self.LIMIT)


class _ById(Generic[T]):
    """What a store has by id, as long as the index has one generation."""

    def __init__(self, read: Callable[[IndexInfo, Sequence[str]], dict[str, T]]) -> None:
        """Read what is not there yet by `read`."""
        self._read = read
        self._lock = threading.Lock()
        self._generation = ""
        self._known: dict[str, T] = {}

    def get(self, index: IndexInfo, report_ids: Iterable[str], limit: int) -> dict[str, T]:
        """Return what is there of `report_ids`; over `limit`, all is read anew."""
        wanted = set(report_ids)
        with self._lock:
            if self._generation != index.generation or len(self._known) > limit:
                self._generation, self._known = index.generation, {}
            known = self._known
        missing = sorted(wanted - known.keys())
        for first in range(0, len(missing), AT_ONCE):
            fetched = self._read(index, missing[first : first + AT_ONCE])
            with self._lock:
                known.update(fetched)
        return {report_id: known[report_id] for report_id in wanted & known.keys()}
