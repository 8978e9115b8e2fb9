"""The report index in Milvus: an alias onto a collection built for one model version."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import grpc
import msgspec
import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException
from pymilvus.milvus_client.index import IndexParams

from cardex.domain.circuit import Circuit
from cardex.domain.ecg import Embedding
from cardex.domain.errors import IndexMissing, InvalidReport, Unavailable
from cardex.domain.index import IndexInfo, Match
from cardex.domain.reports import Report
from cardex.stores.vector_index import KINDS, cells_for, kind_of

ALIAS = "reports"
PREFIX = "reports_"
NOT_LOADED = 101
MAX_BODY_BYTES = 60_000
ABANDONED_AFTER_S = 3600.0
BUILT_WITHIN_S = 3600.0
"""How long Milvus may take to divide the vectors of a large index."""
T = TypeVar("T")


class ReportIndex:
    """Reports and their embeddings in Milvus."""

    def __init__(self, uri: str, *, token: str = "", kind: str = "IVF_FLAT") -> None:
        """Prepare for `uri`; nothing is sent until it is used.

        Args:
            uri: of a Milvus server.
            token: its credentials, "user:password", or "".
            kind: of the vector index of collections made from now on: a key of `KINDS`.
        """
        self._uri = uri
        self._token = token
        self._kind = kind
        self._client: MilvusClient | None = None
        self._circuit = Circuit("Milvus")

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

    def of_model(self, model_version: str) -> list[IndexInfo]:
        """Return the indexes that a model embedded, answering or not, the newest first."""
        names = self._call(lambda client: client.list_collections(timeout=10.0))
        indexes = [self._describe(name) for name in names if name.startswith(PREFIX)]
        found = [
            index
            for index in indexes
            if index.model_version == model_version and index.kind in KINDS
        ]
        return sorted(found, key=lambda index: -index.created)

    def count(self, index: IndexInfo) -> int:
        """Return the number of reports in an index."""
        return self._count(index, timeout=10.0)

    def search(self, index: IndexInfo, embeddings: Embedding, top_k: int) -> list[list[Match]]:
        """Return the nearest reports of each embedding, nearest first.

        Args:
            index: from `current`; searched by its own name, so that an answer names what it saw.
            embeddings: (B, dimension) float32, L2-normalised.
            top_k: how many.
        """
        found = self._call(
            lambda client: client.search(
                index.name,
                data=list(embeddings),
                limit=top_k,
                anns_field="embedding",
                search_params={
                    "metric_type": "IP",
                    "params": kind_of(index.kind, index.cells).search,
                },
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
        rows = self._rows(index, report_ids, "body")
        reports = (msgspec.json.decode(row["body"], type=Report) for row in rows)
        return {report.report_id: report for report in reports}

    def embeddings(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings of reports by id, (dimension,) float32; as for `get`."""
        rows = self._rows(index, report_ids, "report_id", "embedding")
        return {row["report_id"]: np.asarray(row["embedding"], dtype=np.float32) for row in rows}

    def _rows(
        self, index: IndexInfo, report_ids: Sequence[str], *fields: str
    ) -> list[dict[str, Any]]:
        if not report_ids:
            return []
        return list(
            self._call(
                lambda client: client.get(
                    index.name, ids=list(report_ids), output_fields=list(fields), timeout=10.0
                ),
                index.name,
            )
        )

    def pages(self, index: IndexInfo, size: int = 256) -> Iterator[list[Report]]:
        """Yield all reports of an index, some at a time."""
        for rows in self._pages(index, size, "body"):
            yield [msgspec.json.decode(row["body"], type=Report) for row in rows]

    def embedded_pages(
        self, index: IndexInfo, size: int = 1000
    ) -> Iterator[tuple[list[Report], Embedding]]:
        """Yield all reports of an index with their (reports, dimension) embeddings."""
        for rows in self._pages(index, size, "body", "embedding"):
            reports = [msgspec.json.decode(row["body"], type=Report) for row in rows]
            yield reports, np.array([row["embedding"] for row in rows], dtype=np.float32)

    def _pages(self, index: IndexInfo, size: int, *fields: str) -> Iterator[list[dict[str, Any]]]:
        self._settle(index)
        iterator = self._call(
            lambda client: client.query_iterator(
                index.name, batch_size=size, output_fields=list(fields), timeout=30.0
            ),
            index.name,
        )
        try:
            while rows := self._call(lambda _: iterator.next()):
                yield rows
        finally:
            iterator.close()

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
            params = _vector_index(client, self._kind, cells=1)
            properties = {
                "cardex.model_version": model_version,
                "cardex.kind": self._kind,
                "cardex.generation": _generation(),
                "cardex.created": str(created),
            }
            client.create_collection(
                name, schema=schema, index_params=params, properties=properties, timeout=30.0
            )

        self._call(build)
        return self._describe(name)

    def upsert(self, index: IndexInfo, reports: Sequence[Report], embeddings: Embedding) -> None:
        """Add or replace reports with their (B, dimension) embeddings."""
        rows = [
            {"report_id": report.report_id, "embedding": vector, "body": body}
            for report, vector, body in zip(reports, embeddings, map(_body, reports), strict=True)
        ]
        self._call(lambda client: client.upsert(index.name, rows, timeout=60.0))

    def delete(self, index: IndexInfo, report_ids: Sequence[str]) -> int:
        """Delete reports; returns how many were there."""
        self._settle(index)
        there = list(self.get(index, report_ids))
        if there:
            self._call(lambda client: client.delete(index.name, ids=there, timeout=30.0))
        return len(there)

    def touch(self, index: IndexInfo) -> IndexInfo:
        """Give the index a new generation, after its contents changed and searches see that."""
        self._settle(index)
        properties = {"cardex.generation": _generation()}
        self._call(
            lambda client: client.alter_collection_properties(
                index.name, properties=properties, timeout=10.0
            )
        )
        return self._describe(index.name)

    def pair(self, index: IndexInfo, source: IndexInfo) -> IndexInfo:
        """Note that an index has the same reports as `source`."""
        properties = {"cardex.twin": " ".join((*source.contents, index.generation))}
        self._call(
            lambda client: client.alter_collection_properties(
                index.name, properties=properties, timeout=10.0
            )
        )
        return self._describe(index.name)

    def switch(self, index: IndexInfo) -> IndexInfo:
        """Make `index` the one that answers; the one before stays for searches in flight.

        The vectors of a large one are divided into cells first, which may take minutes.
        """

        def commit(client: MilvusClient) -> None:
            client.flush(index.name, timeout=120.0)
            client.load_collection(index.name, timeout=120.0)

        self._call(commit)
        count = self._settle(index)
        before = self._aliases().get(ALIAS)
        if before == index.name:
            return index
        index = self._divide(index, cells_for(index.kind, count))
        if before is None:
            self._call(lambda client: client.create_alias(index.name, ALIAS, timeout=10.0))
        else:
            self._call(lambda client: client.alter_alias(index.name, ALIAS, timeout=10.0))
        keep = {index.name, before}
        self._drop(lambda info: info.name not in keep and info.created < index.created)
        return index

    def _divide(self, index: IndexInfo, cells: int) -> IndexInfo:
        """Build the vector index anew where it is to have another number of cells."""
        if cells == index.cells:
            return index

        def build(client: MilvusClient) -> None:
            client.release_collection(index.name, timeout=30.0)
            client.drop_index(index.name, "embedding", timeout=30.0)
            params = _vector_index(client, index.kind, cells)
            client.create_index(index.name, params, timeout=BUILT_WITHIN_S)
            client.alter_collection_properties(
                index.name, properties={"cardex.cells": str(cells)}, timeout=10.0
            )
            client.load_collection(index.name, timeout=600.0)

        self._call(build)
        self._settle(index)
        return self._describe(index.name)

    def drop(self, index: IndexInfo) -> None:
        """Remove an index that never answered."""
        self._call(lambda client: client.drop_collection(index.name, timeout=30.0))

    def _settle(self, index: IndexInfo) -> int:
        """Wait until reads see all that was written, seconds at most; return how many there are."""
        return self._count(index, consistency_level="Strong", timeout=30.0)

    def _count(self, index: IndexInfo, **options: str | float) -> int:
        rows = self._call(
            lambda client: client.query(
                index.name, filter="", output_fields=["count(*)"], **options
            ),
            index.name,
        )
        return int(rows[0]["count(*)"])

    def _remove_abandoned(self) -> None:
        answering = self._aliases().get(ALIAS)
        limit = time.time() - ABANDONED_AFTER_S
        self._drop(lambda info: info.name != answering and info.created < limit)

    def _drop(self, condition: Callable[[IndexInfo], bool]) -> None:
        names = self._call(lambda client: client.list_collections(timeout=10.0))
        for name in names:
            if name.startswith(PREFIX) and condition(info := self._describe(name)):
                self.drop(info)

    def _aliases(self) -> dict[str, str]:
        def read(client: MilvusClient) -> dict[str, str]:
            listed = client.list_aliases(timeout=5.0)
            names = listed["aliases"] if isinstance(listed, dict) else listed
            return {name: client.describe_alias(name, timeout=5.0)["collection_name"]
                    for name in names if name == ALIAS}  # fmt: skip

        return self._call(read)

    def _describe(self, name: str) -> IndexInfo:
        described = self._call(lambda client: client.describe_collection(name, timeout=5.0))
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
        )

    def _call(self, function: Callable[[MilvusClient], T], read: str = "") -> T:
        """Call Milvus; `read` names the collection that is read, which has to be loaded."""
        return self._circuit.call(lambda: self._once(function, read))

    def _once(self, function: Callable[[MilvusClient], T], read: str) -> T:
        try:
            if self._client is None:
                self._client = MilvusClient(uri=self._uri, token=self._token, timeout=3.0)
            return function(self._client)
        except MilvusException as error:
            if error.code == NOT_LOADED and read:
                self._load(read)
            raise _unavailable(error) from error
        except (grpc.RpcError, ConnectionError) as error:
            raise _unavailable(error) from error

    def _load(self, name: str) -> None:
        """Load a collection: a server that was restarted knows it but does not search it yet."""
        assert self._client is not None
        try:
            self._client.load_collection(name, timeout=60.0)
        except MilvusException as error:
            raise _unavailable(error) from error


def _vector_index(client: MilvusClient, kind: str, cells: int) -> IndexParams:
    params = client.prepare_index_params()
    params.add_index(
        "embedding",
        index_type=kind,
        metric_type="IP",
        # Milvus Lite reads them from this key only, and Milvus from it too.
        params={"params": kind_of(kind, cells).build},
    )
    return params


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(
        f"Milvus: {type(error).__name__}: {str(error)[:200]}",
        reason="MILVUS_UNAVAILABLE",
        retry_after_s=2.0,
    )


def _body(report: Report) -> str:
    """Return the JSON of a report; a very common text keeps as many record ids as fit."""
    body = msgspec.json.encode(report)
    while len(body) > MAX_BODY_BYTES:
        if not report.record_ids:
            raise InvalidReport(
                f"report {report.report_id!r} has {len(body)} bytes with its statements: at most"
                f" {MAX_BODY_BYTES}",
                field="reports",
            )
        report = replace(report, record_ids=report.record_ids[: len(report.record_ids) // 2])
        body = msgspec.json.encode(report)
    return body.decode()


def _generation() -> str:
    return f"{int(time.time() * 1000):x}{secrets.token_hex(2)}"
