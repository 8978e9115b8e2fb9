"""The ReportIndexService: translates and calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from cardex.api.convert.reports import index_message, report_of
from cardex.api.pb.v1 import report_index_pb2 as pb
from cardex.api.pb.v1 import report_index_pb2_grpc
from cardex.domain.errors import InvalidReport
from cardex.domain.index import IndexInfo
from cardex.gateway.archives import own_ids, require_all_archives
from cardex.gateway.auth import caller
from cardex.gateway.health import HealthMonitor
from cardex.gateway.threads import SlowCalls
from cardex.retrieval.dependencies import Dependencies
from cardex.retrieval.index_writer import MAX_CHUNK, IndexWriter


class ReportIndexService(report_index_pb2_grpc.ReportIndexServiceServicer):
    """Keeps the report index."""

    def __init__(self, dependencies: Dependencies, health: HealthMonitor, slow: SlowCalls) -> None:
        """Serve with `dependencies`; `health` hears of a changed index at once."""
        self._dependencies = dependencies
        self._health = health
        self._slow = slow

    @asynccontextmanager
    async def _writer(self) -> AsyncIterator[IndexWriter]:
        """Yield a writer that has begun, and end it after its last step has."""
        writer = self._dependencies.index_writer()
        try:
            await self._slow.run_to_end(writer.begin)
            yield writer
        finally:
            await self._slow.run_to_end(writer.end)

    async def UpsertReports(
        self,
        request_iterator: AsyncIterator[pb.UpsertReportsRequest],
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[pb.UpsertReportsResponse]:
        """Take reports in, chunk by chunk; one stream writes at a time."""
        require_all_archives(caller())
        async with self._writer() as writer:
            opened = False
            async for request in request_iterator:
                if not opened:
                    rebuild = request.mode == pb.UPSERT_MODE_REBUILD
                    await self._slow.run_to_end(partial(writer.open, rebuild=rebuild))
                    opened = True
                stored = await self._slow.run_to_end(partial(writer.add, _chunk(request)))
                yield pb.UpsertReportsResponse(stored=stored)
            if not opened:
                raise InvalidReport("no reports were sent", field="reports")
            # The stream also ends where the client was cut off, and gRPC says so only later: a
            # message that cannot be sent keeps half an index from being committed.
            yield pb.UpsertReportsResponse(stored=writer.stored)
            index = await self._slow.run_to_end(writer.commit)
            await self._health.tick()
        yield pb.UpsertReportsResponse(
            stored=writer.stored, committed=True, index=await self._message(index)
        )

    async def MigrateIndex(
        self,
        request: pb.MigrateIndexRequest,
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[pb.MigrateIndexResponse]:
        """Embed the reports by another model; one stream writes at a time."""
        require_all_archives(caller())
        async with self._writer() as writer:
            steps = writer.migrate(request.model_version, shadow=request.shadow)
            while step := await self._slow.run_to_end(partial(next, steps, None)):
                migration = step
                yield pb.MigrateIndexResponse(stored=migration.stored, total=migration.total)
            await self._health.tick()
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
        require_all_archives(caller())
        if len(request.report_ids) > MAX_CHUNK:
            raise InvalidReport(
                f"{len(request.report_ids)} ids: at most {MAX_CHUNK} in one call",
                field="report_ids",
            )
        async with self._writer() as writer:
            deleted, index = await self._slow.run_to_end(
                partial(writer.delete, list(request.report_ids))
            )
        return pb.DeleteReportsResponse(deleted=deleted, index=await self._message(index))

    async def DeleteCases(
        self,
        request: pb.DeleteCasesRequest,
        context: Any,  # noqa: ANN401
    ) -> pb.DeleteCasesResponse:
        """Delete cases by id, as far as they are of the caller's archive."""
        if len(request.case_ids) > MAX_CHUNK:
            raise InvalidReport(
                f"{len(request.case_ids)} ids: at most {MAX_CHUNK} in one call", field="case_ids"
            )
        own = own_ids(caller(), request.case_ids)
        async with self._writer() as writer:
            deleted, index = await self._slow.run_to_end(partial(writer.delete_cases, own))
        return pb.DeleteCasesResponse(deleted=deleted, index=await self._message(index))

    async def BeginRebuild(
        self,
        request: pb.BeginRebuildRequest,
        context: Any,  # noqa: ANN401
    ) -> pb.BeginRebuildResponse:
        """Make a new, empty index, to be filled by SubmitBatch."""
        require_all_archives(caller())
        async with self._writer() as writer:
            index = await self._slow.run_to_end(writer.begin_rebuild)
            await self._health.tick()  # it answers at once where there was none
        return pb.BeginRebuildResponse(index=await self._message(index))

    async def CommitRebuild(
        self,
        request: pb.CommitRebuildRequest,
        context: Any,  # noqa: ANN401
    ) -> pb.CommitRebuildResponse:
        """Make a new index answer."""
        require_all_archives(caller())
        async with self._writer() as writer:
            index = await self._slow.run_to_end(partial(writer.commit_rebuild, request.index))
            await self._health.tick()
        return pb.CommitRebuildResponse(index=await self._message(index))

    async def GetIndex(self, request: pb.GetIndexRequest, context: Any) -> pb.GetIndexResponse:  # noqa: ANN401
        """Describe the index."""
        index = await self._slow.run(self._dependencies.reports.current)
        return pb.GetIndexResponse(index=await self._message(index))

    async def _message(self, index: IndexInfo) -> pb.IndexInfo:
        reports = self._dependencies.reports
        count = await self._slow.run(partial(reports.count, index))
        cases = await self._slow.run(partial(reports.cases.count, index))
        return index_message(index, count, cases)


def _chunk(request: pb.UpsertReportsRequest) -> list[Any]:
    if len(request.reports) > MAX_CHUNK:
        raise InvalidReport(
            f"{len(request.reports)} reports in one message: at most {MAX_CHUNK}", field="reports"
        )
    return [report_of(message) for message in request.reports]
