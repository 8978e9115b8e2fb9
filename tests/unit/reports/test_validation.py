import math

import pytest

from cardex.domain.errors import InvalidReport
from cardex.domain.reports import Report, Statement
from cardex.reports.ptbxl import report_id
from cardex.reports.validation import MAX_TEXT, validated


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
