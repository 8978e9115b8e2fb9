from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardex.domain.cases import Case
from cardex.domain.errors import Unavailable
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Priority
from cardex.domain.reports import Report, Statement
from cardex.reports.ptbxl import report_id
from cardex.reports.records import with_case
from cardex.retrieval.case_writer import CaseWriter
from cardex.stores.report_index import ReportIndex
from tests.helpers.cases import a_case, vectors, with_text
from tests.helpers.embeddings import text_vector
from tests.helpers.house import House


@pytest.fixture
def house():
    return House(has_cases=True)


TIMES = count(1)


def put(
    house: House,
    *cases: Case,
    require: Callable[[], None] = lambda: None,
    submitted: float | None = None,
) -> IndexInfo:
    """Put cases, each time those that were sent later where nothing else is said."""
    writer = CaseWriter(house.encoder, cast(ReportIndex, house.store), require)
    index = house.store.current()
    embeddings = list(vectors(len(cases)))
    at = float(next(TIMES)) if submitted is None else submitted
    return writer.put(index, house.encoder.models()[0], with_text(cases, embeddings, at))


def remove(house: House, *case_ids: str, require: Callable[[], None] = lambda: None) -> int:
    writer = CaseWriter(house.encoder, cast(ReportIndex, house.store), require)
    return writer.remove(house.store.current(), case_ids)


def reports(house: House) -> dict[str, Report]:
    return {one.text: one for one in house.store.reports("reports_1").values()}


def cases(house: House) -> dict[str, str]:
    """Return the report of each case."""
    there = house.store.cases.of(house.store.current())
    return {case_id: row.filed.report_id for case_id, row in there.items()}


def recorded(house: House) -> dict[str, tuple[set[str], int, dict[str, float]]]:
    """Return records, count and supports of each report."""
    return {
        text: (
            set(one.record_ids),
            one.record_count,
            {s.code: round(s.support, 6) for s in one.statements},
        )
        for text, one in reports(house).items()
    }


def stating(case_id: str, text: str, *codes: str) -> Case:
    return a_case(case_id, text, statements=tuple(Statement(code) for code in codes))


# Cases that come.


def test_a_case_and_its_report_are_stored(house):
    put(house, stating("1", "old infarct", "IMI"))
    assert cases(house) == {"1": report_id("old infarct")}
    report, vector = house.store.contents["reports_1"][report_id("old infarct")]
    assert (report.record_ids, report.record_count) == (("1",), 1)
    assert report.statements == (Statement("IMI"),)
    np.testing.assert_array_equal(vector, text_vector("old infarct"))


def test_a_report_of_many_is_embedded_once_and_gives_way_to_ecgs(house):
    put(house, a_case("1", "a"), a_case("2", "b"), a_case("3", "a"))
    put(house, a_case("4", "a"), a_case("5", "c"))
    assert sorted(text for texts in house.encoder.texts for text in texts) == ["a", "b", "c"]
    assert set(house.encoder.priorities) == {Priority.ROUTINE}
    assert recorded(house)["a"] == ({"1", "3", "4"}, 3, {})


def test_of_equal_ids_the_last_stays(house):
    put(house, a_case("1", "first"), a_case("2", "other"), a_case("1", "last"))
    assert cases(house) == {"1": report_id("last"), "2": report_id("other")}
    assert recorded(house) == {"last": ({"1"}, 1, {}), "other": ({"2"}, 1, {})}


def test_the_same_case_again_is_counted_once(house):
    for _ in range(3):
        put(house, stating("1", "a", "SR"), stating("2", "a"))
    assert recorded(house) == {"a": ({"1", "2"}, 2, {"SR": 0.5})}


def test_a_case_whose_statements_changed_counts_with_the_new_ones(house):
    put(house, stating("1", "a", "SR"), stating("2", "a", "SR"))
    put(house, stating("1", "a", "IMI"))
    assert recorded(house) == {"a": ({"1", "2"}, 2, {"SR": 0.5, "IMI": 0.5})}


