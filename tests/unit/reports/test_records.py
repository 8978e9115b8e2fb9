import random
from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardex.domain.cases import Case
from cardex.domain.reports import Report, Statement
from cardex.reports.ptbxl import report_id
from cardex.reports.records import MAX_STATEMENT_BYTES, report_of_case, with_case, without_case
from tests.helpers.cases import a_case


def stating(case_id: str, *codes: str) -> Case:
    return a_case(case_id, statements=tuple(Statement(code) for code in codes))


def filled(cases: Iterable[Case]) -> Report:
    """Return the report of some cases."""
    report = None
    for case in cases:
        report = with_case(report, case)
    assert report is not None
    return report


def supports(report: Report) -> dict[str, float]:
    return {one.code: one.support for one in report.statements}


# A record that comes.


def test_the_first_record_makes_the_report():
    case = a_case("1", "old infarct", language="en", statements=(Statement("IMI", "infarct", 80),))
    assert with_case(None, case) == Report(
        report_id("old infarct"), "old infarct", "en", ("1",), 1, case.statements
    )
    assert report_of_case(case) == report_id("old infarct")


def test_a_record_more_is_named_and_counted():
    report = filled([stating("1", "SR"), stating("2", "SR", "IMI")])
    assert (report.record_ids, report.record_count) == (("1", "2"), 2)
    assert supports(report) == {"SR": 1.0, "IMI": 0.5}


def test_a_record_that_is_named_already_is_not_counted_again():
    report = filled([stating("1", "SR"), stating("2", "IMI")])
    assert with_case(report, stating("2", "IMI")) == report


def test_a_report_keeps_the_statements_that_most_records_carry_as_far_as_there_is_room():
    report = filled([stating("1", "SR"), stating("2", "SR")])
    for number in range(400):
        own = Statement(f"X{number}", "\x01" * 50)  # 300 bytes as JSON
        report = with_case(report, a_case(f"c{number}", statements=(Statement("SR"), own)))
    assert report.record_count == 402
    assert report.statements[0].code == "SR"
    size = sum(len(msgspec.json.encode(one)) for one in report.statements)
    assert MAX_STATEMENT_BYTES - 500 < size <= MAX_STATEMENT_BYTES


def test_a_report_keeps_its_own_language_and_text():
    report = Report("r1", "sinus rhythm", "la", ("1",), 1)
    assert with_case(report, a_case("2")).language == "la"


def test_descriptions_come_with_whoever_has_them():
    described = a_case("2", statements=(Statement("SR", "sinus rhythm"),))
    (statement,) = filled([stating("1", "SR"), described, stating("3", "SR")]).statements
    assert statement.description == "sinus rhythm"


def test_of_a_cut_report_the_count_alone_grows_exactly():
    report = Report("r1", "sinus rhythm", record_ids=("1",), record_count=9)
    assert with_case(report, stating("2", "SR")).record_count == 10


# A record that goes.


def test_a_record_that_goes_takes_its_statements_along():
    report = filled([stating("1", "SR"), stating("2", "SR", "IMI")])
    left = without_case(report, stating("2", "SR", "IMI"))
    assert (left.record_ids, left.record_count) == (("1",), 1)
    assert supports(left) == {"SR": 1.0}


def test_of_the_last_record_nothing_is_left():
    left = without_case(filled([stating("1", "SR")]), stating("1", "SR"))
    assert (left.record_ids, left.record_count, left.statements) == ((), 0, ())


def test_a_record_that_has_gone_is_not_taken_off_again():
    report = filled([stating("1", "SR"), stating("2", "IMI")])
    left = without_case(report, stating("2", "IMI"))
    assert without_case(left, stating("2", "IMI")) == left


def test_of_a_cut_report_a_record_that_is_not_named_goes_too():
    report = Report("r1", "sinus rhythm", record_ids=("1",), record_count=9)
    assert without_case(report, a_case("7")).record_count == 8


# Any coming and going.

CODES = st.dictionaries(st.sampled_from("ABCD"), st.none() | st.floats(1.0, 100.0), max_size=4)
LIKELIHOODS = st.floats(1.0, 100.0)
ALIKE = st.lists(st.dictionaries(st.sampled_from("ABCD"), LIKELIHOODS, max_size=4), max_size=8)


def cases_of(records: Iterable[dict[str, float | None]]) -> list[Case]:
    return [
        a_case(str(n), statements=tuple(Statement(c, "", value) for c, value in codes.items()))
        for n, codes in enumerate(records)
    ]


def expected(cases: list[Case]) -> dict[str, tuple[float, float]]:
    """Return support and mean likelihood of each code, counted at once."""
    values: dict[str, list[float]] = {}
    for case in cases:
        for one in case.statements:
            assert one.likelihood is not None
            values.setdefault(one.code, []).append(one.likelihood)
    return {code: (len(own) / len(cases), fmean(own)) for code, own in values.items()}


def told(report: Report) -> dict[str, tuple[float, float]]:
    return {one.code: (one.support, one.likelihood or 0.0) for one in report.statements}


def same(report: Report, cases: list[Case]) -> None:
    found, counted = told(report), expected(cases)
    assert found.keys() == counted.keys()
    for code, numbers in counted.items():
        assert found[code] == pytest.approx(numbers, rel=1e-6)
    orders = [(-one.support, -(one.likelihood or 0.0), one.code) for one in report.statements]
    assert orders == sorted(orders)


@given(ALIKE.filter(bool))
def test_records_one_by_one_make_what_counting_them_at_once_makes(records):
    cases = cases_of(records)
    same(filled(cases), cases)


@given(ALIKE.filter(bool), ALIKE, st.randoms(use_true_random=False))
def test_after_coming_and_going_the_report_is_as_it_was(staying, passing, chance: random.Random):
    cases = cases_of([*staying, *passing])
    stay, come = cases[: len(staying)], cases[len(staying) :]
    report = filled(stay)
    chance.shuffle(come)
    for case in come:
        report = with_case(report, case)
    chance.shuffle(come)
    for case in come:
        report = without_case(report, case)
    same(report, stay)
    assert (report.record_ids, report.record_count) == (filled(stay).record_ids, len(stay))


@given(st.lists(CODES, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_likelihood_stays_a_percentage_where_some_records_give_none(records, chance):
    cases = cases_of(records)
    report = filled(cases)
    chance.shuffle(cases)
    for case in cases:
        report = without_case(report, case)
        for one in report.statements:
            assert 0.0 < one.support <= 1.0
            assert one.likelihood is None or 0.0 < one.likelihood <= 100.0
    assert report.statements == ()


def test_a_likelihood_that_is_given_later_is_taken():
    report = filled([stating("1", "SR")])
    later = a_case("2", statements=(Statement("SR", likelihood=80.0),))
    (statement,) = with_case(report, later).statements
    assert statement.likelihood == 80.0
    assert with_case(report, replace(later, statements=())).statements[0].likelihood is None
