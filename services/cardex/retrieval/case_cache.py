"""Searches the cases of the index in force: in memory where they are few, else in Milvus."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cardex.domain.cases import SHOWN_CASES, FiledCase
from cardex.domain.ecg import Embedding
from cardex.domain.index import CaseMatch, IndexInfo
from cardex.domain.reports import Report
from cardex.retrieval.memory_cases import MemoryCases, WholeCases
from cardex.stores.case_filter import WITH_ECG, every_of
from cardex.stores.case_index import CaseIndex

COMMON = 64
"""A report of more cases is searched for its nearest ones; those of others are all read."""
AT_ONCE = 256

NearestCases = Mapping[str, list[CaseMatch]]
"""The nearest cases of each report, by its id."""
AskedCases = tuple[Embedding, Sequence[Report], NearestCases]
"""An (E,) embedding, the reports of its hits, and which of their cases are known to be near."""


class CaseCache:
    """Finds cases by their ECGs; for many threads."""

    def __init__(self, store: CaseIndex, whole_up_to: int = 0) -> None:
        """Search `store`; up to `whole_up_to` cases of an index are kept in memory."""
        self._store = store
        self._memory = MemoryCases(store, whole_up_to)

    def read_ahead(self, index: IndexInfo) -> None:
        """Begin to read the cases of an index that will be searched."""
        if index.has_cases:
            self._memory.get_or_begin(index)

    def search(
        self,
        index: IndexInfo,
        embeddings: Embedding,
        count: int,
        expression: str = "",
        *,
        of_text: bool = False,
    ) -> list[list[CaseMatch]]:
        """Return the `count` cases whose ECGs are nearest to each of (B, E) embeddings.

        A text may be less like an ECG than like the zeros of a case that has none; an ECG is not.
        """
        if not index.has_cases:
            return [[] for _ in embeddings]
        whole = self._memory.get_or_begin(index)
        if whole is not None and not (expression and whole.filed):
            return whole.search(embeddings, count)
        recorded = WITH_ECG if of_text else ""
        return self._store.search(index, embeddings, count, every_of(recorded, expression))

    def of_reports(
        self,
        index: IndexInfo,
        asked: Sequence[AskedCases],
        expression: str = "",
    ) -> list[NearestCases]:
        """Return the nearest cases of each report that is shown, those without an ECG last.

        Args:
            index: the index.
            asked: whose hits, and what is known of their cases.
            expression: of the cases that may be shown, "" for all.
        """
        if not index.has_cases:
            return [{} for _ in asked]
        whole = self._memory.get(index)
        if whole is not None and not (expression and whole.filed):
            return [_of_whole(whole, embedding, reports) for embedding, reports, _ in asked]
        return self._from_store(index, asked, expression)

    def _from_store(
        self,
        index: IndexInfo,
        asked: Sequence[AskedCases],
        expression: str,
    ) -> list[NearestCases]:
        every = {report.report_id: report for _, reports, _ in asked for report in reports}
        common = self._common(index, list(every.values()), expression)
        rare = sorted(every.keys() - common)
        read: dict[str, list[tuple[FiledCase, Embedding]]] = {}
        for first in range(0, len(rare), AT_ONCE):
            filed, vectors = self._store.of_reports(
                index, rare[first : first + AT_ONCE], expression
            )
            for one, vector in zip(filed, vectors, strict=True):
                read.setdefault(one.report_id, []).append((one, vector))
        return [
            {
                report.report_id: (
                    _nearest(embedding, read.get(report.report_id, []))
                    if report.report_id not in common
                    # A search for each common report of each ECG would cost more than all else.
                    else known.get(report.report_id, [])[:SHOWN_CASES]
                    or self._of_common(index, embedding, report.report_id, expression)
                )
                for report in reports
            }
            for embedding, reports, known in asked
        ]

    def _common(
        self, index: IndexInfo, reports: Sequence[Report], expression: str
    ) -> frozenset[str]:
        """Return the reports that very many of the cases bear that may be shown.

        A caller who may see some cases alone is shown the same of them whatever others there are.
        """
        often = [report.report_id for report in reports if report.record_count > COMMON]
        if often and expression:
            which = every_of(f"report_id in {often}", expression)
            borne = Counter(self._store.reports_with(index, which))
            often = [one for one in often if borne[one] > COMMON]
        return frozenset(often)

    def _of_common(
        self, index: IndexInfo, embedding: Embedding, report_id: str, expression: str
    ) -> list[CaseMatch]:
        which = every_of(f'report_id == "{report_id}"', WITH_ECG, expression)
        near = self._store.search(index, embedding[None], SHOWN_CASES, which)[0]
        if near:
            return near
        filed, _ = self._store.of_reports(index, [report_id], expression, SHOWN_CASES)
        return [CaseMatch(one, 0.0) for one in filed]


def _of_whole(whole: WholeCases, embedding: Embedding, reports: Sequence[Report]) -> NearestCases:
    return {
        report.report_id: whole.of_report(embedding, report.report_id, SHOWN_CASES)
        for report in reports
    }


def _nearest(embedding: Embedding, cases: Sequence[tuple[FiledCase, Embedding]]) -> list[CaseMatch]:
    matches = [CaseMatch(one, float(embedding @ vector)) for one, vector in cases]
    matches.sort(key=lambda match: (not match.filed.case.has_ecg, -match.similarity))
    return matches[:SHOWN_CASES]