def test_a_case_that_moves_to_another_text_leaves_its_old_report(house):
    put(house, stating("1", "a", "SR"), stating("2", "a", "IMI"))
    put(house, stating("1", "b", "SR"))
    assert recorded(house) == {"a": ({"2"}, 1, {"IMI": 1.0}), "b": ({"1"}, 1, {"SR": 1.0})}
    assert cases(house) == {"1": report_id("b"), "2": report_id("a")}


def test_a_report_that_loses_its_last_record_is_deleted(house):
    put(house, a_case("1", "a"))
    put(house, a_case("1", "b"))
    assert recorded(house) == {"b": ({"1"}, 1, {})}


def test_cases_that_change_places_keep_both_reports(house):
    put(house, stating("1", "a", "SR"), stating("2", "b", "IMI"))
    put(house, stating("1", "b", "SR"), stating("2", "a", "IMI"))
    assert recorded(house) == {"a": ({"2"}, 1, {"IMI": 1.0}), "b": ({"1"}, 1, {"SR": 1.0})}


def test_records_that_came_without_cases_stay_counted(house):
    house.store.fill(Report(report_id("a"), "a", record_ids=("x", "y"), record_count=2))
    put(house, a_case("1", "a"))
    remove(house, "1")
    assert recorded(house) == {"a": ({"x", "y"}, 2, {})}


def test_a_case_of_a_report_whose_names_are_cut_is_counted_once(house):
    put(house, a_case("1", "a"))
    common = replace(reports(house)["a"], record_ids=(), record_count=5000)
    house.store.fill(common)
    put(house, a_case("1", "a"))
    assert reports(house)["a"].record_count == 5000
    put(house, a_case("1", "a", age=50))
    assert reports(house)["a"].record_count == 5000
    put(house, stating("1", "a", "SR"))
    assert reports(house)["a"].record_count == 5000


# Cases that were sent before.


def test_a_case_that_was_sent_later_stays(house):
    put(house, stating("1", "later", "SR"), submitted=5.0)
    house.store.calls.clear()
    put(house, stating("1", "earlier", "IMI"), a_case("2", "other"), submitted=4.0)
    assert cases(house) == {"1": report_id("later"), "2": report_id("other")}
    assert recorded(house) == {"later": ({"1"}, 1, {"SR": 1.0}), "other": ({"2"}, 1, {})}


def test_the_same_writing_again_changes_nothing_and_makes_whole_what_is_a_part(house):
    put(house, stating("1", "a", "SR"), a_case("2", "a"), submitted=5.0)
    before = (recorded(house), cases(house))
    house.store.contents["reports_1"].clear()
    put(house, stating("1", "a", "SR"), a_case("2", "a"), submitted=5.0)
    assert (recorded(house), cases(house)) == before


# Order of the writes.


def test_reports_are_written_before_cases_and_the_generation_changes_last(house):
    put(house, a_case("1", "a"))
    assert house.store.writes == ["upsert", "cases.upsert", "touch"]
    house.store.calls.clear()
    put(house, a_case("1", "b"))
    assert house.store.writes == ["delete", "cases.delete", "upsert", "cases.upsert", "touch"]


def test_the_new_generation_is_returned(house):
    before = house.store.current()
    index = put(house, a_case("1", "a"))
    assert index == house.store.current()
    assert index.generation != before.generation


class Lease:
    """The right to write: notes what was written before each look, and can be lost after some."""

    def __init__(self, house: House, looks: int = 1000) -> None:
        self.house, self.left = house, looks
        self.written: list[int] = []

    def require(self) -> None:
        self.written.append(len(self.house.store.writes))
        self.left -= 1
        if self.left < 0:
            raise Unavailable("another may write", reason="INDEX_BUSY")


def test_the_right_to_write_is_looked_at_before_each_write(house):
    put(house, a_case("1", "a"), a_case("2", "b"))
    for write in (
        lambda lease: put(house, a_case("1", "c"), require=lease.require),
        lambda lease: remove(house, "1", require=lease.require),
    ):
        house.store.calls.clear()
        lease = Lease(house)
        write(lease)
        assert lease.written == list(range(len(house.store.writes)))


