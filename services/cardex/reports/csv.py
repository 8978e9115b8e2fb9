"""Reads reports from a CSV file with one row per record."""

import csv
from collections import defaultdict
from pathlib import Path

from cardex.domain.errors import InvalidReport
from cardex.domain.reports import Report
from cardex.reports.language import language_of
from cardex.reports.ptbxl import merge_statements, normalise, report_id

COLUMNS = (
    "record_id, text, and optionally language and codes (CODE or CODE:LIKELIHOOD, split by ';')"
)


def read_reports(path: Path) -> list[Report]:
    """Read the distinct reports of a CSV file with a header row.

    Raises:
        InvalidReport: if the file cannot be used; the message names file, line and column.
    """
    texts: dict[str, list[dict[str, str]]] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not {"record_id", "text"} <= set(rows.fieldnames or ()):
                raise InvalidReport(f"{path}: needs a header row with {COLUMNS}", field="header")
            for row in rows:
                if text := normalise(row["text"] or ""):
                    if not row["record_id"]:
                        where = f"{path}, line {rows.line_num}"
                        raise InvalidReport(f"{where}: record_id is missing", field="record_id")
                    texts[text].append({**row, "line": str(rows.line_num)})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidReport(f"{path}: {error}") from error
    if not texts:
        raise InvalidReport(f"{path} holds no report")
    return [_report(text, rows, path) for text, rows in texts.items()]


def _report(text: str, rows: list[dict[str, str]], path: Path) -> Report:
    return Report(
        report_id=report_id(text),
        text=text,
        language=rows[0].get("language") or language_of(text),
        record_ids=tuple(row["record_id"] for row in rows),
        record_count=len(rows),
        statements=merge_statements(
            [codes_of(row.get("codes") or "", f"{path}, line {row['line']}") for row in rows], {}
        ),
    )


def codes_of(cell: str, where: str) -> dict[str, float]:
    """Parse statements, CODE or CODE:LIKELIHOOD, separated by ';'.

    Args:
        cell: the text of the cell.
        where: file and line, for the message of an error.

    Returns:
        Code to likelihood in per cent, 0 where none is given.

    Raises:
        InvalidReport: if a likelihood is not a number from 0 to 100.
    """
    codes = {}
    for part in filter(None, (item.strip() for item in cell.split(";"))):
        code, _, likelihood = part.partition(":")
        codes[code.strip()] = _likelihood(likelihood, where)
    return codes


def _likelihood(text: str, where: str) -> float:
    try:
        likelihood = float(text or 0.0)
    except ValueError:
        likelihood = -1.0
    if not 0.0 <= likelihood <= 100.0:
        raise InvalidReport(
            f"{where}: codes: {text!r} is no likelihood in per cent, 0 to 100", field="codes"
        )
    return likelihood
