"""Reports kept in memory: the whole index where it is small, else those that were near before."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from cardex.domain.ecg import Embedding
from cardex.domain.index import IndexInfo, Match
from cardex.domain.reports import Report
from cardex.retrieval.memory_index import MemoryIndex
from cardex.stores.report_index import ReportIndex

T = TypeVar("T")
AT_ONCE = 500


class ReportCache:
    """Searches the index in force and reads its reports and embeddings; for many threads."""

    LIMIT = 50_000
    """Reports, and embeddings, that are kept of an index that is not whole in memory."""

    def __init__(self, store: ReportIndex, whole_up_to: int = 0) -> None:
        """Read from `store`; an index of up to `whole_up_to` reports is read as a whole."""
        self._store = store
        self._memory = MemoryIndex(store, whole_up_to)
        self._reports = _ById(store.get)
        self._embeddings = _ById(store.embeddings)

    def read_ahead(self, index: IndexInfo) -> None:
        """Begin to read an index that will be searched."""
        self._memory.get_or_begin(index)

    def search(self, index: IndexInfo, embeddings: Embedding, top_k: int) -> list[list[Match]]:
        """Return the nearest reports of each of (B, E) embeddings, nearest first."""
        whole = self._memory.get_or_begin(index)
        if whole is not None:
            return whole.search(embeddings, top_k)
        return self._store.search(index, embeddings, top_k)

    def get(self, index: IndexInfo, matches: Sequence[Match]) -> Mapping[str, Report]:
        """Return the reports of matches by id; those that were deleted meanwhile are left out."""
        whole = self._memory.get(index)
        if whole is not None:
            return whole.reports
        return self._reports.get(index, (match.report_id for match in matches), self.LIMIT)

    def embeddings(self, index: IndexInfo, report_ids: Iterable[str]) -> Mapping[str, Embedding]:
        """Return the embeddings of reports by id, (E,) float32; deleted ones are left out."""
        whole = self._memory.get(index)
        if whole is not None:
            return whole.embeddings
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
