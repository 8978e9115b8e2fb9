"""The report of several records: what changes in it when a record comes or goes."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from cardex.domain.cases import Case
from cardex.domain.reports import Report, Statement
from cardex.reports.ptbxl import report_id

MAX_STATEMENT_BYTES = 28_000
"""Statements of a report, the best supported first, as JSON."""


def report_of_case(case: Case) -> str:
    """Return the id of the report that a case bears."""
    return report_id(case.text)


def names_all(report: Report) -> bool:
    """Return whether a report names every record that it counts; a very common one does not."""
    return len(report.record_ids) >= report.record_count


def with_case(report: Report | None, case: Case) -> Report:
    """Return a report that one record more bears; it is new where `report` is None.

    A record that the report names already is not counted again.
    """
    if report is None:
        report = Report(report_of_case(case), case.text, case.language)
    if case.case_id in report.record_ids:
        return report
    return replace(
        report,
        record_ids=(*report.record_ids, case.case_id),
        record_count=report.record_count + 1,
        statements=_merged(report, case.statements, added=1),
    )


def without_case(report: Report, case: Case) -> Report:
    """Return a report that one record less bears; it may be none that is left.

    A record that is not named, where all are, has gone already and is not taken off again.
    """
    if case.case_id not in report.record_ids and names_all(report):
        return report
    return replace(
        report,
        record_ids=tuple(one for one in report.record_ids if one != case.case_id),
        record_count=report.record_count - 1,
        statements=_merged(report, case.statements, added=-1),
    )


def _merged(report: Report, own: Iterable[Statement], added: int) -> tuple[Statement, ...]:
    """Return the statements of a report's records after one that has `own` came, or went."""
    count = report.record_count
    left = count + added
    if left <= 0:
        return ()
    known = {one.code: one for one in report.statements}
    coming = {one.code: one for one in own}
    merged = [
        _one(known.get(code), coming.get(code), count, added)
        for code in dict.fromkeys([*known, *coming])
    ]
    there = [one for one in merged if one.support * left > 0.5]
    return _fitting(sorted(there, key=lambda s: (-s.support, -(s.likelihood or 0.0), s.code)))


def _fitting(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Return as many of the first statements as a report has room for beside its text."""
    sizes = itertools.accumulate(len(msgspec.json.encode(one)) for one in statements)
    return tuple(
        one for one, size in zip(statements, sizes, strict=True) if size <= MAX_STATEMENT_BYTES
    )


def _one(known: Statement | None, own: Statement | None, count: int, added: int) -> Statement:
    """Return one statement: its share of the records, and the mean of their likelihoods."""
    before = known.support * count if known else 0.0
    after = before + (added if own else 0.0)
    some = own or known
    assert some is not None
    description = (known.description if known else "") or some.description
    return Statement(
        some.code,
        description,
        _mean(known.likelihood if known else None, before, own.likelihood if own else None, added),
        min(1.0, max(0.0, after / (count + added))),
    )


def _mean(mean: float | None, weight: float, own: float | None, added: int) -> float | None:
    """Return a mean of `weight` values after one came or went; None where none is left.

    It is exact where all records give a value; else it is near, and stays in (0, 100].
    """
    if own is None:
        return mean
    if mean is None:
        return own if added > 0 else None
    left = weight + added
    if left <= 0.5:
        return None
    changed = (mean * weight + own * added) / left
    return min(100.0, changed) if changed > 0.0 else mean
