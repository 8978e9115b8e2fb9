"""The ReportIndexService service: translates and calls."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from cardex.api.convert.reports import index_message, report_of
from cardex.api.pb.v1 import report_index_pb2 as pb
from cardex.api.pb.v1 import report_index_pb2_grpc
from cardex.domain.errors import InvalidReport
from cardex.domain.index import IndexInfo
from cardex.gateway.health import HealthMonitor
from cardex.gateway.index_lease import alone
from cardex.retrieval.dependencies import Dependencies
from cardex.retrieval.index_writer import MAX_CHUNK, Indexer
from cardex.retrieval.migration import Migration


class ReportIndexService(report_index_pb2_grpc.ReportIndexServiceServicer):
    """Keeps the report index."""

    def __init__(self, parts: Dependencies, pulse: HealthMonitor) -> None:
        """Serve with `parts`; `pulse` hears of a changed index at once."""
        self._parts = parts
        self._pulse = pulse

    async def UpsertReports(
        self,
        request_iterator: AsyncIterator[pb.UpsertReportsRequest],
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[pb.UpsertReportsResponse]:
        """Take reports in, chunk by chunk; one stream writes at a time."""
        async with alone(self._parts.index_lease) as writer:
            indexer: Indexer | None = None
            committed = False
            try:
                async for request in request_iterator:
                    if indexer is None:
                        rebuild = request.mode == pb.UPSERT_MODE_REBUILD
                        indexer = await asyncio.to_thread(self._indexer, rebuild)
                    writer.require()
                    await asyncio.to_thread(indexer.add, _chunk(request))
                    yield pb.UpsertReportsResponse(stored=indexer.stored)
                if indexer is None:
                    raise InvalidReport("no reports were sent", field="reports")
                writer.require()
                index = await asyncio.to_thread(indexer.commit)
                committed = True
                await self._pulse.beat()
            finally:
                if indexer is not None and not committed:
                    await asyncio.shield(asyncio.to_thread(indexer.abandon))
        yield pb.UpsertReportsResponse(
            stored=indexer.stored, committed=True, index=await self._message(index)
        )

    def _indexer(self, rebuild: bool) -> Indexer:
        parts = self._parts
        return Indexer(parts.encoder, parts.reports, parts.catalogue, rebuild=rebuild)

    async def MigrateIndex(
        self,
        request: pb.MigrateIndexRequest,
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[pb.MigrateIndexResponse]:
        """Embed the reports by another model; one stream writes at a time."""
        parts = self._parts
        async with alone(parts.index_lease) as writer:
            migration = await asyncio.to_thread(
                Migration, parts.encoder, parts.reports, parts.catalogue, request.model_version
            )
            finished = False
            try:
                steps = migration.run()
                while (stored := await asyncio.to_thread(next, steps, None)) is not None:
                    yield pb.MigrateIndexResponse(stored=stored, total=migration.total)
                    writer.require()
                if not request.shadow:
                    writer.require()
                    await asyncio.to_thread(migration.commit)
                finished = True
                await self._pulse.beat()
            finally:
                if not finished:
                    await asyncio.shield(asyncio.to_thread(migration.abandon))
        yield pb.MigrateIndexResponse(
            stored=migration.stored,
            total=migration.total,
            committed=True,
            index=await self._message(migration.index),
        )

    async def DeleteReports(
        self,
        request: pb.DeleteReportsRequest,
        context: Any,  # noqa: ANN401
    ) -> pb.DeleteReportsResponse:
        """Delete reports by id."""
        if len(request.report_ids) > MAX_CHUNK:
            raise InvalidReport(
                f"{len(request.report_ids)} ids: at most {MAX_CHUNK} in one call",
                field="report_ids",
            )
        async with alone(self._parts.index_lease):
            deleted, index = await asyncio.to_thread(self._delete, list(request.report_ids))
        return pb.DeleteReportsResponse(deleted=deleted, index=await self._message(index))

    def _delete(self, report_ids: list[str]) -> tuple[int, IndexInfo]:
        reports = self._parts.reports
        index = reports.current()
        deleted = reports.delete(index, report_ids)
        if deleted:
            index = reports.touch(index)
            self._parts.catalogue.forget()
        return deleted, index

    async def GetIndex(self, request: pb.GetIndexRequest, context: Any) -> pb.GetIndexResponse:  # noqa: ANN401
        """Describe the index."""
        index = await asyncio.to_thread(self._parts.reports.current)
        return pb.GetIndexResponse(index=await self._message(index))

    async def _message(self, index: IndexInfo) -> pb.IndexInfo:
        return index_message(index, await asyncio.to_thread(self._parts.reports.count, index))


def _chunk(request: pb.UpsertReportsRequest) -> list[Any]:
    if len(request.reports) > MAX_CHUNK:
        raise InvalidReport(
            f"{len(request.reports)} reports in one message: at most {MAX_CHUNK}", field="reports"
        )
    return [report_of(message) for message in request.reports]
