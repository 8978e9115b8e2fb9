"""A report index in memory and its cases, that keep what they are asked and can be made to fail."""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from cardex.domain.cases import FiledCase
from cardex.domain.errors import CardexError, IndexMissing
from cardex.domain.index import CaseMatch, IndexInfo, Match
from cardex.domain.reports import Report
from cardex.domain.trace import Trace
from cardex.stores.case_filter import WITH_ECG
from cardex.stores.case_index import CaseRow
from tests.helpers.embeddings import text_vector
from tests.helpers.fake_model import DIMENSION, VERSION

_OF_REPORTS = re.compile(r"report_id (?:in (\[.*?\])|== (\"[^\"]*\"))(?: and |$)")


class FakeCases:
    """The CaseIndex of a FakeStore: exact search in memory.

    Of expressions it understands which reports are named, and those that `predicates` tells.
    """

    def __init__(self, store: "FakeStore") -> None:
        self._store = store
        self.rows: dict[str, dict[str, CaseRow]] = {}
        self.predicates: dict[str, Callable[[FiledCase], bool]] = {}
        self.most = 16_384
        """Rows that are returned at once."""
        self.now = 0.0
        self.filed: dict[tuple[str, str], float] = {}

    def _fitting(self, index: IndexInfo, expression: str) -> list[CaseRow]:
        rows = list(self.of(index).values())
        if named := _OF_REPORTS.match(expression):
            wanted = ast.literal_eval(named[1] or named[2])
            ids = [wanted] if isinstance(wanted, str) else wanted
            rows = [row for row in rows if row.filed.report_id in ids]
            expression = expression[named.end() :]
        if expression.startswith(WITH_ECG):
            rows = [row for row in rows if row.filed.case.has_ecg]
            expression = expression[len(WITH_ECG) :].removeprefix(" and ")
        if expression:
            rows = [row for row in rows if self.predicates[expression](row.filed)]
        return rows

    def of(self, index: IndexInfo) -> dict[str, CaseRow]:
        return self.rows.setdefault(index.name, {})

    def count(self, index: IndexInfo) -> int:
        return len(self.of(index)) if index.has_cases else 0

    def upsert(self, index: IndexInfo, rows: Sequence[CaseRow]) -> None:
        self._store._called("cases.upsert")
        self.of(index).update({row.filed.case.case_id: row for row in rows})
        self.filed.update({(index.name, row.filed.case.case_id): self.now for row in rows})

    def get(self, index: IndexInfo, case_ids: Sequence[str]) -> dict[str, FiledCase]:
        self._store._called("cases.get")
        there = self.of(index)
        return {one: there[one].filed for one in case_ids if one in there}

    def traces(self, index: IndexInfo, case_ids: Sequence[str]) -> dict[str, Trace]:
        there = self.of(index)
        return {
            one: trace
            for one in case_ids
            if one in there and (trace := there[one].trace) is not None
        }

    def search(
        self, index: IndexInfo, embeddings: np.ndarray, count: int, expression: str = ""
    ) -> list[list[CaseMatch]]:
        self._store._called("cases.search")
        found = []
        for embedding in embeddings:
            matches = [
                CaseMatch(row.filed, float(embedding @ row.embedding))
                for row in self._fitting(index, expression)
                if row.embedding is not None
            ]
            found.append(sorted(matches, key=lambda match: -match.similarity)[:count])
        return found

    def of_reports(
        self,
        index: IndexInfo,
        report_ids: Sequence[str],
        expression: str = "",
        limit: int = 16_384,
    ) -> tuple[list[FiledCase], np.ndarray]:
        self._store._called("cases.of_reports")
        fitting = self._fitting(index, expression)
        rows = [row for row in fitting if row.filed.report_id in report_ids][
            : min(limit, self.most)
        ]
        return [row.filed for row in rows], _vectors(rows)

    def reports_with(self, index: IndexInfo, expression: str, limit: int = 0) -> list[str]:
        self._store._called("cases.reports_with")
        fitting = self._fitting(index, expression)
        return [row.filed.report_id for row in fitting[: limit or self.most]]

    def count_where(self, index: IndexInfo, expression: str) -> int:
        self._store._called("cases.count_where")
        return len(self._fitting(index, expression))

    def embedded_pages(
        self, index: IndexInfo, size: int = 1000
    ) -> Iterator[tuple[list[FiledCase], np.ndarray]]:
        """Yield the cases as they are when their page is read."""
        self._store._called("cases.pages")
        ids = list(self.of(index))
        for first in range(0, len(ids), size):
            there = self.of(index)
            rows = [there[one] for one in ids[first : first + size] if one in there]
            yield [row.filed for row in rows], _vectors(rows)

    def delete(self, index: IndexInfo, case_ids: Sequence[str]) -> None:
        self._store._called("cases.delete")
        for case_id in case_ids:
            self.of(index).pop(case_id, None)

    def settle(self, index: IndexInfo) -> None:
        self._store._called("cases.settle")

    def filed_since(self, index: IndexInfo, seconds: float) -> Iterator[list[CaseRow]]:
        there = self.of(index)
        yield [row for one, row in there.items() if self.filed[index.name, one] >= seconds]


def _vectors(rows: Sequence[CaseRow]) -> np.ndarray:
    vectors = [
        np.zeros(DIMENSION, np.float32) if row.embedding is None else row.embedding for row in rows
    ]
    return np.array(vectors, np.float32).reshape(len(rows), DIMENSION)


