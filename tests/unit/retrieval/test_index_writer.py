import threading
from typing import cast

import pytest

from cardex.domain.errors import (
    IndexMissing,
    InvalidReport,
    Overloaded,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.jobs import Priority
from cardex.domain.reports import Report
from cardex.reports.ptbxl import report_id
from cardex.retrieval import write_lease as module
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.index_writer import IndexWriter
from cardex.retrieval.write_lease import WriteLease
from cardex.stores.answer_cache import AnswerCache
from cardex.stores.report_index import ReportIndex
from tests.helpers.fake_clock import FakeClock
from tests.helpers.fake_lock import FakeLock
from tests.helpers.fake_model import model_info
from tests.helpers.fake_store import FakeStore
from tests.helpers.house import House

REPORT = Report("r1", "sinus rhythm")


@pytest.fixture
def house():
    return House()


def writer_of(house: House, lock: FakeLock | None = None) -> IndexWriter:
    store = cast(ReportIndex, house.store)
    return IndexWriter(
        house.encoder,
        store,
        house.active_index,
        lock or FakeLock([]),
        cast(AnswerCache, house.cache),
    )


def indexer(house: House, *, rebuild: bool) -> IndexWriter:
    made = writer_of(house)
    made.begin()
    made.open(rebuild=rebuild)
    house.store.calls.clear()
    return made


def stored(house: House, index: str = "reports_1") -> dict[str, Report]:
    return house.store.reports(index)


# Into the index in force.


def test_reports_are_stored_with_the_embedding_of_their_text(house):
    merge = indexer(house, rebuild=False)
    merge.add([Report("r1", "sinus  rhythm"), Report("", "old infarct")])
    assert house.encoder.texts == [["sinus rhythm", "old infarct"]]
    assert set(stored(house)) == {"r1", report_id("old infarct")}
    assert merge.stored == 2


def test_among_equal_ids_the_last_report_stays(house):
    merge = indexer(house, rebuild=False)
    merge.add([Report("r1", "first"), Report("r1", "second")])
    assert stored(house)["r1"].text == "second"
    assert merge.stored == 1


def test_nothing_of_a_chunk_with_a_bad_report_is_stored(house):
    merge = indexer(house, rebuild=False)
    with pytest.raises(InvalidReport):
        merge.add([REPORT, Report("r2", "")])
    assert stored(house) == {}
    assert merge.stored == 0


def test_an_empty_chunk_changes_nothing(house):
    merge = indexer(house, rebuild=False)
    merge.add([])
    assert house.store.calls == []


def test_the_generation_changes_after_the_contents_have(house):
    merge = indexer(house, rebuild=False)
    merge.add([REPORT])
    assert house.store.calls == ["upsert", "touch"]


def test_the_generation_stays_where_the_contents_could_not_be_stored(house):
    merge = indexer(house, rebuild=False)
    house.store.error = Unavailable("Milvus is down")
    with pytest.raises(Unavailable):
        merge.add([REPORT])
    assert house.store.calls == ["upsert"]


def test_a_commit_returns_the_index_as_it_is_now(house):
    merge = indexer(house, rebuild=False)
    merge.add([REPORT])
    index = merge.commit()
    assert (index.name, index.generation) == ("reports_1", "g1+")
    assert "switch" not in house.store.calls


def test_the_index_in_force_is_never_dropped(house):
    merge = indexer(house, rebuild=False)
    merge.end()
    assert house.store.calls == []


def test_an_index_of_another_model_takes_no_reports(house):
    house.store.index = FakeStore("model-0").index
    with pytest.raises(VersionMismatch):
        indexer(house, rebuild=False)


def test_without_an_index_there_is_nothing_to_merge_into(house):
    house.store.index = None
    with pytest.raises(IndexMissing):
        indexer(house, rebuild=False)


# Into a new index.


def test_a_rebuild_answers_only_after_its_commit(house):
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    assert house.store.current().name == "reports_1"
    rebuild.commit()
    assert house.store.current().name == "reports_2"
    assert set(stored(house, "reports_2")) == {"r1"}


def test_a_rebuild_leaves_the_generation_of_the_old_index_alone(house):
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    rebuild.commit()
    assert "touch" not in house.store.calls


@pytest.mark.parametrize("index", [None, FakeStore("model-0").index], ids=["none", "model-0"])
def test_a_rebuild_takes_the_newest_model_where_the_index_has_none_that_is_served(house, index):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    house.store.index = index
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    assert rebuild.commit().model_version == "model-2"
    assert house.encoder.asked == ["model-2"]


def test_a_rebuild_keeps_the_model_in_force_beside_a_newer_one(house):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    assert rebuild.commit().model_version == "model-1"
    assert house.encoder.asked == ["model-1"]


def test_a_rebuild_of_an_index_that_cannot_be_searched_keeps_its_model(house):
    def unsearchable():
        raise IndexMissing("the report index is of another version of Cardex")

    house.encoder.served = (model_info("tried-out"), *house.encoder.served)
    house.store.model_in_force = lambda: "model-1"
    house.store.current = unsearchable
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    assert rebuild.commit().model_version == "model-1"


def test_a_merge_is_embedded_by_the_model_of_the_index(house):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    indexer(house, rebuild=False).add([REPORT])
    assert house.encoder.asked == ["model-1"]


def test_reports_give_way_to_ecgs(house):
    indexer(house, rebuild=False).add([REPORT])
    assert house.encoder.priorities == [Priority.ROUTINE]


def test_a_rebuild_without_reports_is_refused_and_dropped(house):
    rebuild = indexer(house, rebuild=True)
    with pytest.raises(InvalidReport, match="the index stays as it is"):
        rebuild.commit()
    rebuild.end()
    assert house.store.calls == ["drop"]
    assert house.store.current().name == "reports_1"


def test_an_abandoned_rebuild_is_dropped(house):
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    rebuild.end()
    assert "reports_2" not in house.store.contents


@pytest.mark.parametrize("rebuild", [True, False])
def test_a_commit_is_seen_by_the_snapshot_in_force(rebuild):
    house = House()
    active = house.active_index = ActiveIndex(house.encoder, house.store)
    active.refresh()
    made = indexer(house, rebuild=rebuild)
    made.add([REPORT])
    before = active.current().index
    index = made.commit()
    assert active.current().index == index != before


# Deletions.


def test_a_deletion_gives_a_new_generation_after_the_reports_are_gone(house):
    indexer(house, rebuild=False).add([REPORT])
    house.store.calls.clear()
    deleted, index = indexer(house, rebuild=False).delete(["r1", "r2"])
    assert (deleted, stored(house)) == (1, {})
    assert index.generation == "g1++"
    assert [call for call in house.store.calls if call in ("delete", "touch")] == [
        "delete",
        "touch",
    ]


def test_a_deletion_that_failed_before_its_generation_gets_one_when_it_is_repeated(house):
    indexer(house, rebuild=False).add([REPORT])
    touch, house.store.touch = house.store.touch, fail
    with pytest.raises(Unavailable):
        indexer(house, rebuild=False).delete(["r1"])
    house.store.touch = touch
    deleted, index = indexer(house, rebuild=False).delete(["r1"])
    assert (deleted, index.generation) == (0, "g1++")


def fail(*_):
    raise Unavailable("Milvus is down")


# The right to write.


def losing(house: House, monkeypatch, *, rebuild: bool) -> IndexWriter:
    """Return a writer whose lock another takes while the models embed, the slow step of a chunk."""
    lock = FakeLock([])
    writer = writer_of(house, lock)
    writer.begin()
    writer.open(rebuild=rebuild)
    embed = house.encoder.embed_texts

    def embed_texts(*arguments):
        lock.held.clear()
        writer._lease.renew()
        return embed(*arguments)

    monkeypatch.setattr(house.encoder, "embed_texts", embed_texts)
    return writer


@pytest.mark.parametrize("rebuild", [True, False])
def test_a_chunk_is_not_stored_where_the_right_was_lost_while_it_was_embedded(
    house, monkeypatch, rebuild
):
    writer = losing(house, monkeypatch, rebuild=rebuild)
    with pytest.raises(Unavailable, match="send the reports again"):
        writer.add([REPORT])
    assert not any(house.store.contents.values())


def test_a_rebuild_is_not_committed_where_the_right_was_lost(house):
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    rebuild._lease._until = 0.0
    with pytest.raises(Unavailable):
        rebuild.commit()
    assert house.store.current().name == "reports_1"
    rebuild.end()
    assert "reports_2" not in house.store.contents


def test_nothing_is_deleted_where_the_right_was_lost(house):
    merge = indexer(house, rebuild=False)
    merge.add([REPORT])
    merge._lease._until = 0.0
    with pytest.raises(Unavailable):
        merge.delete(["r1"])
    assert set(stored(house)) == {"r1"}


def test_a_migration_runs_under_the_same_right(house):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    writer = indexer(house, rebuild=False)
    writer.add([REPORT])
    writer._lease._until = 0.0
    with pytest.raises(Unavailable):
        list(writer.migrate("model-2", shadow=False))
    assert house.store.current().name == "reports_1"


def test_an_unfinished_migration_is_dropped_at_the_end(house):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    writer = indexer(house, rebuild=False)
    writer.add([REPORT])
    steps = writer.migrate("model-2", shadow=False)
    made = next(steps).index
    writer.end()
    assert made.name not in house.store.indexes


def test_one_writes_at_a_time(house):
    held: list[FakeLock] = []
    with writer_of(house, FakeLock(held)):
        with pytest.raises(Overloaded, match="try again in 15 s") as caught:
            writer_of(house, FakeLock(held)).begin()
        assert caught.value.reason == "INDEX_BUSY"
    with writer_of(house, FakeLock(held)):
        pass
    assert held == []


def test_one_that_was_refused_lets_nothing_go(house):
    held: list[FakeLock] = []
    with writer_of(house, FakeLock(held)):
        refused = writer_of(house, FakeLock(held))
        with pytest.raises(Overloaded):
            refused.begin()
        refused.end()
        assert len(held) == 1


def test_a_new_index_that_cannot_be_dropped_lets_go_all_the_same(house, caplog):
    lock = FakeLock([])
    rebuild = writer_of(house, lock)
    rebuild.begin()
    rebuild.open(rebuild=True)
    house.store.drop = fail
    rebuild.end()
    assert lock.held == []
    assert "an unfinished index stays" in caplog.text


@pytest.fixture
def clock(monkeypatch):
    return FakeClock.installed(monkeypatch, module)


def test_the_lease_counts_from_before_it_was_taken(clock):
    class Slow(FakeLock):
        def take(self) -> bool:
            clock.now += 10.0
            return super().take()

    lease = WriteLease(Slow([], 15.0))
    lease.take()
    clock.now += 4.9
    lease.require()
    clock.now += 0.2
    refused(lease)


def test_a_renewed_lease_lasts_from_then_on(clock):
    lease = taken(FakeLock([]))
    clock.now += 14.0
    lease.renew()
    clock.now += 14.0
    lease.require()
    clock.now += 1.0
    refused(lease)


def test_a_lease_that_is_another_s_ends_at_once():
    lock = FakeLock([])
    lease = taken(lock)
    lock.held.clear()
    lease.renew()
    refused(lease)


def test_a_state_store_that_is_away_is_borne_until_the_lease_ends(clock):
    lock = FakeLock([])
    lease = taken(lock)
    lock.error = Unavailable("the state store does not answer")
    clock.now += 14.0
    lease.renew()
    lease.require()
    clock.now += 1.0
    refused(lease)
    lock.error = None
    lease.renew()
    lease.require()


def test_it_is_renewed_while_it_is_held_and_no_longer():
    renewed = threading.Event()

    class Lock(FakeLock):
        def renew(self) -> bool:
            if self.renewals == 2:
                renewed.set()
            return super().renew()

    lock = Lock([], 0.03)
    lease = taken(lock)
    assert renewed.wait(20)
    lease.release()
    assert not lease._renewing.is_alive()
    assert lock.held == []


def taken(lock: FakeLock) -> WriteLease:
    lease = WriteLease(lock)
    lease.take()
    return lease


def refused(lease: WriteLease) -> None:
    with pytest.raises(Unavailable, match="send the reports again") as caught:
        lease.require()
    assert caught.value.reason == "INDEX_BUSY"
