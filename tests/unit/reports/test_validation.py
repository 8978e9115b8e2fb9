import math
from typing import Any

import pytest

from cardex.domain.cases import (
    MAX_AGE,
    MAX_CASE_ID,
    MAX_CODES,
    MAX_DEVICE,
    MAX_FILTER_VALUES,
    CaseFilter,
)
from cardex.domain.errors import InvalidQuestion, InvalidReport
from cardex.domain.reports import Report, Statement
from cardex.reports.ptbxl import report_id
from cardex.reports.validation import (
    MAX_CODE,
    MAX_DESCRIPTION,
    MAX_TEXT,
    check_filter,
    validated,
    validated_case,
)
from tests.helpers.cases import a_case


def test_an_id_that_is_missing_comes_from_the_text():
    assert validated(Report("", " sinus  rhythm ")).report_id == report_id("sinus rhythm")


def test_a_language_that_is_missing_comes_from_the_text():
    assert validated(Report("r1", "sinusrhythmus, normales ekg")).language == "de"
    assert validated(Report("r1", "sinus rhythm", language="la")).language == "la"


def test_white_space_is_collapsed():
    assert validated(Report("r1", " sinus\n rhythm ")).text == "sinus rhythm"


def test_no_report_has_fewer_records_than_it_names():
    assert validated(Report("r1", "text", record_ids=("a", "b"))).record_count == 2
    assert validated(Report("r1", "text", record_ids=("a", "b"), record_count=7)).record_count == 7


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_TEXT + 1)])
def test_a_text_that_is_empty_or_too_long_is_refused(text):
    with pytest.raises(InvalidReport, match="'r1'") as caught:
        validated(Report("r1", text))
    assert caught.value.field == "reports.text"


def test_the_longest_text_is_taken():
    assert len(validated(Report("r1", "x" * MAX_TEXT)).text) == MAX_TEXT


@pytest.mark.parametrize("identity", ["a b", "x" * 65, "ä", "a/b", "a\n", 'a" or "'])
def test_an_id_of_other_characters_is_refused(identity):
    with pytest.raises(InvalidReport) as caught:
        validated(Report(identity, "sinus rhythm"))
    assert caught.value.field == "reports.report_id"


@pytest.mark.parametrize("identity", ["a", "A.b:c-d_9", "x" * 64])
def test_an_id_of_letters_digits_and_marks_is_taken(identity):
    assert validated(Report(identity, "sinus rhythm")).report_id == identity


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.5, -0.5])
def test_a_support_that_is_no_share_is_refused(value):
    with pytest.raises(InvalidReport):
        validated(Report("r1", "sinus rhythm", statements=(Statement("SR", support=value),)))


@pytest.mark.parametrize("value", [math.nan, math.inf, 150.0, -1.0])
def test_a_likelihood_that_is_no_percentage_is_refused(value):
    with pytest.raises(InvalidReport):
        validated(Report("r1", "sinus rhythm", statements=(Statement("SR", likelihood=value),)))


def test_a_statement_without_a_code_is_refused():
    with pytest.raises(InvalidReport):
        validated(Report("r1", "sinus rhythm", statements=(Statement(""),)))


def test_statements_are_kept():
    statements = (Statement("SR", "sinus rhythm", None, 1.0), Statement("IMI", "", 50.0, 0.25))
    assert validated(Report("r1", "sinus rhythm", statements=statements)).statements == statements


# Cases.


def test_a_case_is_completed_from_its_text():
    case = validated_case(a_case("1", " sinusrhythmus,\n normales ekg ", language=""))
    assert (case.text, case.language) == ("sinusrhythmus, normales ekg", "de")
    assert validated_case(a_case("1", "sinus rhythm", language="la")).language == "la"


def test_every_statement_of_a_case_is_of_its_one_record():
    case = a_case("1", statements=(Statement("SR", "sinus", 50.0, 0.25), Statement("IMI")))
    assert validated_case(case).statements == (Statement("SR", "sinus", 50.0), Statement("IMI"))


def test_of_a_code_that_a_case_states_twice_the_last_counts():
    case = a_case("1", statements=(Statement("SR", "", 50.0), Statement("SR", "", 80.0)))
    assert validated_case(case).statements == (Statement("SR", "", 80.0),)


@pytest.mark.parametrize(
    "case_id",
    ["1", "x" * MAX_CASE_ID, "1.2.840:7_a-b", "north/1", f"{'a' * 64}/{'x' * MAX_CASE_ID}"],
)
def test_an_id_may_have_its_archive_before_it(case_id):
    assert validated_case(a_case(case_id)).case_id == case_id


