"""Reports kept in memory: a report that is near to one ECG is near to many."""

import threading
from collections.abc import Sequence

from cardex.domain.index import IndexInfo, Match
from cardex.domain.reports import Report
from cardex.stores.report_index import ReportIndex


class ReportCache:
    """Reports of the index in force, each read once. Used by many threads at once."""

    LIMIT = 50_000

    def __init__(self, store: ReportIndex) -> None:
        """Read from `store` what is not there yet."""
        self._store = store
        self._lock = threading.Lock()
        self._generation = ""
        self._reports: dict[str, Report] = {}

    def get(self, index: IndexInfo, matches: Sequence[Match]) -> dict[str, Report]:
        """Return the reports of matches by id; those that were deleted meanwhile are left out."""
        wanted = {match.report_id for match in matches}
        with self._lock:
            if self._generation != index.generation or len(self._reports) > self.LIMIT:
                self._generation, self._reports = index.generation, {}
            known = self._reports
        missing = sorted(wanted - known.keys())
        for first in range(0, len(missing), 500):
            fetched = self._store.get(index, missing[first : first + 500])
            with self._lock:
                known.update(fetched)
        return {report_id: known[report_id] for report_id in wanted & known.keys()}
