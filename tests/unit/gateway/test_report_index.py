import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import grpc
import pytest

from cardex.api.pb.v1 import report_index_pb2 as pb
from cardex.api.pb.v1 import report_index_pb2_grpc, report_pb2
from cardex.domain.cases import Case
from cardex.domain.errors import (
    IndexMissing,
    InvalidReport,
    Overloaded,
    PermissionDenied,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.index import IndexInfo
from cardex.domain.reports import Report
from cardex.gateway.health import HealthMonitor
from cardex.gateway.keys import ANYBODY, Principal, Scope
from cardex.gateway.report_index import ReportIndexService
from cardex.gateway.threads import SlowCalls
from cardex.retrieval.case_writer import CaseWriter
from cardex.retrieval.dependencies import Dependencies
from cardex.retrieval.index_writer import CLOCKS_APART_S, MAX_CHUNK, IndexWriter
from cardex.retrieval.write_lease import WriteLease
from cardex.stores.report_index import ReportIndex
from tests.helpers.cases import a_case, with_text
from tests.helpers.fake_lock import FakeLock
from tests.helpers.fake_model import model_info
from tests.helpers.house import House


class Health:
    """Counts how often the health was looked at."""

    ticks = 0

    async def tick(self) -> None:
        self.ticks += 1


@pytest.fixture
def house():
    return House(Report("old", "old infarct"), has_cases=True)


@pytest.fixture
def health():
    return Health()


@pytest.fixture
def service(house, health, monkeypatch):
    monkeypatch.setattr("cardex.gateway.report_index.caller", lambda: ANYBODY)
    held: list[FakeLock] = []
    parts = SimpleNamespace(
        held=held,
        reports=house.store,
        index_writer=lambda: IndexWriter(
            house.encoder, house.store, house.active_index, FakeLock(held), house.cache
        ),
    )
    return ReportIndexService(cast(Dependencies, parts), cast(HealthMonitor, health), SlowCalls())


def chunk(*texts: str, mode: pb.UpsertMode = pb.UPSERT_MODE_MERGE) -> pb.UpsertReportsRequest:
    reports = [report_pb2.Report(report_id=f"n{i}", text=text) for i, text in enumerate(texts)]
    return pb.UpsertReportsRequest(mode=mode, reports=reports)


def rebuild(*texts: str) -> pb.UpsertReportsRequest:
    return chunk(*texts, mode=pb.UPSERT_MODE_REBUILD)


async def stream(*requests):
    for request in requests:
        if isinstance(request, Exception):
            raise request
        yield request


async def upsert(service, *requests) -> list[pb.UpsertReportsResponse]:
    return [response async for response in service.UpsertReports(stream(*requests), None)]


async def test_each_chunk_is_acknowledged_and_the_last_message_has_the_index(service, house):
    found = await upsert(service, rebuild("a", "b"), rebuild("c"))
    assert [response.stored for response in found] == [2, 3, 3, 3]
    assert [response.committed for response in found] == [False, False, False, True]
    last = found[-1]
    assert last.index.name == house.store.current().name == "reports_2"


async def test_a_merge_keeps_what_is_there(service, house):
    await upsert(service, chunk("new"))
    assert set(house.store.contents["reports_1"]) == {"old", "n0"}


async def test_the_mode_is_read_from_the_first_message_only(service, house):
    await upsert(service, rebuild("a"), chunk("b"))
    assert set(house.store.contents["reports_1"]) == {"old"}


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (rebuild(""), InvalidReport),
        (Unavailable("gone"), Unavailable),
        (RuntimeError("the client went away"), RuntimeError),
    ],
    ids=["bad report", "part down", "client gone"],
)
async def test_a_broken_rebuild_changes_nothing(service, house, broken, error):
    with pytest.raises(error):
        await upsert(service, rebuild("a"), broken)
    assert house.store.current().name == "reports_1"
    assert set(house.store.contents) == {"reports_1"}


async def test_a_client_that_is_cut_off_commits_no_part_of_a_rebuild(service, house):
    server = grpc.aio.server()
    report_index_pb2_grpc.add_ReportIndexServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = report_index_pb2_grpc.ReportIndexServiceStub(channel)
        for _ in range(30):  # how its end is told depends on the moment
            writing = stub.UpsertReports()
            await writing.write(rebuild("a"))
            await writing.read()
            writing.cancel()
            while service._dependencies.held:
                await asyncio.sleep(0.001)
            assert house.store.current().name == "reports_1"
    await server.stop(None)


async def test_a_stream_without_messages_is_refused(service):
    with pytest.raises(InvalidReport, match="no reports were sent"):
        await upsert(service)


async def test_a_rebuild_of_no_reports_is_refused_and_changes_nothing(service, house):
    with pytest.raises(InvalidReport, match="no reports were sent"):
        await upsert(service, rebuild())
    assert set(house.store.contents) == {"reports_1"}


