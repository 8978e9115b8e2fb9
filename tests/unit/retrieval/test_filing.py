from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from cardex.domain.cases import MAX_DEVICE, Case, FiledCase, Filing
from cardex.domain.ecg import RecordingMetadata
from cardex.domain.errors import (
    CardexError,
    IndexMissing,
    InvalidReport,
    Overloaded,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.trace import Trace
from cardex.reports.records import report_of_case
from cardex.retrieval import filing as module
from cardex.retrieval.active_index import ServingSnapshot
from cardex.retrieval.filing import PATIENCE_S, CaseFiler, EmbeddedCase
from cardex.retrieval.write_lease import WriteLease
from cardex.stores.report_index import ReportIndex
from tests.helpers.cases import a_case, vectors
from tests.helpers.fake_clock import FakeClock
from tests.helpers.fake_lock import FakeLock
from tests.helpers.fake_model import model_info
from tests.helpers.fake_store import FakeStore
from tests.helpers.house import House

TRACE = Trace(250.0, 0.005, 10, b"packed")


class World:
    """A filer with a lock that others may hold."""

    def __init__(self) -> None:
        self.house = House(has_cases=True)
        self.held: list[FakeLock] = []
        self.snapshot = ServingSnapshot(model_info(), self.house.store.current())
        self.filer = CaseFiler(
            self.house.encoder,
            cast(ReportIndex, self.house.store),
            lambda: FakeLock(self.held),
        )
        self.house.store.calls.clear()

    @property
    def store(self) -> FakeStore:
        return self.house.store

    def file(self, *wanted: EmbeddedCase) -> list[CardexError | None]:
        return self.filer.file(self.snapshot, wanted)

    def filed(self, name: str = "reports_1") -> dict[str, FiledCase]:
        there = self.store.cases.rows.get(name, {})
        return {case_id: row.filed for case_id, row in there.items()}


@pytest.fixture
def world():
    return World()


@pytest.fixture
def clock(monkeypatch):
    return FakeClock.installed(monkeypatch, module)


SENT = 1_000.0
"""When the cases were sent, in Unix seconds."""


def wanted(
    case: Case | None = None, index: str = "", device: str = "", recorded_at: str = ""
) -> EmbeddedCase:
    return EmbeddedCase(
        Filing(case or a_case("1"), index),
        vectors(1)[0],
        TRACE,
        SENT,
        RecordingMetadata(device=device, recorded_at=recorded_at),
    )


def test_a_case_is_filed_with_its_ecg_and_without_its_text(world):
    case = a_case("1", "old infarct", age=50, device="AT-6", month="2026-11")
    assert world.file(wanted(case)) == [None]
    row = world.store.cases.rows["reports_1"]["1"]
    assert row.filed == FiledCase(replace(case, text="", has_ecg=True), report_of_case(case), SENT)
    np.testing.assert_array_equal(row.embedding, vectors(1)[0])
    assert row.trace == TRACE
    assert world.store.reports("reports_1")[report_of_case(case)].text == "old infarct"


def test_a_case_without_an_ecg_is_filed_for_its_report(world):
    case = replace(a_case("1", "old infarct"), has_ecg=True)
    assert world.file(EmbeddedCase(Filing(case), None, None, SENT)) == [None]
    row = world.store.cases.rows["reports_1"]["1"]
    assert (row.filed.case.has_ecg, row.embedding, row.trace) == (False, None, None)


def test_what_the_file_says_fills_what_the_filing_leaves_empty(world):
    world.file(wanted(device="x" * 100, recorded_at="1984-11-09T09:17:34"))
    case = world.filed()["1"].case
    assert (case.device, case.month) == ("x" * MAX_DEVICE, "1984-11")


def test_what_the_filing_says_stays(world):
    world.file(
        wanted(a_case("1", device="own", month="2020-01"), device="file", recorded_at="1984-11")
    )
    case = world.filed()["1"].case
    assert (case.device, case.month) == ("own", "2020-01")


@pytest.mark.parametrize(
    "recorded_at", ["", "84-11-09", "1899-12-31", "2100-01-01", "2026", "0000-00-00", "yesterday"]
)
def test_a_time_that_cannot_be_tells_no_month(world, recorded_at):
    world.file(wanted(recorded_at=recorded_at))
    assert world.filed()["1"].case.month == ""


def test_a_case_is_filed_as_of_when_it_was_sent(world):
    world.file(replace(wanted(), submitted=1_700_000_000.5))
    assert world.filed()["1"].submitted == 1_700_000_000.5
    world.file(replace(wanted(a_case("1", "earlier")), submitted=1_600_000_000.0))
    assert world.filed()["1"].submitted == 1_700_000_000.5


def test_a_batch_is_written_at_once(world):
    assert world.file(*(wanted(a_case(str(n))) for n in range(5))) == [None] * 5
    assert world.store.writes == ["upsert", "cases.upsert", "touch"]


def test_a_case_that_can_never_be_filed_harms_no_other(world, monkeypatch):
    upsert = world.store.upsert

    def refuse(index, reports, embeddings):
        if any(report.text == "too large" for report in reports):
            raise InvalidReport("too large", field="reports")
        upsert(index, reports, embeddings)

    monkeypatch.setattr(world.store, "upsert", refuse)
    cases = [a_case("1", "fine"), a_case("2", "too large"), a_case("3", "good")]
    outcomes = world.file(*map(wanted, cases))
    assert [type(one) for one in outcomes] == [type(None), InvalidReport, type(None)]
    assert set(world.filed()) == {"1", "3"}


def test_a_case_whose_job_was_cancelled_meanwhile_is_not_filed(world):
    """It is asked under the right to write, so that whoever erases it afterwards comes last."""
    asked = []

    def held() -> bool:
        asked.append(len(world.held))
        return False

    world.file(wanted(a_case("1")), replace(wanted(a_case("2")), held=held))
    assert set(world.filed()) == {"1"}
    assert asked == [1]


# Which index.


def test_an_index_that_comes_into_force_while_another_writes_is_the_one(world, clock, monkeypatch):
    other, sleep = FakeLock(world.held), clock.sleep
    other.take()

    def switches(seconds: float) -> None:
        sleep(seconds)
        world.store.index = world.store.create("model-1", 8)
        other.release()

    monkeypatch.setattr(clock, "sleep", switches)
    assert world.file(wanted()) == [None]
    assert set(world.filed(world.store.current().name)) == {"1"}
    assert world.filed("reports_1") == {}


def test_cases_go_to_the_index_that_they_name(world):
    made = world.store.create("model-1", 8)
    outcomes = world.file(wanted(a_case("1")), wanted(a_case("2"), made.name), wanted(a_case("3")))
    assert outcomes == [None] * 3
    assert set(world.filed()) == {"1", "3"}
    assert set(world.filed(made.name)) == {"2"}


def test_an_index_that_is_not_there_is_the_error_of_those_that_name_it(world):
    outcomes = world.file(wanted(a_case("1")), wanted(a_case("2"), "gone"), wanted(a_case("3")))
    assert [type(one) for one in outcomes] == [type(None), IndexMissing, type(None)]
    assert set(world.filed()) == {"1", "3"}


def test_an_index_of_an_earlier_version_takes_no_cases(world):
    world.store.index = replace(world.store.current(), has_cases=False)
    (error,) = world.file(wanted())
    assert isinstance(error, IndexMissing)
    assert "cardex index" in error.message
    assert world.store.writes == []


def test_a_named_index_of_another_model_has_to_be_begun_anew(world):
    other = world.store.create("model-2", 8)
    (error,) = world.file(wanted(index=other.name))
    assert isinstance(error, IndexMissing)
    assert error.field == "file_as.index"
    assert world.filed(other.name) == {}


def test_where_another_model_answers_by_now_the_jobs_go_back(world):
    world.store.index = replace(world.store.current(), model_version="model-2")
    with pytest.raises(VersionMismatch):
        world.file(wanted())
    assert world.store.writes == []


# The right to write.


def test_the_right_to_write_is_let_go(world):
    world.file(wanted())
    assert world.held == []
    world.house.encoder.error = Unavailable("Triton is down")
    with pytest.raises(Unavailable, match="Triton"):
        world.file(wanted(a_case("2", "another")))
    assert world.held == []


def test_another_that_writes_is_waited_for_a_little(world, clock, monkeypatch):
    other = FakeLock(world.held)
    other.take()
    sleep = clock.sleep

    def ends(seconds: float) -> None:
        sleep(seconds)
        if clock.now >= 100.0 + PATIENCE_S / 2:
            other.release()

    monkeypatch.setattr(clock, "sleep", ends)
    assert world.file(wanted()) == [None]
    assert clock.now < 100.0 + PATIENCE_S


def test_another_that_writes_on_is_not_waited_for_any_longer(world, clock):
    other = FakeLock(world.held)
    other.take()
    with pytest.raises(Overloaded) as caught:
        world.file(wanted())
    assert caught.value.reason == "INDEX_BUSY"
    assert PATIENCE_S <= clock.now - 100.0 < 2 * PATIENCE_S
    assert world.held == [other]
    assert world.store.writes == []


def test_a_right_that_is_lost_stops_the_writing(world, monkeypatch):
    def lost(_: WriteLease) -> None:
        raise Unavailable("lost")

    monkeypatch.setattr(WriteLease, "require", lost)
    with pytest.raises(Unavailable, match="lost"):
        world.file(wanted())
    assert world.store.writes == []
