"""Checks reports and cases that are sent to the index, and completes their missing fields."""

import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from cardex.domain.cases import (
    MAX_AGE,
    MAX_CASE_ID,
    MAX_CODES,
    MAX_DEVICE,
    MAX_FILTER_VALUES,
    Case,
    CaseFilter,
)
from cardex.domain.errors import InvalidQuestion, InvalidReport
from cardex.domain.reports import Report, Statement
from cardex.reports.language import language_of
from cardex.reports.ptbxl import normalise, report_id

MAX_TEXT = 20_000
MAX_CODE, MAX_DESCRIPTION = 64, 200
MAX_CASE_BYTES = 30_000
"""Text and statements of one case as JSON; a report of many cases may have twice as much."""
_REPORT_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
CASE_ID = re.compile(rf"(?:[\w.-]{{1,64}}/)?[\w.:-]{{1,{MAX_CASE_ID}}}", re.ASCII)
_MONTH = re.compile(r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])", re.ASCII)


def validated(report: Report) -> Report:
    """Complete a report: id and language from its text where they are missing.

    Raises:
        InvalidReport: if the text is empty or too long, or the id has other characters.
    """
    text = normalise(report.text)
    if not text or len(text) > MAX_TEXT:
        raise InvalidReport(
            f"report {report.report_id[:64]!r}: the text has {len(text)} characters,"
            f" must have 1 to {MAX_TEXT}",
            field="reports.text",
        )
    identity = report.report_id or report_id(text)
    if not _REPORT_ID.fullmatch(identity):
        raise InvalidReport(
            f"report id {identity[:64]!r}: 1 to 64 letters, digits, '_', '.', ':' or '-'",
            field="reports.report_id",
        )
    for statement in report.statements:
        _check_statement(statement, f"report {identity!r}", "reports.statements")
    return Report(
        report_id=identity,
        text=text,
        language=report.language or language_of(text),
        record_ids=report.record_ids,
        record_count=max(report.record_count, len(report.record_ids)),
        statements=report.statements,
    )


def _check_statement(statement: Statement, whose: str, field: str) -> None:
    likelihood = 100.0 if statement.likelihood is None else statement.likelihood
    # Comparisons that a NaN fails.
    if not statement.code or not 0.0 < likelihood <= 100.0 or not 0.0 < statement.support <= 1.0:
        raise InvalidReport(
            f"{whose}, statement {statement.code[:20]!r}: needs a code, a likelihood"
            f" in (0, 100] or none, and a support in (0, 1]",
            field=field,
        )


def validated_case(case: Case) -> Case:
    """Complete a case: the language from its text where that is missing.

    Raises:
        InvalidReport: naming the field that is at fault, and what it may be.
    """
    if not CASE_ID.fullmatch(case.case_id):
        raise InvalidReport(
            f"case id {case.case_id[:64]!r}: 1 to {MAX_CASE_ID} letters, digits, '_', '.', ':' or"
            " '-', after its archive's name and '/' if it has one",
            field="file_as.case.case_id",
        )
    text = normalise(case.text)
    if not text or len(text) > MAX_TEXT:
        raise _wrong(case, "report", f"has {len(text)} characters, must have 1 to {MAX_TEXT}")
    if case.age is not None and not 0 <= case.age <= MAX_AGE:
        raise _wrong(case, "case.age", f"{case.age}: must be 0 to {MAX_AGE} years, or left out")
    if case.month and not _MONTH.fullmatch(case.month):
        raise _wrong(case, "case.month", f"{case.month[:16]!r}: write it as 2026-11")
    if len(case.device) > MAX_DEVICE:
        raise _wrong(case, "case.device", f"has more than {MAX_DEVICE} characters")
    if len(case.language) > len("zh-Hant-TW"):
        raise _wrong(case, "case.language", "must be a code of ISO 639-1, or left out")
    if len(case.statements) > MAX_CODES:
        raise _wrong(case, "case.statements", f"there are more than {MAX_CODES}")
    by_code = {}
    for statement in case.statements:
        _check_statement(statement, f"case {case.case_id!r}", "file_as.case.statements")
        if len(statement.code) > MAX_CODE or len(statement.description) > MAX_DESCRIPTION:
            raise _wrong(
                case,
                "case.statements",
                f"{statement.code[:20]!r}: a code has at most {MAX_CODE} characters, its"
                f" description {MAX_DESCRIPTION}",
            )
        by_code[statement.code] = replace(statement, support=1.0)
    statements = tuple(by_code.values())
    size = len(msgspec.json.encode((text, statements)))
    if size > MAX_CASE_BYTES:
        raise _wrong(
            case,
            "report",
            f"has {size} bytes as JSON with its statements: at most {MAX_CASE_BYTES}",
        )
    return replace(
        case, text=text, language=case.language or language_of(text), statements=statements
    )


def _wrong(case: Case, field: str, what: str) -> InvalidReport:
    return InvalidReport(f"case {case.case_id[:64]!r}: {field}: {what}", field=f"file_as.{field}")


def check_filter(wanted: CaseFilter) -> None:
    """Check a question's filter.

    Raises:
        InvalidQuestion: naming the field that is at fault, and what it may be.
    """
    for name, age in (("min_age", wanted.min_age), ("max_age", wanted.max_age)):
        if age is not None and not 0 <= age <= MAX_AGE:
            raise _refused(name, f"{age}: must be 0 to {MAX_AGE} years")
    for name, month in (("from_month", wanted.from_month), ("to_month", wanted.to_month)):
        if month and not _MONTH.fullmatch(month):
            raise _refused(name, f"{month[:16]!r}: write it as 2026-11")
    if wanted.max_age is not None and (wanted.min_age or 0) > wanted.max_age:
        raise _refused("min_age", f"{wanted.min_age}: is over max_age, {wanted.max_age}")
    if wanted.to_month and wanted.from_month > wanted.to_month:
        raise _refused("from_month", f"is after to_month, {wanted.to_month}")
    listed: dict[str, Sequence[str]] = {
        "with_codes": wanted.with_codes,
        "without_codes": wanted.without_codes,
        "languages": wanted.languages,
        "devices": wanted.devices,
    }
    for name, values in listed.items():
        if len(values) > MAX_FILTER_VALUES:
            raise _refused(name, f"{len(values)} values: at most {MAX_FILTER_VALUES}")
        if any(not value.strip() or len(value) > MAX_DEVICE for value in values):
            raise _refused(name, f"each must have 1 to {MAX_DEVICE} characters")


def _refused(name: str, what: str) -> InvalidQuestion:
    field = f"question.filter.{name}"
    return InvalidQuestion(f"{field}: {what}", reason="FILTER", field=field)