async def test_a_chunk_that_is_too_long_is_refused(service):
    with pytest.raises(InvalidReport, match=f"at most {MAX_CHUNK}"):
        await upsert(service, chunk(*["text"] * (MAX_CHUNK + 1)))


async def test_only_one_stream_writes_at_a_time(service):
    writing = service.UpsertReports(stream(chunk("a"), chunk("b")), None)
    await anext(writing)
    with pytest.raises(Overloaded) as caught:
        await upsert(service, chunk("c"))
    assert caught.value.reason == "INDEX_BUSY"
    assert [response.committed async for response in writing] == [False, False, True]
    assert (await upsert(service, chunk("c")))[-1].committed


async def test_a_writer_that_lost_its_right_changes_nothing_more(service, house, monkeypatch):
    writing = service.UpsertReports(stream(chunk("a"), chunk("b"), chunk("c")), None)
    await anext(writing)
    monkeypatch.setattr(WriteLease, "require", _lost)
    with pytest.raises(Unavailable, match="lost"):
        await anext(writing)
    assert house.store.contents["reports_1"]["n0"][0].text == "a"


def _lost(_: WriteLease) -> None:
    raise Unavailable("lost")


async def test_the_gateway_looks_again_after_a_commit(service, health):
    await upsert(service, chunk("a"))
    assert health.ticks == 1


async def test_deleting_tells_how_many_were_there_and_changes_the_generation(service):
    request = pb.DeleteReportsRequest(report_ids=["old", "never"])
    response = await service.DeleteReports(request, None)
    assert (response.deleted, response.index.generation) == (1, "g1+")
    assert response.index.report_count == 0


async def test_deleting_what_is_not_there_gives_a_new_generation_too(service):
    response = await service.DeleteReports(pb.DeleteReportsRequest(report_ids=["never"]), None)
    assert (response.deleted, response.index.generation) == (0, "g1+")


async def test_a_client_that_goes_away_keeps_others_out_until_its_step_has_ended(service, house):
    embedding, go_on = threading.Event(), threading.Event()
    embed = house.encoder.embed_texts

    def slow(*arguments):
        embedding.set()
        assert go_on.wait(20)
        return embed(*arguments)

    house.encoder.embed_texts = slow
    writing = asyncio.create_task(upsert(service, chunk("a")))
    await asyncio.to_thread(embedding.wait, 20)
    writing.cancel()
    with pytest.raises(Overloaded):
        await upsert(service, chunk("b"))
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert set(house.store.contents["reports_1"]) == {"old", "n0"}
    assert (await upsert(service, chunk("b")))[-1].committed


async def test_the_index_is_described(service):
    index = (await service.GetIndex(pb.GetIndexRequest(), None)).index
    assert (index.name, index.generation, index.model_version) == ("reports_1", "g1", "model-1")
    assert (index.report_count, index.create_time.seconds) == (1, 1)


# Migration to another model.


@pytest.fixture
def beside(house):
    """A second model, served beside the one in force."""
    house.store.fill(Report("r1", "sinus rhythm"), Report("r2", "paced"))
    house.encoder.served = (model_info("model-2"), *house.encoder.served)


async def migrate(service, version: str = "model-2", **options) -> list[pb.MigrateIndexResponse]:
    request = pb.MigrateIndexRequest(model_version=version, **options)
    return [response async for response in service.MigrateIndex(request, None)]


@pytest.mark.usefixtures("beside")
async def test_a_migration_tells_its_progress_and_last_the_new_index(service, house):
    *progress, last = await migrate(service)
    assert [(step.stored, step.total) for step in progress] == [(2, 3), (3, 3), (3, 3)]
    assert not any(step.committed for step in progress)
    assert (last.stored, last.total, last.committed) == (3, 3, True)
    assert (last.index.model_version, last.index.report_count) == ("model-2", 3)
    assert house.store.current().name == last.index.name


@pytest.mark.usefixtures("beside")
async def test_a_shadow_is_made_and_does_not_answer(service, house):
    *_, last = await migrate(service, shadow=True)
    assert last.index.model_version == "model-2"
    assert last.index.report_count == 3
    assert house.store.current().name == "reports_1"


@pytest.mark.usefixtures("beside")
async def test_the_gateway_looks_again_after_a_migration(service, health):
    await migrate(service)
    assert health.ticks == 1


@pytest.mark.usefixtures("beside")
async def test_a_broken_migration_changes_nothing(service, house):
    migrating = service.MigrateIndex(pb.MigrateIndexRequest(model_version="model-2"), None)
    await anext(migrating)
    house.encoder.error = Unavailable("Triton is down")
    with pytest.raises(Unavailable):
        await anext(migrating)
    assert house.store.current().name == "reports_1"
    assert set(house.store.indexes) == {"reports_1"}


