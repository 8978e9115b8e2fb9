"""Checks reports that are sent to the index, and completes their missing fields."""

import re

from cardex.domain.errors import InvalidReport
from cardex.domain.reports import Report, Statement
from cardex.reports.language import language_of
from cardex.reports.ptbxl import normalise, report_id

MAX_TEXT = 20_000
_REPORT_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


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
        _check_statement(statement, identity)
    return Report(
        report_id=identity,
        text=text,
        language=report.language or language_of(text),
        record_ids=report.record_ids,
        record_count=max(report.record_count, len(report.record_ids)),
        statements=report.statements,
    )


def _check_statement(statement: Statement, report_id: str) -> None:
    likelihood = 100.0 if statement.likelihood is None else statement.likelihood
    # Comparisons that a NaN fails.
    if not statement.code or not 0.0 < likelihood <= 100.0 or not 0.0 < statement.support <= 1.0:
        raise InvalidReport(
            f"report {report_id!r}, statement {statement.code[:20]!r}: needs a code, a likelihood"
            f" in (0, 100] or none, and a support in (0, 1]",
            field="reports.statements",
        )