WRITES = {
    "cases.upsert", "cases.delete", "upsert", "delete", "touch", "pair", "create", "switch", "drop",
}  # fmt: skip


class FakeStore:
    """The ReportIndex: exact search in memory; `calls` tells what was asked of it, in order."""

    page = 2

    def __init__(self, model_version: str = VERSION, *, has_cases: bool = False) -> None:
        first = IndexInfo(
            "reports_1", "g1", model_version, 1.0, DIMENSION, "FLAT", has_cases=has_cases
        )
        self.indexes = {first.name: first}
        self.contents: dict[str, dict[str, tuple[Report, np.ndarray]]] = {first.name: {}}
        self.answering: str | None = first.name
        self.error: CardexError | None = None
        self.calls: list[str] = []
        self.top_ks: list[int] = []
        self.cases = FakeCases(self)
        self._has_cases = has_cases
        self._made = 1

    @property
    def index(self) -> IndexInfo | None:
        """The index that answers, None where there is none."""
        return self.indexes.get(self.answering or "")

    @index.setter
    def index(self, index: IndexInfo | None) -> None:
        self.answering = index.name if index else None
        if index:
            self.indexes[index.name] = index

    @property
    def writes(self) -> list[str]:
        """The changes among the calls."""
        return [call for call in self.calls if call in WRITES]

    def fill(self, *reports: Report) -> None:
        for report in reports:
            self.contents["reports_1"][report.report_id] = (report, text_vector(report.text))

    def reports(self, name: str) -> dict[str, Report]:
        return {report_id: report for report_id, (report, _) in self.contents[name].items()}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.error is not None:
            raise self.error

    def model_in_force(self) -> str:
        return self.current().model_version

    def current(self) -> IndexInfo:
        self._called("current")
        if self.index is None:
            raise IndexMissing("there is no report index yet")
        return self.index

    def named(self, name: str) -> IndexInfo:
        self._called("named")
        if name not in self.indexes:
            raise IndexMissing(f"there is no index {name!r}", field="index")
        return self.indexes[name]

    def of_model(self, model_version: str) -> list[IndexInfo]:
        self._called("of_model")
        found = [one for one in self.indexes.values() if one.model_version == model_version]
        return sorted(found, key=lambda index: -index.created)

    def count(self, index: IndexInfo) -> int:
        self._called("count")
        return len(self.contents[index.name])

    def search(
        self, index: IndexInfo, embeddings: np.ndarray, top_k: int, among: Sequence[str] = ()
    ) -> list[list[Match]]:
        self._called("search")
        self.top_ks.append(top_k)
        found = []
        for embedding in embeddings:
            scores = {
                report_id: float(embedding @ vector)
                for report_id, (_, vector) in self.contents[index.name].items()
                if not among or report_id in among
            }
            nearest = sorted(scores, key=lambda report_id: -scores[report_id])[:top_k]
            found.append([Match(report_id, scores[report_id]) for report_id in nearest])
        return found

    def get(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, Report]:
        self._called("get")
        there = self.contents[index.name]
        return {report_id: there[report_id][0] for report_id in report_ids if report_id in there}

    def embeddings(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, np.ndarray]:
        self._called("embeddings")
        there = self.contents[index.name]
        return {report_id: there[report_id][1] for report_id in report_ids if report_id in there}

    def pages(self, index: IndexInfo) -> Iterator[list[Report]]:
        """Yield the reports as they are when their page is read."""
        self._called("pages")
        ids = list(self.contents[index.name])
        for first in range(0, len(ids), self.page):
            there = self.reports(index.name)
            yield [there[one] for one in ids[first : first + self.page] if one in there]

    def create(self, model_version: str, dimension: int) -> IndexInfo:
        self._called("create")
        self._made += 1
        made = IndexInfo(
            f"reports_{self._made}", "new", model_version, float(self._made), dimension, "FLAT",
            has_cases=self._has_cases,
        )  # fmt: skip
        self.indexes[made.name], self.contents[made.name] = made, {}
        return made

    def upsert(self, index: IndexInfo, reports: Sequence[Report], embeddings: np.ndarray) -> None:
        self._called("upsert")
        for report, vector in zip(reports, embeddings, strict=True):
            self.contents[index.name][report.report_id] = (report, vector)

    def delete(self, index: IndexInfo, report_ids: Sequence[str]) -> int:
        self._called("delete")
        there = self.contents[index.name]
        return sum(there.pop(report_id, None) is not None for report_id in set(report_ids))

    def touch(self, index: IndexInfo) -> IndexInfo:
        self._called("touch")
        return self._change(index, generation=f"{self.indexes[index.name].generation}+")

    def pair(self, index: IndexInfo, source: IndexInfo) -> IndexInfo:
        self._called("pair")
        return self._change(index, twin=(*source.contents, index.generation))

    def _change(self, index: IndexInfo, **changes) -> IndexInfo:
        self.indexes[index.name] = replace(self.indexes[index.name], **changes)
        return self.indexes[index.name]

    def settle(self, index: IndexInfo) -> None:
        self._called("settle")

    def every(self) -> list[IndexInfo]:
        return list(self.indexes.values())

    def switch(self, index: IndexInfo) -> IndexInfo:
        self._called("switch")
        self.answering = index.name
        return self._change(index, answered=True)

    def drop(self, index: IndexInfo) -> None:
        self._called("drop")
        self.indexes.pop(index.name, None)
        self.contents.pop(index.name, None)
        self.cases.rows.pop(index.name, None)
