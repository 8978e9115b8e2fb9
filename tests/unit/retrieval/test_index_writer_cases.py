"""What becomes of cases where an index is built anew, and where they are erased."""

from dataclasses import replace
from typing import cast

import pytest

from cardex.domain.errors import IndexMissing
from cardex.domain.index import IndexInfo
from cardex.retrieval.index_writer import CLOCKS_APART_S, IndexWriter
from cardex.stores.answer_cache import AnswerCache
from cardex.stores.report_index import ReportIndex
from tests.helpers.cases import a_case, row_of
from tests.helpers.fake_lock import FakeLock
from tests.helpers.house import House


@pytest.fixture
def house():
    return House(has_cases=True)


@pytest.fixture
def writer(house):
    made = IndexWriter(
        house.encoder,
        cast(ReportIndex, house.store),
        house.active_index,
        FakeLock([]),
        cast(AnswerCache, house.cache),
    )
    made.begin()
    return made


def file(house: House, writer: IndexWriter, index: IndexInfo, *case_ids: str, at: float) -> None:
    """File cases at a time; they were sent long before."""
    house.store.cases.now = at
    cases = [a_case(one, f"report {one}") for one in case_ids]
    rows = [(case, row_of(case, submitted=1.0)) for case in cases]
    writer._cases().put(index, house.encoder.models()[0], rows)


def filed(house: House, index: IndexInfo) -> set[str]:
    return set(house.store.cases.of(index))


def test_a_new_index_gets_what_was_filed_in_the_old_one_meanwhile_whenever_it_was_sent(
    house, writer
):
    old = house.store.current()
    new = writer.begin_rebuild()
    file(house, writer, old, "long ago", at=new.created - 10 * CLOCKS_APART_S)
    file(house, writer, old, "by a clock that is late", at=new.created - CLOCKS_APART_S / 2)
    file(house, writer, old, "meanwhile", at=new.created + 5.0)
    file(house, writer, new, "own", at=new.created + 9.0)
    answering = writer.commit_rebuild(new.name)
    assert filed(house, answering) == {"by a clock that is late", "meanwhile", "own"}
    texts = {report.text for report in house.store.reports(answering.name).values()}
    assert "report meanwhile" in texts


# Erasing.


def test_a_case_is_erased_from_one_that_is_filled_while_one_without_cases_answers(house, writer):
    new = writer.begin_rebuild()
    file(house, writer, new, "1", "2", at=1.0)
    house.store.index = replace(house.store.current(), has_cases=False)
    assert writer.delete_cases(["1"])[0] == 1
    assert filed(house, new) == {"2"}


def test_where_no_index_has_cases_that_is_said(house, writer):
    house.store.index = replace(house.store.current(), has_cases=False)
    with pytest.raises(IndexMissing, match="cardex index"):
        writer.delete_cases(["1"])


def test_whoever_erases_nothing_changes_nothing(house, writer):
    """So a key cannot have everybody's answers forgotten by naming no case of its own."""
    house.cache.stored["an answer"] = b"kept"
    before = house.store.current()
    assert writer.delete_cases([]) == (0, before)
    assert house.cache.stored