@pytest.mark.parametrize("looks", range(5))
def test_a_right_to_write_that_is_lost_stops_the_writing(house, looks):
    put(house, a_case("1", "a"), a_case("2", "b"))
    house.store.calls.clear()
    with pytest.raises(Unavailable, match="another may write"):
        put(house, a_case("1", "c"), require=Lease(house, looks).require)
    assert len(house.store.writes) == looks


@pytest.mark.parametrize("looks", range(2))
def test_a_right_to_write_that_is_lost_stops_the_erasing(house, looks):
    put(house, a_case("1", "a"))
    house.store.calls.clear()
    with pytest.raises(Unavailable):
        remove(house, "1", require=Lease(house, looks).require)
    assert len(house.store.writes) == looks


# Cases that go.


def test_what_goes_takes_its_report_along_where_no_other_bears_it(house):
    put(house, stating("1", "a", "SR"), stating("2", "a", "IMI"), a_case("3", "b"))
    assert remove(house, "1", "3", "never") == 2
    assert recorded(house) == {"a": ({"2"}, 1, {"IMI": 1.0})}
    assert cases(house) == {"2": report_id("a")}


def test_erasing_embeds_nothing(house):
    put(house, a_case("1", "a"), a_case("2", "a"))
    house.encoder.texts.clear()
    remove(house, "1")
    assert house.encoder.texts == []


def test_what_is_not_there_is_not_erased(house):
    put(house, a_case("1", "a"))
    house.store.calls.clear()
    assert remove(house, "never") == 0
    assert recorded(house) == {"a": ({"1"}, 1, {})}


def test_all_cases_of_reports_are_erased(house):
    house.store.cases.most = 2  # so that several answers are needed
    put(house, *(a_case(str(n), "a") for n in range(5)), a_case("6", "b"))
    writer = CaseWriter(house.encoder, cast(ReportIndex, house.store), house.require)
    writer.remove_of(house.store.current(), [report_id("a")])
    assert cases(house) == {"6": report_id("b")}
    house.lost = True
    with pytest.raises(Unavailable):
        writer.remove_of(house.store.current(), [report_id("b")])
    assert cases(house) == {"6": report_id("b")}
    writer.remove_of(house.store.current(), [])


# The same call again after one that was cut off.

TEXTS = "ab"
CASES = st.builds(
    stating,
    st.sampled_from("123"),
    st.sampled_from(TEXTS),
    st.sampled_from(["SR", "IMI", "AFIB"]),
)


def expected(last: Sequence[Case]) -> dict[str, tuple[set[str], int, dict[str, float]]]:
    made: dict[str, Report] = {}
    for case in last:
        made[case.text] = with_case(made.get(case.text), case)
    return {
        text: (
            set(one.record_ids),
            one.record_count,
            {s.code: round(s.support, 6) for s in one.statements},
        )
        for text, one in made.items()
    }


@given(
    st.lists(st.lists(CASES, min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.integers(0, 6), min_size=4, max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_a_put_that_was_cut_off_and_is_repeated_puts_all_right(puts, cuts):
    house, last = House(has_cases=True), dict[str, Case]()
    for some, looks in zip(puts, cuts, strict=False):
        at = float(next(TIMES))
        try:
            put(house, *some, require=Lease(house, looks).require, submitted=at)
        except Unavailable:
            put(house, *some, submitted=at)
        last |= {case.case_id: case for case in some}
        assert recorded(house) == expected(list(last.values()))
        assert cases(house) == {one: report_id(case.text) for one, case in last.items()}


@given(st.lists(CASES, min_size=1, max_size=6), st.sets(st.sampled_from("123")), st.integers(0, 2))
@settings(max_examples=200, deadline=None)
def test_an_erasure_that_was_cut_off_and_is_repeated_puts_all_right(there, gone, looks):
    house = House(has_cases=True)
    put(house, *there)
    try:
        remove(house, *gone, require=Lease(house, looks).require)
    except Unavailable:
        remove(house, *gone)
    last = {case.case_id: case for case in there if case.case_id not in gone}
    assert recorded(house) == expected(list(last.values()))
    assert set(cases(house)) == set(last)
