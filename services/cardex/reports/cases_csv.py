"""Reads cases from a CSV file with one row per record, row by row."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from cardex.domain.cases import MAX_AGE, MAX_CASE_ID, MAX_CODES, MAX_DEVICE, Case, Sex
from cardex.domain.errors import InvalidReport
from cardex.domain.reports import Statement
from cardex.reports.case_source import CaseSource
from cardex.reports.csv import codes_of
from cardex.reports.language import language_of
from cardex.reports.ptbxl import normalise
from cardex.reports.validation import CASE_ID, MAX_TEXT

NEEDED = ("case_id", "report")
OPTIONAL = ("path", "age", "sex", "month", "language", "device", "codes")
SEXES = {"": Sex.UNKNOWN, "f": Sex.FEMALE, "female": Sex.FEMALE, "m": Sex.MALE, "male": Sex.MALE}

_MONTH = re.compile(
    r"((?:19|20)\d\d-(?:0[1-9]|1[0-2]))(?:-(?:0[1-9]|[12]\d|3[01])(?:[T ].*)?)?", re.ASCII
)
_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(?:-[a-zA-Z]{2,4}){0,2}")


def read_cases(path: Path) -> Iterator[CaseSource]:
    """Yield the case of each row of a CSV file with a header row.

    Of earlier rows nothing is held but a hash of each case_id.

    Raises:
        InvalidReport: at the first row that cannot be used; the message names file, line and
            column, and what to do.
    """
    seen: set[int] = set()
    for row in _rows(path):
        case_id = row.cell("case_id")
        key = hash(case_id)
        if key in seen and (earlier := _line_of(path, case_id, row.line)):
            row.refuse("case_id", f"{case_id[:40]!r} stands in line {earlier} already: leave one")
        seen.add(key)
        yield _source(row)
    if not seen:
        raise InvalidReport(f"{path} holds no case: write one row for each record")


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the file."""

    path: Path
    line: int
    cells: Mapping[str, str | None] = field(repr=False)

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.line}"

    def cell(self, column: str) -> str:
        """Return a cell without the space about it, "" where the row or file lacks it."""
        return (self.cells.get(column) or "").strip()

    def refuse(self, column: str, problem: str) -> NoReturn:
        raise InvalidReport(f"{self.where}: {column}: {problem}", field=column)


def _source(row: _Row) -> CaseSource:
    ecg = _ecg(row)
    text = _text(row)
    case = Case(
        case_id=_case_id(row),
        text=text,
        age=_age(row),
        sex=_sex(row),
        month=_month(row),
        language=_language(row) or language_of(text),
        device=_device(row),
        statements=_statements(row),
        has_ecg=ecg is not None,
    )
    return CaseSource(case, ecg)


def _case_id(row: _Row) -> str:
    case_id = row.cell("case_id")
    if not CASE_ID.fullmatch(case_id):
        row.refuse(
            "case_id",
            f"{case_id[:40]!r}: write 1 to {MAX_CASE_ID} letters, digits, '_', '.', ':' or '-',"
            " after the archive's name and '/' if it has one",
        )
    return case_id


def _text(row: _Row) -> str:
    text = normalise(row.cell("report"))
    if not text:
        row.refuse("report", "is empty: leave the row out, or give the report")
    if len(text) > MAX_TEXT:
        row.refuse("report", f"has {len(text)} characters: at most {MAX_TEXT}")
    return text


def _ecg(row: _Row) -> Path | None:
    name = row.cell("path")
    if not name:
        return None
    if "\0" in name:
        row.refuse("path", "holds what no file name can")
    ecg = row.path.parent / name
    if not ecg.is_file():
        row.refuse(
            "path",
            f"{ecg} is no file: give the ECG's path from the folder of the CSV, for WFDB that of"
            " the .hea, or leave it empty",
        )
    return ecg


def _age(row: _Row) -> int | None:
    cell = row.cell("age")
    try:
        age = float(cell) if cell else None
    except ValueError:
        age = -1.0
    if age is not None and not 0 <= age <= MAX_AGE:
        row.refuse("age", f"{cell[:40]!r}: write years, 0 to {MAX_AGE}, or leave it empty")
    return None if age is None else int(age)


def _sex(row: _Row) -> Sex:
    cell = row.cell("sex")
    sex = SEXES.get(cell.lower())
    if sex is None:
        row.refuse("sex", f"{cell[:40]!r}: write F, M, female or male, or leave it empty")
    return sex


def _month(row: _Row) -> str:
    cell = row.cell("month")
    matched = _MONTH.fullmatch(cell)
    if cell and matched is None:
        row.refuse("month", f"{cell[:40]!r}: write 2026-11 or 2026-11-24, or leave it empty")
    return matched[1] if matched else ""


def _language(row: _Row) -> str:
    cell = row.cell("language")
    if cell and not _LANGUAGE.fullmatch(cell):
        row.refuse("language", f"{cell[:40]!r}: write a code such as de, or leave it empty")
    return cell.lower()


def _device(row: _Row) -> str:
    device = normalise(row.cell("device"))
    if len(device) > MAX_DEVICE:
        row.refuse("device", f"has {len(device)} characters: at most {MAX_DEVICE}")
    return device


def _statements(row: _Row) -> tuple[Statement, ...]:
    codes = codes_of(row.cell("codes"), row.where)
    if "" in codes:
        row.refuse("codes", "a code is missing: write CODE or CODE:LIKELIHOOD, split by ';'")
    if len(codes) > MAX_CODES:
        row.refuse("codes", f"{len(codes)} statements: at most {MAX_CODES}")
    return tuple(Statement(code, "", likelihood or None) for code, likelihood in codes.items())


def _rows(path: Path) -> Iterator[_Row]:
    rows = None
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, strict=True)
            last = _check_header(path, list(rows.fieldnames or ()))
            for cells in rows:
                row = _Row(path, rows.line_num, cells)
                if None in cells:
                    row.refuse(last, "more cells follow: put texts that hold commas in quotes")
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        where = f"{path}, about line {rows.line_num if rows else 1}"
        remedy = "save it as CSV in UTF-8, texts with commas or quotes in quotes"
        raise InvalidReport(f"{where}: {error}: {remedy}") from error
    except OSError as error:
        raise InvalidReport(f"{path}: {error.strerror}") from error


def _check_header(path: Path, header: list[str]) -> str:
    """Return the last column of a header that can be used."""
    if not set(NEEDED) <= set(header) or len(set(header)) < len(header):
        raise InvalidReport(
            f"{path}, line 1: needs a header row, split by commas, with {', '.join(NEEDED)} and"
            f" optionally {', '.join(OPTIONAL)}, each once",
            field="header",
        )
    return header[-1]


def _line_of(path: Path, case_id: str, before: int) -> int | None:
    """Return the first line above `before` that has a case_id: equal hashes do not prove one."""
    rows = ((row.line, row.cell("case_id")) for row in _rows(path))
    return next((line for line, own in rows if line < before and own == case_id), None)