@pytest.mark.usefixtures("beside")
async def test_a_client_that_goes_away_leaves_no_unfinished_index(service, house):
    migrating = service.MigrateIndex(pb.MigrateIndexRequest(model_version="model-2"), None)
    await anext(migrating)
    await migrating.aclose()
    assert set(house.store.indexes) == {"reports_1"}
    assert (await migrate(service))[-1].committed


@pytest.mark.usefixtures("beside")
async def test_nobody_else_writes_during_a_migration(service):
    migrating = service.MigrateIndex(pb.MigrateIndexRequest(model_version="model-2"), None)
    await anext(migrating)
    for other in (upsert(service, chunk("c")), migrate(service)):
        with pytest.raises(Overloaded) as caught:
            await other
        assert caught.value.reason == "INDEX_BUSY"
    await migrating.aclose()


async def test_a_migration_to_a_model_that_is_not_served_is_refused(service):
    with pytest.raises(VersionMismatch, match="model-9"):
        await migrate(service, "model-9")


# Cases.


def file(house: House, *cases: Case, index: str = "reports_1", submitted: float = 1.0) -> None:
    writer = CaseWriter(house.encoder, cast(ReportIndex, house.store), house.require)
    writer.put(
        house.store.indexes[index], house.encoder.models()[0], with_text(cases, (), submitted)
    )


def there(house: House, index: str = "reports_1") -> set[str]:
    return set(house.store.cases.rows.get(index, {}))


async def delete_cases(service, *case_ids: str) -> pb.DeleteCasesResponse:
    found: pb.DeleteCasesResponse = await service.DeleteCases(
        pb.DeleteCasesRequest(case_ids=case_ids), None
    )
    return found


async def test_erasing_tells_how_many_cases_were_there_and_the_index(service, house):
    file(house, a_case("1", "a"), a_case("2", "a"), a_case("3", "b"))
    before = house.store.current().generation
    response = await delete_cases(service, "1", "3", "never")
    assert response.deleted == 2
    assert (response.index.case_count, response.index.report_count) == (1, 2)
    assert there(house) == {"2"}
    assert {one.text for one in house.store.reports("reports_1").values()} == {"old infarct", "a"}
    assert response.index.generation == house.store.current().generation != before


async def test_what_was_erased_is_gone_before_its_generation_is(service, house):
    file(house, a_case("1", "a"))
    house.store.calls.clear()
    await delete_cases(service, "1")
    assert house.store.writes == ["delete", "cases.delete", "touch"]


async def test_an_erasure_reaches_every_index(service, house):
    made = await begun(service)
    file(house, a_case("1", "a"), a_case("2", "a"))
    file(house, a_case("1", "a"), a_case("3", "b"), index=made.name)
    assert (await delete_cases(service, "1")).deleted == 1
    assert (there(house), there(house, made.name)) == ({"2"}, {"3"})
    assert {one.text for one in house.store.reports(made.name).values()} == {"b"}


async def test_what_was_erased_is_forgotten_by_the_cache(service, house):
    file(house, a_case("1", "a"))
    house.cache.stored["answer"] = b"names case 1"
    await delete_cases(service, "1")
    assert house.cache.stored == {}


async def test_an_erasure_that_failed_at_the_cache_is_made_good_by_the_next(service, house):
    file(house, a_case("1", "a"))
    house.cache.stored["answer"] = b"names case 1"
    forget = house.cache.forget

    def down(_index: IndexInfo) -> None:
        raise Unavailable("the cache does not answer")

    house.cache.forget = down
    with pytest.raises(Unavailable):
        await delete_cases(service, "1")
    house.cache.forget = forget
    assert (await delete_cases(service, "1")).deleted == 0
    assert house.cache.stored == {}


async def test_more_cases_than_a_call_takes_are_refused(service):
    with pytest.raises(InvalidReport, match=f"at most {MAX_CHUNK}") as caught:
        await delete_cases(service, *["1"] * (MAX_CHUNK + 1))
    assert caught.value.field == "case_ids"


async def test_an_index_of_an_earlier_version_has_no_cases_to_erase(service, house):
    house.store.index = replace(house.store.current(), has_cases=False)
    with pytest.raises(IndexMissing, match="cardex index"):
        await delete_cases(service, "1")


async def test_reports_are_erased_with_their_cases(service, house):
    file(house, a_case("1", "a"), a_case("2", "b"))
    (gone,) = (
        one for one, report in house.store.reports("reports_1").items() if report.text == "a"
    )
    house.store.calls.clear()
    response = await service.DeleteReports(pb.DeleteReportsRequest(report_ids=[gone]), None)
    assert (response.deleted, response.index.case_count) == (1, 1)
    assert there(house) == {"2"}
    assert house.store.writes == ["cases.delete", "delete", "touch"]


