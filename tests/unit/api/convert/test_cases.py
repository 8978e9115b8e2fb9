import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardex.api.convert.cases import (
    NEARNESS,
    case_response,
    filing_message,
    filing_of,
    filter_message,
    filter_of,
    nearness_of,
)
from cardex.api.convert.traces import trace_of
from cardex.api.pb.v1 import case_pb2, report_pb2
from cardex.domain.cases import CaseFilter, Filing, Nearness, Sex
from cardex.domain.errors import InvalidQuestion, InvalidReport
from cardex.domain.index import FoundCase
from cardex.domain.jobs import DISCLAIMER, SHOWN_RECORD_IDS
from cardex.domain.reports import Report, Statement
from cardex.domain.trace import Trace
from tests.helpers.cases import a_case, row_of, vectors

CASE = a_case(
    "north/1",
    "old infarct",
    age=0,
    sex=Sex.FEMALE,
    month="2026-11",
    device="AT-6",
    statements=(Statement("IMI", "infarct", 80.0), Statement("SR")),
)
TRACE = Trace(250.0, 0.005, 2500, b"packed", (3, 200), 1.5)
IDS = tuple(f"south/{n}" for n in range(30))
REPORT = Report("r1", "old infarct", "sv", IDS, 31, (Statement("IMI", "", 50.0, 0.5),))


def sent(message):
    return type(message).FromString(message.SerializeToString())


# Nearness.


@pytest.mark.parametrize("nearness", Nearness)
def test_every_nearness_comes_back(nearness):
    assert nearness_of(NEARNESS[nearness]) is nearness


def test_nearness_that_is_not_said_is_left_to_the_house():
    assert nearness_of(case_pb2.NEARNESS_UNSPECIFIED) is None


def test_a_number_of_no_nearness_is_refused():
    with pytest.raises(InvalidQuestion) as caught:
        nearness_of(7)
    assert (caught.value.reason, caught.value.field) == ("NEARNESS", "question.by")


# Filters.

AGES = st.none() | st.integers(0, 150)
WORDS = st.lists(st.text(st.characters(codec="utf-8")), max_size=3).map(tuple)


@given(
    st.builds(
        CaseFilter, AGES, AGES, st.sampled_from(Sex), WORDS, WORDS, WORDS, WORDS,
        st.sampled_from(["", "2026-11"]), st.sampled_from(["", "2026-12"]),
    )
)  # fmt: skip
def test_a_filter_comes_back_as_it_was_sent(wanted):
    assert filter_of(sent(filter_message(wanted))) == wanted


def test_an_age_of_zero_is_not_the_same_as_none():
    assert filter_of(case_pb2.CaseFilter(min_age=0)) == CaseFilter(min_age=0) != CaseFilter()


def test_a_filter_by_a_number_of_no_sex_is_refused():
    message = case_pb2.CaseFilter.FromString(bytes([3 << 3, 9]))
    with pytest.raises(InvalidQuestion) as caught:
        filter_of(message)
    assert (caught.value.reason, caught.value.field) == ("FILTER", "question.filter.sex")


# Filings.


@pytest.mark.parametrize("filing", [Filing(CASE), Filing(CASE, "reports_2", only=True)])
def test_a_filing_comes_back_as_it_was_sent(filing):
    assert filing_of(sent(filing_message(filing)), "") == filing


def test_an_empty_filing_is_translated_unchecked():
    assert filing_of(case_pb2.FileAs(), "") == Filing(a_case("", "", language=""))


@pytest.mark.parametrize(
    ("case_id", "archive", "expected"),
    [
        ("1", "north", "north/1"),
        ("north/1", "north", "north/1"),
        ("south/1", "north", "south/1"),
        ("1", "", "1"),
        ("north/1", "", "north/1"),
    ],
)
def test_a_case_gets_the_archive_of_its_caller_where_it_names_none(case_id, archive, expected):
    message = case_pb2.FileAs(case=report_pb2.Case(case_id=case_id))
    assert filing_of(message, archive).case.case_id == expected


def test_what_the_index_finds_out_itself_is_not_read():
    case = report_pb2.Case(case_id="1", report_id="r9", has_ecg=True, similarity=0.5)
    assert filing_of(case_pb2.FileAs(case=case, report="normal"), "").case.has_ecg is False


def test_a_case_with_a_number_of_no_sex_is_refused():
    case = report_pb2.Case(case_id="1")
    case.sex = 9  # type: ignore[assignment]
    with pytest.raises(InvalidReport) as caught:
        filing_of(case_pb2.FileAs(case=case), "")
    assert caught.value.field == "file_as.case.sex"


# Cases that are shown.


def shown(*, restricted: bool = False, trace: Trace | None = TRACE) -> case_pb2.GetCaseResponse:
    found = FoundCase(row_of(CASE, vectors(1)[0]).filed, REPORT, trace)
    message: case_pb2.GetCaseResponse = sent(case_response(found, restricted=restricted))
    return message


def test_a_case_is_shown_with_its_report_and_its_trace():
    message = shown()
    case = message.case
    assert (case.case_id, case.age, case.sex) == ("north/1", 0, report_pb2.SEX_FEMALE)
    assert (case.month, case.language, case.device) == ("2026-11", "en", "AT-6")
    assert case.HasField("age")
    assert case.has_ecg
    assert not case.HasField("similarity")
    assert [one.code for one in case.statements] == ["IMI", "SR"]
    assert (message.report.report_id, message.report.text) == ("r1", "old infarct")
    assert trace_of(message.trace) == TRACE
    assert message.disclaimer == DISCLAIMER


def test_a_report_names_few_records_and_counts_all():
    report = shown().report
    assert tuple(report.record_ids) == IDS[:SHOWN_RECORD_IDS]
    assert report.record_count == 31


def test_a_case_without_an_ecg_has_no_trace():
    assert not shown(trace=None).HasField("trace")


def test_who_may_see_one_archive_learns_nothing_of_the_reports_other_records():
    message = shown(restricted=True)
    assert list(message.report.record_ids) == ["north/1"]
    assert (message.report.record_count, message.report.language) == (1, "en")
    assert [(s.code, s.likelihood, s.support) for s in message.report.statements] == [
        ("IMI", 80.0, 1.0), ("SR", 0.0, 1.0),
    ]  # fmt: skip
    assert "south" not in str(message)