@pytest.mark.parametrize(
    "case_id",
    [
        "", "a b", "x" * (MAX_CASE_ID + 1), "ä", "a\n", '" or case_id != "',
        "/1", "north/", "a/b/1", f"{'a' * 65}/1", "no:rth/1",
    ],
)  # fmt: skip
def test_an_id_of_a_case_of_other_characters_is_refused(case_id):
    with pytest.raises(InvalidReport) as caught:
        validated_case(a_case(case_id))
    assert caught.value.field == "file_as.case.case_id"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("report", {"text": " \n"}),
        ("report", {"text": "x" * (MAX_TEXT + 1)}),
        ("case.age", {"age": -1}),
        ("case.age", {"age": MAX_AGE + 1}),
        ("case.month", {"month": "2026"}),
        ("case.month", {"month": "2026-13"}),
        ("case.month", {"month": "2026-00"}),
        ("case.month", {"month": "1899-12"}),
        ("case.month", {"month": "2026-11-09"}),
        ("case.month", {"month": "\u0662026-11"}),
        ("case.device", {"device": "x" * (MAX_DEVICE + 1)}),
        ("case.language", {"language": "x" * 11}),
        ("case.statements", {"statements": (Statement("SR"),) * (MAX_CODES + 1)}),
        ("case.statements", {"statements": (Statement(""),)}),
        ("case.statements", {"statements": (Statement("x" * (MAX_CODE + 1)),)}),
        ("case.statements", {"statements": (Statement("SR", "x" * (MAX_DESCRIPTION + 1)),)}),
        ("report", {"text": "心" * MAX_TEXT}),
        ("report", {"text": "\x01" * 6_000}),  # six bytes each as JSON
        (
            "report",
            {
                "text": "x" * MAX_TEXT,
                "statements": tuple(Statement(f"C{n}", "x" * 100) for n in range(MAX_CODES)),
            },
        ),
        ("case.statements", {"statements": (Statement("SR", likelihood=math.nan),)}),
        ("case.statements", {"statements": (Statement("SR", support=2.0),)}),
    ],
)
def test_a_case_that_cannot_be_is_refused_with_its_field(field, wrong: dict[str, Any]):
    with pytest.raises(InvalidReport, match="'c1'") as caught:
        validated_case(a_case(**{"case_id": "c1", **wrong}))
    assert caught.value.field == f"file_as.{field}"


@pytest.mark.parametrize(
    "fields",
    [
        {"age": 0}, {"age": MAX_AGE}, {"age": None}, {"month": ""}, {"month": "1900-01"},
        {"month": "2099-12"}, {"device": "x" * MAX_DEVICE}, {"language": "zh-Hant-TW"},
        {"statements": tuple(Statement(f"C{n}") for n in range(MAX_CODES))},
        {"text": "x" * MAX_TEXT},
    ],
)  # fmt: skip
def test_a_case_at_the_limits_is_taken(fields: dict[str, Any]):
    case = a_case("1", **fields)
    assert validated_case(case) == case


def test_no_message_shows_the_text_of_a_report():
    with pytest.raises(InvalidReport) as caught:
        validated_case(a_case("1", "secret words " * MAX_TEXT))
    assert "secret" not in caught.value.message


# Filters.


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("min_age", -1),
        ("max_age", MAX_AGE + 1),
        ("from_month", "2026"),
        ("to_month", "2026-13"),
        ("with_codes", ("x",) * (MAX_FILTER_VALUES + 1)),
        ("without_codes", ("",)),
        ("languages", ("de", " ")),
        ("devices", ("x" * (MAX_DEVICE + 1),)),
    ],
)
def test_a_filter_that_cannot_be_is_refused_with_its_field(field, wrong):
    with pytest.raises(InvalidQuestion, match=f"^question.filter.{field}: ") as caught:
        check_filter(CaseFilter(**{field: wrong}))
    assert (caught.value.reason, caught.value.field) == ("FILTER", f"question.filter.{field}")


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("min_age", CaseFilter(min_age=61, max_age=60)),
        ("from_month", CaseFilter(from_month="2026-11", to_month="2026-10")),
    ],
)
def test_a_range_that_ends_before_it_begins_is_refused(field, wanted):
    with pytest.raises(InvalidQuestion) as caught:
        check_filter(wanted)
    assert (caught.value.reason, caught.value.field) == ("FILTER", f"question.filter.{field}")


@pytest.mark.parametrize(
    "wanted",
    [
        CaseFilter(),
        CaseFilter(min_age=0, max_age=MAX_AGE),
        CaseFilter(from_month="1900-01", to_month="2099-12"),
        CaseFilter(
            with_codes=("x" * MAX_DEVICE,) * MAX_FILTER_VALUES,
            without_codes=("x",) * MAX_FILTER_VALUES,
            languages=("de",) * MAX_FILTER_VALUES,
            devices=('" or age >= 0',) * MAX_FILTER_VALUES,
        ),
    ],
)
def test_a_filter_at_the_limits_is_taken(wanted):
    check_filter(wanted)
