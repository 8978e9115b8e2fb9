from dataclasses import replace

import pytest

from cardex.domain.cases import Nearness
from cardex.domain.index import CaseMatch, Hit
from cardex.domain.jobs import SHOWN_RECORD_IDS, Question
from cardex.domain.reports import Report, Statement
from cardex.retrieval.hits import hits_of
from cardex.retrieval.nearest import Found
from cardex.retrieval.reranking import Ranked
from tests.helpers.cases import a_case, row_of, vectors

IDS = tuple(f"north/{n}" for n in range(30))
REPORT = Report(
    "r1", "old infarct", "en", IDS, 31, (Statement("IMI", "infarct", 80.0, 0.9), Statement("SR"))
)


def near(case_id: str, similarity: float, *codes: str, has_ecg: bool = True) -> CaseMatch:
    statements = tuple(Statement(code, code.lower(), 50.0) for code in codes)
    case = a_case(case_id, "old infarct", language="sv", statements=statements)
    row = row_of(case, vectors(1)[0] if has_ecg else None)
    return CaseMatch(row.filed, similarity)


def hit(question: Question, *cases: CaseMatch, found: Found | None = None, rank: int = 1) -> Hit:
    before = [Ranked(f"b{n}", 1.0) for n in range(rank - 1)]
    reports = {"r1": REPORT} | {one.report_id: Report(one.report_id, "text") for one in before}
    hits = hits_of(
        [*before, Ranked("r1", 0.51234567, 2.5)],
        reports,
        question,
        found or Found(Nearness.REPORT),
        {"r1": list(cases)},
    )
    return hits[-1]


def test_a_hit_tells_its_place_and_what_it_was_judged_by():
    found = Found(Nearness.BOTH, [], {"r1": 0.25}, {"r1": 0.75})
    shown = hit(Question(5), near("1", 0.5), found=found, rank=3)
    assert (shown.rank, shown.score, shown.match) == (3, 0.512346, 2.5)
    assert (shown.report_similarity, shown.ecg_similarity) == (0.25, 0.75)
    assert [match.filed.case.case_id for match in shown.cases] == ["1"]


def test_the_similarity_of_the_ecg_is_that_of_the_nearest_case_that_has_one():
    assert hit(Question(5), near("1", 0.5), near("2", 0.4)).ecg_similarity == 0.5
    without = near("1", 0.9, has_ecg=False)
    assert hit(Question(5), without).ecg_similarity is None
    assert hit(Question(5), without, near("2", 0.4)).ecg_similarity == 0.4
    assert hit(Question(5)).ecg_similarity is None


def test_a_hit_that_is_shown_names_few_records_and_counts_all():
    shown = hit(Question(5)).report
    assert shown.record_ids == IDS[:SHOWN_RECORD_IDS]
    assert shown.record_count == 31
    assert shown.statements == REPORT.statements


def test_a_hit_behind_those_that_are_shown_keeps_its_records():
    assert hit(Question(1), rank=2).report == REPORT


def test_a_caller_of_an_archive_sees_its_own_cases_alone():
    question = Question(5, archive="south")
    own = [near("south/1", 0.5, "IMI"), near("south/2", 0.4, "IMI", "AFIB")]
    report = hit(question, *own).report
    assert report.record_ids == ("south/1", "south/2")
    assert (report.record_count, report.language) == (2, "sv")
    assert {one.code: one.support for one in report.statements} == {"IMI": 1.0, "AFIB": 0.5}
    assert "north" not in repr(report)
    assert (report.report_id, report.text) == ("r1", "old infarct")


@pytest.mark.parametrize("rank", [1, 7])
def test_a_caller_of_an_archive_without_cases_of_a_report_learns_nothing_of_others(rank):
    report = hit(Question(5, archive="south"), rank=rank).report
    assert report == Report("r1", "old infarct")


def test_a_report_without_cases_is_shown_as_it_is():
    few = replace(REPORT, record_ids=("1",), record_count=1)
    (shown,) = hits_of([Ranked("r1", 0.5)], {"r1": few}, Question(1), Found(Nearness.REPORT), {})
    assert (shown.report, shown.cases) == (few, ())