# A new index of cases.


async def begun(service) -> pb.IndexInfo:
    response: pb.BeginRebuildResponse = await service.BeginRebuild(pb.BeginRebuildRequest(), None)
    return response.index


async def committed(service, name: str) -> pb.IndexInfo:
    request = pb.CommitRebuildRequest(index=name)
    response: pb.CommitRebuildResponse = await service.CommitRebuild(request, None)
    return response.index


async def test_a_new_index_answers_after_its_commit(service, house, health):
    made = await begun(service)
    assert (made.report_count, made.case_count) == (0, 0)
    assert house.store.current().name == "reports_1"
    file(house, a_case("1", "a"), index=made.name)
    index = await committed(service, made.name)
    assert house.store.current().name == index.name == made.name
    assert (index.report_count, index.case_count) == (1, 1)
    assert health.ticks == 2


async def test_a_new_index_stays_between_its_calls(service, house):
    made = await begun(service)
    assert made.name in house.store.indexes
    assert service._dependencies.held == []


async def test_where_there_is_no_index_an_empty_one_answers_meanwhile(service, house):
    house.store.index = None
    made = await begun(service)
    answering = house.store.current()
    assert answering.name != made.name
    assert house.store.reports(answering.name) == {}
    file(house, a_case("1", "a"), index=made.name)
    await committed(service, made.name)
    assert house.store.current().name == made.name


async def test_what_was_filed_meanwhile_is_in_the_new_index(service, house):
    house.store.cases.now = -2 * CLOCKS_APART_S
    file(house, a_case("before", "a"), submitted=1.5)
    made = await begun(service)
    house.store.cases.now = house.store.named(made.name).created
    file(house, a_case("1", "new in both"), index=made.name, submitted=2.5)
    file(house, a_case("2", "filed meanwhile"), a_case("1", "old"), submitted=2.2)
    await committed(service, made.name)
    assert there(house, made.name) == {"1", "2"}
    texts = {one.text for one in house.store.reports(made.name).values()}
    assert texts == {"new in both", "filed meanwhile"}


async def test_an_index_of_another_model_than_answers_now_is_not_committed(service, house):
    made = await begun(service)
    file(house, a_case("1", "a"), index=made.name)
    house.store.index = replace(house.store.current(), model_version="model-2")
    with pytest.raises(VersionMismatch, match="begin anew"):
        await committed(service, made.name)
    assert house.store.current().name == "reports_1"


async def test_an_index_that_is_empty_is_not_committed(service, house):
    made = await begun(service)
    with pytest.raises(InvalidReport, match="is empty") as caught:
        await committed(service, made.name)
    assert caught.value.field == "index"
    assert house.store.current().name == "reports_1"


async def test_an_index_that_is_gone_is_not_committed(service, house):
    with pytest.raises(IndexMissing):
        await committed(service, "reports_9")
    assert house.store.current().name == "reports_1"


async def test_a_new_index_is_of_the_model_in_force(service, house):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    assert (await begun(service)).model_version == "model-1"


async def test_a_right_that_is_lost_commits_nothing(service, house, monkeypatch):
    made = await begun(service)
    file(house, a_case("1", "a"), index=made.name)
    monkeypatch.setattr(WriteLease, "require", _lost)
    for call in (committed(service, made.name), begun(service), delete_cases(service, "1")):
        with pytest.raises(Unavailable, match="lost"):
            await call
    assert house.store.current().name == "reports_1"
    assert set(house.store.indexes) == {"reports_1", made.name}


# Keys with an archive.


@pytest.fixture
def north(service, monkeypatch):
    principal = Principal("feed", frozenset({Scope.INDEX}), "north")
    monkeypatch.setattr("cardex.gateway.report_index.caller", lambda: principal)


@pytest.mark.usefixtures("north")
async def test_a_key_of_an_archive_erases_its_own_cases_alone(service, house):
    file(house, *(a_case(one, "a") for one in ("1", "2", "north/1", "north/2", "south/1")))
    response = await delete_cases(service, "1", "north/2", "south/1")
    assert response.deleted == 2
    assert there(house) == {"1", "2", "south/1"}


@pytest.mark.usefixtures("north")
async def test_what_would_change_all_archives_is_refused_to_a_key_of_one(service, house):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    for call in (
        upsert(service, chunk("a")),
        migrate(service),
        service.DeleteReports(pb.DeleteReportsRequest(report_ids=["old"]), None),
        begun(service),
        committed(service, "reports_1"),
    ):
        with pytest.raises(PermissionDenied, match="'north'"):
            await call
    assert house.store.writes == []
    assert (await service.GetIndex(pb.GetIndexRequest(), None)).index.name == "reports_1"
