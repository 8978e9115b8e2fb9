from dataclasses import replace

import pytest

from cardex.api.convert.jobs import decode_answer
from cardex.api.pb.v1 import job_pb2
from cardex.domain.cases import Filing
from cardex.domain.errors import CaseNotFound, IndexMissing, InvalidEcg, Overloaded
from cardex.domain.jobs import EncodedAnswer, Priority
from cardex.retrieval.pipeline import QueryItem
from tests.helpers.cases import a_case
from tests.helpers.house import House
from tests.helpers.retrieval import REPORTS, asked, at_fault


@pytest.fixture
def archive():
    return House(*REPORTS, has_cases=True)


def filing(seed: int, *, only: bool = False, index: str = "") -> QueryItem:
    case = a_case(f"c{seed}", "old infarct")
    return replace(asked(seed), filing=Filing(case, index, only=only), submitted=float(seed + 1))


def outcomes(house, *batch: QueryItem):
    return house.retriever.by_ecg(batch, Priority.ROUTINE)


def told(outcome) -> job_pb2.Answer:
    assert isinstance(outcome, EncodedAnswer)
    return decode_answer(outcome.message)


def test_an_ecg_is_answered_and_filed_with_its_trace(archive):
    (answered,) = map(told, outcomes(archive, filing(1)))
    assert answered.case_id == "c1"
    assert len(answered.hits) == 3
    assert answered.stages[-1].stage == "file"
    row = archive.store.cases.rows["reports_1"]["c1"]
    assert row.filed.submitted == 2.0
    assert row.trace is not None
    assert row.trace.samples == 2500
    assert row.filed.case.has_ecg


def test_an_ecg_that_is_only_filed_is_not_searched_for(archive):
    (answered,) = map(told, outcomes(archive, filing(1, only=True)))
    assert (answered.case_id, len(answered.hits)) == ("c1", 0)
    assert "search" not in archive.store.calls
    assert archive.cache.stored == {}


def test_a_case_without_an_ecg_is_filed_beside_others_that_have_one(archive):
    without = replace(filing(2, only=True), ecg=None)
    first, second = map(told, outcomes(archive, filing(1), without))
    assert (first.case_id, second.case_id) == ("c1", "c2")
    rows = archive.store.cases.rows["reports_1"]
    assert (rows["c2"].embedding, rows["c2"].trace) == (None, None)


def test_a_known_answer_does_not_keep_an_ecg_from_being_filed(archive):
    (before,) = map(told, outcomes(archive, asked(1)))
    (answered,) = map(told, outcomes(archive, filing(1)))
    assert (before.case_id, answered.case_id) == ("", "c1")
    assert "c1" in archive.store.cases.rows["reports_1"]


def test_no_answer_of_the_cache_names_a_case_that_was_filed(archive):
    outcomes(archive, filing(1))
    assert archive.cache.stored
    assert all(decode_answer(kept).case_id == "" for kept in archive.cache.stored.values())


def test_an_ecg_at_fault_is_not_filed(archive):
    bad = replace(at_fault(), filing=Filing(a_case("bad")))
    first, second = outcomes(archive, bad, filing(1))
    assert isinstance(first, InvalidEcg)
    assert told(second).case_id == "c1"
    assert set(archive.store.cases.rows["reports_1"]) == {"c1"}


def test_what_cannot_be_filed_keeps_back_nothing_but_the_cases(archive, monkeypatch):
    def busy(*_):
        raise Overloaded("another client writes", reason="INDEX_BUSY")

    monkeypatch.setattr(archive.retriever._filer, "file", busy)
    plain, filed = outcomes(archive, asked(1), filing(2))
    assert told(plain).hits
    assert isinstance(filed, Overloaded)


def test_a_case_of_an_index_that_is_gone_has_its_own_error(archive):
    gone, filed = outcomes(archive, filing(1, index="reports_9"), filing(2))
    assert isinstance(gone, IndexMissing)
    assert told(filed).case_id == "c2"


# One case.


def test_a_case_is_found_with_its_report_and_its_trace(archive):
    outcomes(archive, filing(1))
    found = archive.retriever.case("c1")
    assert (found.filed.case.case_id, found.report.text) == ("c1", "old infarct")
    assert found.trace == archive.store.cases.rows["reports_1"]["c1"].trace


def test_a_case_that_is_not_there_or_has_lost_its_report_is_not_found(archive):
    outcomes(archive, filing(1))
    with pytest.raises(CaseNotFound) as caught:
        archive.retriever.case("never")
    assert caught.value.field == "case_id"
    archive.store.contents["reports_1"].clear()
    with pytest.raises(CaseNotFound):
        archive.retriever.case("c1")
    archive.store.index = replace(archive.store.current(), has_cases=False)
    with pytest.raises(CaseNotFound):
        archive.retriever.case("c1")
