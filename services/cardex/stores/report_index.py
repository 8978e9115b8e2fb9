"""The report index in Milvus: an alias onto a collection built for one model version."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from pymilvus import DataType, MilvusClient

from cardex.domain.ecg import Embedding
from cardex.domain.errors import IndexMissing, InvalidReport
from cardex.domain.index import IndexInfo, Match
from cardex.domain.reports import Report
from cardex.stores.case_index import CaseIndex
from cardex.stores.milvus import Milvus, vector_index
from cardex.stores.vector_index import KINDS, cells_for, kind_of

ALIAS = "reports"
PREFIX = "reports_"
MAX_BODY_BYTES = 60_000
ABANDONED_AFTER_S = 86_400.0
"""After so long without a change, an index that never answered is removed by the next one."""


class ReportIndex:
    """Reports and their embeddings in Milvus, with the cases of each index beside them.

    Attributes:
        cases: the cases.
    """

    def __init__(self, uri: str, *, token: str = "", kind: str = "IVF_FLAT") -> None:
        """Prepare for `uri`; nothing is sent until it is used.

        Args:
            uri: of a Milvus server.
            token: its credentials, "user:password", or "".
            kind: of the vector index of collections made from now on: a key of `KINDS`.
        """
        self._kind = kind
        self._milvus = Milvus(uri, token)
        self.cases = CaseIndex(self._milvus)

    def current(self) -> IndexInfo:
        """Return the index that answers now.

        Raises:
            IndexMissing: if none was built yet, or that one cannot be searched as it was meant.
            Unavailable: if Milvus is down.
        """
        index = self._in_force()
        if index.kind not in KINDS:
            raise IndexMissing(
                f"the report index {index.name} is of another version of Cardex: run `cardex index`"
            )
        return index

    def model_in_force(self) -> str:
        """Return the model version of the index in force, also of one that cannot be searched.

        Raises:
            IndexMissing: if none was built yet.
            Unavailable: if Milvus is down.
        """
        return self._in_force().model_version

    def _in_force(self) -> IndexInfo:
        if ALIAS not in self._aliases():
            raise IndexMissing("there is no report index yet: run `cardex index`")
        return self._describe(ALIAS)

    def named(self, name: str) -> IndexInfo:
        """Return an index by its name, answering or not.

        Raises:
            IndexMissing: if there is none of that name.
            Unavailable: if Milvus is down.
        """
        if name not in self._names():
            raise IndexMissing(
                f"there is no index {name[:64]!r}: it answers no more, or was given up; begin anew",
                field="index",
            )
        return self._describe(name)

    def every(self) -> list[IndexInfo]:
        """Return all indexes, answering or not."""
        return [self._describe(name) for name in self._names()]

    def of_model(self, model_version: str) -> list[IndexInfo]:
        """Return the indexes that a model embedded, answering or not, the newest first."""
        found = [
            index
            for index in map(self._describe, self._names())
            if index.model_version == model_version and index.kind in KINDS
        ]
        return sorted(found, key=lambda index: -index.created)

    def count(self, index: IndexInfo) -> int:
        """Return the number of reports in an index."""
        return self._milvus.count(index.name, timeout=10.0)

    def search(
        self, index: IndexInfo, embeddings: Embedding, top_k: int, among: Sequence[str] = ()
    ) -> list[list[Match]]:
        """Return the nearest reports of each embedding, nearest first.

        Args:
            index: from `current`; searched by its own name, so that an answer names what it saw.
            embeddings: (B, dimension) float32, L2-normalised.
            top_k: how many.
            among: ids of the reports that may be found; all where it is empty.
        """
        found = self._milvus.call(
            lambda client: client.search(
                index.name,
                data=list(embeddings),
                limit=top_k,
                anns_field="embedding",
                search_params={
                    "metric_type": "IP",
                    "params": kind_of(index.kind, index.cells).search,
                },
                filter=f"report_id in {list(among)}" if among else "",
                # With no field at all, Milvus Lite sends every field of every hit.
                output_fields=["report_id"],
                timeout=10.0,
            ),
            index.name,
        )
        # The columns as they came: an object for each hit costs more than the search.
        return [list(map(Match, hits.ids, map(float, hits.distances))) for hits in found]

    def get(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, Report]:
        """Return reports by id; ids that are not there are left out."""
        rows = self._milvus.rows(index.name, report_ids, "body")
        reports = (msgspec.json.decode(row["body"], type=Report) for row in rows)
        return {report.report_id: report for report in reports}

    def embeddings(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings of reports by id, (dimension,) float32; as for `get`."""
        rows = self._milvus.rows(index.name, report_ids, "report_id", "embedding")
        return {row["report_id"]: np.asarray(row["embedding"], dtype=np.float32) for row in rows}

    def pages(self, index: IndexInfo, size: int = 256) -> Iterator[list[Report]]:
        """Yield all reports of an index, some at a time."""
        self.settle(index)
        for rows in self._milvus.pages(index.name, size, "body"):
            yield [msgspec.json.decode(row["body"], type=Report) for row in rows]

    def embedded_pages(
        self, index: IndexInfo, size: int = 1000
    ) -> Iterator[tuple[list[Report], Embedding]]:
        """Yield all reports of an index with their (reports, dimension) embeddings."""
        self.settle(index)
        for rows in self._milvus.pages(index.name, size, "body", "embedding"):
            reports = [msgspec.json.decode(row["body"], type=Report) for row in rows]
            yield reports, np.array([row["embedding"] for row in rows], dtype=np.float32)

    def create(self, model_version: str, dimension: int) -> IndexInfo:
        """Make an empty index that does not answer yet; abandoned ones are removed."""
        self._remove_abandoned()
        created = time.time()
        name = f"{PREFIX}{int(created * 1000):x}_{secrets.token_hex(2)}"

        def build(client: MilvusClient) -> None:
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("report_id", DataType.VARCHAR, is_primary=True, max_length=64)
            schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dimension)
            schema.add_field("body", DataType.VARCHAR, max_length=65_535)
            params = vector_index(client, self._kind, cells=1)
            properties = {
                "cardex.model_version": model_version,
                "cardex.kind": self._kind,
                "cardex.generation": _generation(),
                "cardex.created": str(created),
                "cardex.cases": "1",
            }
            client.create_collection(
                name, schema=schema, index_params=params, properties=properties, timeout=30.0
            )

        self.cases.create(name, self._kind, dimension)
        self._milvus.call(build)
        return self._describe(name)

    def upsert(self, index: IndexInfo, reports: Sequence[Report], embeddings: Embedding) -> None:
        """Add or replace reports with their (B, dimension) embeddings."""
        rows = [
            {"report_id": report.report_id, "embedding": vector, "body": body}
            for report, vector, body in zip(reports, embeddings, map(_body, reports), strict=True)
        ]
        self._milvus.upsert(index.name, rows)

    def delete(self, index: IndexInfo, report_ids: Sequence[str]) -> int:
        """Delete reports, without their cases; returns how many were there."""
        self.settle(index)
        there = list(self.get(index, report_ids))
        self._milvus.delete(index.name, there)
        return len(there)

    def settle(self, index: IndexInfo) -> None:
        """Wait until reads see all that was written, seconds at most."""
        if index.has_cases:
            self.cases.settle(index)
        self._milvus.settle(index.name, "report_id")

    def touch(self, index: IndexInfo) -> IndexInfo:
        """Give the index a new generation, after its contents changed and searches see that."""
        self.settle(index)
        return self._set(index, {"cardex.generation": _generation()})

    def pair(self, index: IndexInfo, source: IndexInfo) -> IndexInfo:
        """Note that an index has the same reports as `source`."""
        return self._set(index, {"cardex.twin": " ".join((*source.contents, index.generation))})

    def switch(self, index: IndexInfo) -> IndexInfo:
        """Make `index` the one that answers; the one before stays for searches in flight.

        The vectors of a large one are divided into cells first, which may take minutes.
        """
        count = self._milvus.commit(index.name)
        cases = self.cases.commit(index) if index.has_cases else 0
        before = self._aliases().get(ALIAS)
        if before == index.name:
            return index
        index = self._divide(index, cells_for(index.kind, count), cells_for(index.kind, cases))
        index = self._set(index, {"cardex.answered": "1"})
        if before is None:
            self._milvus.call(lambda client: client.create_alias(index.name, ALIAS, timeout=10.0))
        else:
            self._milvus.call(lambda client: client.alter_alias(index.name, ALIAS, timeout=10.0))
        keep = {index.name, before}
        # One that is being filled stays: it never answered.
        self._drop(
            lambda info: info.answered and info.name not in keep and info.created < index.created
        )
        return index

    def _divide(self, index: IndexInfo, cells: int, case_cells: int) -> IndexInfo:
        """Build the vector indexes anew where they are to have another number of cells."""
        if case_cells != index.case_cells:
            self.cases.divide(index, case_cells)
            index = self._set(index, {"cardex.case_cells": str(case_cells)})
        if cells != index.cells:
            self._milvus.divide(index.name, index.kind, cells)
            index = self._set(index, {"cardex.cells": str(cells)})
        return index

    def drop(self, index: IndexInfo) -> None:
        """Remove an index that never answered, or answers no more."""
        self.cases.drop(index)
        self._milvus.call(lambda client: client.drop_collection(index.name, timeout=30.0))

    def _remove_abandoned(self) -> None:
        answering = self._aliases().get(ALIAS)
        limit = time.time() - ABANDONED_AFTER_S
        self._drop(lambda info: info.name != answering and info.changed < limit)

    def _drop(self, condition: Callable[[IndexInfo], bool]) -> None:
        for name in self._names():
            if condition(info := self._describe(name)):
                self.drop(info)

    def _names(self) -> list[str]:
        names = self._milvus.call(lambda client: client.list_collections(timeout=10.0))
        return [name for name in names if name.startswith(PREFIX)]

    def _aliases(self) -> dict[str, str]:
        def read(client: MilvusClient) -> dict[str, str]:
            listed = client.list_aliases(timeout=5.0)
            names = listed["aliases"] if isinstance(listed, dict) else listed
            return {name: client.describe_alias(name, timeout=5.0)["collection_name"]
                    for name in names if name == ALIAS}  # fmt: skip

        return self._milvus.call(read)

    def _set(self, index: IndexInfo, properties: dict[str, str]) -> IndexInfo:
        self._milvus.call(
            lambda client: client.alter_collection_properties(
                index.name, properties=properties, timeout=10.0
            )
        )
        return self._describe(index.name)

    def _describe(self, name: str) -> IndexInfo:
        described = self._milvus.call(lambda client: client.describe_collection(name, timeout=5.0))
        properties = dict(described["properties"])
        vector = next(f for f in described["fields"] if f["name"] == "embedding")
        return IndexInfo(
            name=described["collection_name"],
            generation=properties.get("cardex.generation", ""),
            model_version=properties.get("cardex.model_version", ""),
            created=float(properties.get("cardex.created", 0.0)),
            dimension=int(vector["params"]["dim"]),
            kind=properties.get("cardex.kind", ""),
            twin=tuple(properties.get("cardex.twin", "").split()),
            cells=int(properties.get("cardex.cells", "1")),
            has_cases="cardex.cases" in properties,
            # Those of before kept no such note, and none of them is being filled.
            answered="cardex.answered" in properties or "cardex.cases" not in properties,
            case_cells=int(properties.get("cardex.case_cells", "1")),
        )


def _body(report: Report) -> str:
    """Return the JSON of a report; a very common text keeps as many of the newest ids as fit."""
    body = msgspec.json.encode(report)
    while len(body) > MAX_BODY_BYTES:
        if not report.record_ids:
            raise InvalidReport(
                f"report {report.report_id!r} has {len(body)} bytes with its statements: at most"
                f" {MAX_BODY_BYTES}",
                field="reports",
            )
        kept = len(report.record_ids) // 2
        report = replace(report, record_ids=report.record_ids[len(report.record_ids) - kept :])
        body = msgspec.json.encode(report)
    return body.decode()


def _generation() -> str:
    """Return a new name for contents: the time in milliseconds, and a random part."""
    return f"{int(time.time() * 1000):x}{secrets.token_hex(2)}"
