import re
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cardex.domain.cases import Case, CaseFilter, Sex, archive_of
from cardex.domain.reports import Statement
from cardex.stores.case_filter import WITH_ECG, expression, month_number, token
from cardex.stores.case_index import CaseRow, _row
from tests.helpers.cases import a_case, filed

WORDS = st.sampled_from(["SR", "IMI", "de", "AT-6 6", "x' or 'a' == 'a", '" or age >= 0 or "', "ä"])
MONTHS = st.sampled_from(["", "1999-12", "2012-01", "2012-02", "2026-11"])
AGES = st.none() | st.integers(0, 6)
LISTS = st.just(()) | st.lists(WORDS, max_size=2).map(tuple)
FILTERS = st.builds(
    CaseFilter, AGES, AGES, st.sampled_from(Sex), LISTS, LISTS, LISTS, LISTS, MONTHS, MONTHS
)
CASES = st.builds(
    lambda case_id, codes, **told: a_case(
        case_id, statements=tuple(Statement(code) for code in codes), **told
    ),
    st.sampled_from(["1", "north/1", "south/1", "south/north", "North/1"]),
    st.lists(WORDS, max_size=3, unique=True),
    age=AGES,
    sex=st.sampled_from(Sex),
    month=MONTHS,
    language=WORDS | st.just(""),
    device=WORDS | st.just(""),
)
ARCHIVES = st.sampled_from(["", "north", "south"])


def fits(case: Case, wanted: CaseFilter, archive: str) -> bool:
    """Return what the contract says of a filter, field by field."""
    ages, codes = (wanted.min_age, wanted.max_age), {one.code for one in case.statements}
    if ages != (None, None) and (
        case.age is None or not (ages[0] or 0) <= case.age <= (150 if ages[1] is None else ages[1])
    ):
        return False
    months = (wanted.from_month, wanted.to_month)
    if any(months) and not (case.month and months[0] <= case.month <= (months[1] or "9999-99")):
        return False
    return (
        (not archive or archive_of(case.case_id) == archive)
        and (wanted.sex is Sex.UNKNOWN or case.sex is wanted.sex)
        and set(wanted.with_codes) <= codes
        and not set(wanted.without_codes) & codes
        and (not wanted.languages or case.language in wanted.languages)
        and (not wanted.devices or case.device in wanted.devices)
    )


def holds(told: str, case: Case) -> bool:
    """Return whether an expression holds for a case; Python reads it as Milvus does."""
    row: dict[str, Any] = _row(CaseRow(filed(case)), 8)
    contains = {"array_contains": lambda values, value: value in values}
    return bool(eval(told, {"__builtins__": {}}, row | contains)) if told else True


@given(CASES, FILTERS, ARCHIVES)
@example(a_case("1", age=None), CaseFilter(max_age=5), "")
@example(a_case("1", month=""), CaseFilter(to_month="2012-01"), "")
@example(a_case("1", language=""), CaseFilter(languages=("de",)), "")
@example(a_case("1"), CaseFilter(), "north")
@example(a_case("North/1"), CaseFilter(), "north")
@settings(max_examples=400, deadline=None)
def test_an_expression_fits_the_cases_that_the_filter_fits(case, wanted, archive):
    assert holds(expression(wanted, archive), case) is fits(case, wanted, archive)


LETTERS = re.compile(
    r"""(?:archive|age|sex|month|language|device|codes|array_contains|not|and|in|==|>=|<=
    |"(?:[0-9a-f]{32}|F|M|)"|'(?:[0-9a-f]{32})?'|\d+|[\[\](), ])*""",
    re.VERBOSE,
)
ANY = st.lists(st.text(min_size=1, max_size=64), max_size=3).map(tuple)


@given(st.builds(CaseFilter, AGES, AGES, st.sampled_from(Sex), ANY, ANY, ANY, ANY), st.text())
def test_no_character_of_a_callers_words_is_in_an_expression(wanted, archive):
    assert LETTERS.fullmatch(expression(wanted, archive))


def test_without_a_filter_all_cases_fit():
    assert expression(None) == expression(CaseFilter()) == ""


@pytest.mark.parametrize("field", [field.name for field in fields(CaseFilter)])
def test_every_field_of_a_filter_narrows(field):
    value: Any = {"min_age": 0, "max_age": 0, "sex": Sex.MALE, "from_month": "2012-01"}.get(
        field, "2012-01" if field == "to_month" else ("x",)
    )
    assert expression(replace(CaseFilter(), **{field: value}))


def test_only_cases_with_an_ecg_have_one():
    row = {"has_ecg": True, "true": True}
    assert eval(WITH_ECG, {"__builtins__": {}}, row)
    assert not eval(WITH_ECG, {"__builtins__": {}}, row | {"has_ecg": False})


# Tokens and months.


def test_words_that_differ_in_case_and_blanks_alone_are_one():
    assert token("AT-6  6") == token(" at-6 6 ") != token("AT-66")
    assert token("Straße") == token("STRASSE")


@given(st.text())
def test_a_token_is_of_hex_digits_and_empty_for_no_word(word):
    assert re.fullmatch(r"[0-9a-f]{32}" if word.split() else "", token(word))


def test_a_lone_surrogate_is_a_word_too():
    assert len(token("\ud800")) == 32


@given(st.dates(), st.dates())
def test_months_order_as_numbers(one, other):
    first, second = one.strftime("%Y-%m").zfill(7), other.strftime("%Y-%m").zfill(7)
    assert (first < second) is (month_number(first) < month_number(second))
    assert month_number("") == 0 < month_number("1900-01")
