"""The cases of an index in Milvus: what may be searched and filtered, and their traces apart.

Each index of reports has two collections more, of the same name but for its beginning. `cases_...`
holds what a search looks at, so that it stays small in memory. `traces_...` holds the ECGs that are
shown: only fetched by id, and on disk where Milvus maps files.
"""

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from pymilvus import DataType, MilvusClient

from cardex.domain.cases import FiledCase, archive_of
from cardex.domain.ecg import Embedding
from cardex.domain.index import CaseMatch, IndexInfo
from cardex.domain.trace import MAX_TRACE_BYTES, Trace
from cardex.stores.case_filter import UNKNOWN_AGE, archive_token, every_of, month_number, token
from cardex.stores.milvus import Milvus, row_ids, vector_index
from cardex.stores.vector_index import kind_of

CASES, TRACES = "cases_", "traces_"
MAX_ROWS = 16_384
"""Most rows that Milvus returns at once."""
_TRACE_LENGTH = 4 * (MAX_TRACE_BYTES + 4096) // 3


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case on its way into the index.

    Attributes:
        filed: the case.
        embedding: (dimension,) of its ECG; None without one.
        trace: of its ECG; None without one.
    """

    filed: FiledCase
    embedding: Embedding | None = None
    trace: Trace | None = None


class CaseIndex:
    """Cases, the embeddings of their ECGs, and their traces."""

    def __init__(self, milvus: Milvus) -> None:
        """Keep them in a Milvus."""
        self._milvus = milvus

    def create(self, name: str, kind: str, dimension: int) -> None:
        """Make the collections of cases for the index of this name."""

        def build(client: MilvusClient) -> None:
            params = vector_index(client, kind, cells=1)
            client.create_collection(
                _cases(name), schema=_case_schema(client, dimension), index_params=params,
                timeout=30.0,
            )  # fmt: skip
            params = client.prepare_index_params()
            params.add_index("unused", index_type="FLAT", metric_type="L2")
            client.create_collection(
                _traces(name), schema=_trace_schema(client), index_params=params,
                properties={"mmap.enabled": "true"}, timeout=30.0,
            )  # fmt: skip

        self._milvus.call(build)

    def upsert(self, index: IndexInfo, rows: Sequence[CaseRow]) -> None:
        """Add or replace cases; those without an ECG lose the trace that they had."""
        traces = [
            {"case_id": row.filed.case.case_id, "trace": _encoded(row.trace), "unused": [0.0, 0.0]}
            for row in rows
            if row.trace is not None
        ]
        # First: a case that is found can be shown.
        if traces:
            self._milvus.upsert(_traces(index.name), traces)
        self._milvus.delete(
            _traces(index.name), [row.filed.case.case_id for row in rows if row.trace is None]
        )
        if rows:
            self._milvus.upsert(_cases(index.name), [_row(row, index.dimension) for row in rows])

    def search(
        self, index: IndexInfo, embeddings: Embedding, count: int, expression: str = ""
    ) -> list[list[CaseMatch]]:
        """Return the cases whose ECGs are nearest to each embedding, nearest first.

        Args:
            index: the index.
            embeddings: (B, dimension) float32, of ECGs or texts.
            count: how many at most.
            expression: from `case_filter`, "" for all cases.
        """
        found = self._milvus.call(
            lambda client: client.search(
                _cases(index.name),
                data=list(embeddings),
                limit=count,
                anns_field="embedding",
                search_params={
                    "metric_type": "IP",
                    "params": kind_of(index.kind, index.case_cells).search,
                },
                filter=expression,
                output_fields=["body"],
                timeout=10.0,
            ),
            _cases(index.name),
        )
        return [
            [
                CaseMatch(filed, float(hit["distance"]))
                for hit in hits
                if (filed := _decoded(hit["entity"]["body"])).case.has_ecg
            ]
            for hits in found
        ]

    def of_reports(
        self,
        index: IndexInfo,
        report_ids: Sequence[str],
        expression: str = "",
        limit: int = MAX_ROWS,
    ) -> tuple[list[FiledCase], Embedding]:
        """Return cases of reports that an expression fits, with (cases, dimension) embeddings.

        A case without an ECG has a vector of zeros. Of very many, `limit` are returned.
        """
        which = f"report_id in {row_ids(report_ids)}"
        rows = self._milvus.call(
            lambda client: client.query(
                _cases(index.name),
                filter=every_of(which, expression),
                output_fields=["body", "embedding"],
                limit=limit,
                timeout=10.0,
            ),
            _cases(index.name),
        )
        return _filed(rows), _vectors(rows, index.dimension)

    def reports_with(self, index: IndexInfo, expression: str, limit: int = MAX_ROWS) -> list[str]:
        """Return the report of each case that an expression fits, of `limit` cases at most."""
        rows = self._milvus.call(
            lambda client: client.query(
                _cases(index.name),
                filter=expression,
                output_fields=["report_id"],
                limit=limit,
                timeout=10.0,
            ),
            _cases(index.name),
        )
        return [row["report_id"] for row in rows]

    def filed_since(self, index: IndexInfo, seconds: float) -> Iterator[list[CaseRow]]:
        """Yield the cases that were written since a Unix time, with all that belongs to them.

        When they were sent is of no account: a job may wait for days.
        """
        found = f"filed >= {int(seconds * 1000)}"
        for rows in self._milvus.pages(_cases(index.name), 256, "body", "embedding", where=found):
            filed, vectors = _filed(rows), _vectors(rows, index.dimension)
            traces = self.traces(index, [one.case.case_id for one in filed])
            yield [
                CaseRow(one, vector if one.case.has_ecg else None, traces.get(one.case.case_id))
                for one, vector in zip(filed, vectors, strict=True)
            ]

    def count_where(self, index: IndexInfo, expression: str) -> int:
        """Return how many cases an expression fits."""
        return self._milvus.count(_cases(index.name), expression, timeout=10.0)

    def get(self, index: IndexInfo, case_ids: Sequence[str]) -> dict[str, FiledCase]:
        """Return cases by id; ids that are not there are left out."""
        rows = self._milvus.rows(_cases(index.name), case_ids, "body")
        return {filed.case.case_id: filed for filed in _filed(rows)}

    def traces(self, index: IndexInfo, case_ids: Sequence[str]) -> dict[str, Trace]:
        """Return the traces of cases by id; those without one are left out."""
        rows = self._milvus.rows(_traces(index.name), case_ids, "case_id", "trace")
        return {row["case_id"]: _trace(row["trace"]) for row in rows}

    def embedded_pages(
        self, index: IndexInfo, size: int = 1000
    ) -> Iterator[tuple[list[FiledCase], Embedding]]:
        """Yield all cases of an index with their (cases, dimension) embeddings."""
        self.settle(index)
        for rows in self._milvus.pages(_cases(index.name), size, "body", "embedding"):
            yield _filed(rows), _vectors(rows, index.dimension)

    def delete(self, index: IndexInfo, case_ids: Sequence[str]) -> None:
        """Delete cases with their traces, the traces first: what is cut off is found again."""
        self._milvus.delete(_traces(index.name), case_ids)
        self._milvus.delete(_cases(index.name), case_ids)

    def count(self, index: IndexInfo) -> int:
        """Return the number of cases in an index."""
        return self._milvus.count(_cases(index.name), timeout=10.0) if index.has_cases else 0

    def settle(self, index: IndexInfo) -> None:
        """Wait until reads see all that was written, seconds at most."""
        self._milvus.settle(_cases(index.name), "case_id")

    def commit(self, index: IndexInfo) -> int:
        """Write all down and load it; return how many cases there are."""
        self._milvus.commit(_traces(index.name))
        return self._milvus.commit(_cases(index.name))

    def divide(self, index: IndexInfo, cells: int) -> None:
        """Divide the vectors of the cases into so many cells."""
        self._milvus.divide(_cases(index.name), index.kind, cells)

    def drop(self, index: IndexInfo) -> None:
        """Remove the cases of an index."""

        def remove(client: MilvusClient) -> None:
            there = set(client.list_collections(timeout=10.0))
            for name in (_cases(index.name), _traces(index.name)):
                if name in there:
                    client.drop_collection(name, timeout=30.0)

        self._milvus.call(remove)


def _cases(name: str) -> str:
    return CASES + name.partition("_")[2]


def _traces(name: str) -> str:
    return TRACES + name.partition("_")[2]


def _case_schema(client: MilvusClient, dimension: int) -> Any:  # noqa: ANN401
    """Return the fields: those that filters look at hold tokens and numbers, never words."""
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("case_id", DataType.VARCHAR, is_primary=True, max_length=256)
    schema.add_field("report_id", DataType.VARCHAR, max_length=64)
    schema.add_field("archive", DataType.VARCHAR, max_length=32)
    schema.add_field("age", DataType.INT16)
    schema.add_field("sex", DataType.VARCHAR, max_length=1)
    schema.add_field("month", DataType.INT32)
    schema.add_field("language", DataType.VARCHAR, max_length=32)
    schema.add_field("device", DataType.VARCHAR, max_length=32)
    schema.add_field(
        "codes", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=100, max_length=32
    )
    schema.add_field("has_ecg", DataType.BOOL)
    schema.add_field("filed", DataType.INT64)
    schema.add_field("body", DataType.VARCHAR, max_length=65_535)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dimension)
    return schema


def _trace_schema(client: MilvusClient) -> Any:  # noqa: ANN401
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("case_id", DataType.VARCHAR, is_primary=True, max_length=256)
    schema.add_field("trace", DataType.VARCHAR, max_length=_TRACE_LENGTH)
    schema.add_field("unused", DataType.FLOAT_VECTOR, dim=2)  # Milvus wants a vector
    return schema


def _row(row: CaseRow, dimension: int) -> dict[str, Any]:
    case = row.filed.case
    vector = np.zeros(dimension, np.float32) if row.embedding is None else row.embedding
    return {
        "case_id": case.case_id,
        "report_id": row.filed.report_id,
        "archive": archive_token(archive_of(case.case_id)),
        "age": UNKNOWN_AGE if case.age is None else case.age,
        "sex": case.sex.value,
        "month": month_number(case.month),
        "language": token(case.language),
        "device": token(case.device),
        "codes": [token(statement.code) for statement in case.statements],
        "has_ecg": case.has_ecg,
        "filed": int(time.time() * 1000),
        "body": msgspec.json.encode(row.filed).decode(),
        "embedding": vector,
    }


def _filed(rows: Sequence[dict[str, Any]]) -> list[FiledCase]:
    return [_decoded(row["body"]) for row in rows]


def _decoded(body: str) -> FiledCase:
    return msgspec.json.decode(body, type=FiledCase)


def _vectors(rows: Sequence[dict[str, Any]], dimension: int) -> Embedding:
    vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
    return vectors.reshape(len(rows), dimension)


def _encoded(trace: Trace) -> str:
    return base64.b64encode(msgspec.msgpack.encode(trace)).decode()


def _trace(text: str) -> Trace:
    return msgspec.msgpack.decode(base64.b64decode(text), type=Trace)
