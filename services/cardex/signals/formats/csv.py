"""CSV tables of an ECG: a column for each lead, with rate and unit in comments or column names."""

import io
import re
import warnings
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import MAX_SECONDS, Signal, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.leads import canonical
from cardex.signals.formats.csv_header import HEADER_BYTES, CsvHeader, as_utf8, parse_header
from cardex.signals.formats.csv_times import rate_of
from cardex.signals.formats.limits import (
    FILE,
    MIB,
    damaged,
    refuse_counts,
    refuse_seconds,
    refuse_size,
)
from cardex.signals.leads import arrange, refuse_repeated

SOURCE = "CSV"
MAX_TABLE_BYTES = 40 * MIB
MAX_LINE_BYTES = 8192
MAX_TABLE_VALUES = 5_000_000  # 12 leads of 600 s at 500 Hz and their times are 3.9 million

_EMPTY_LINES = 100  # a table of the longest record may have so many among its rows
# numpy counts rows from 0 where a cell is no number, and from 1 where a row is short.
_NO_NUMBER = re.compile(r"at row (\d{1,9}), column")
_SHORT = re.compile(r"at row (\d{1,9}) with")


def matches(content: bytes) -> bool:
    """Tell whether the first line of the text that is no comment names at least two leads."""
    header = parse_header(as_utf8(content[: 2 * HEADER_BYTES]))
    return header is not None and sum(canonical(name) is not None for name in header.names) >= 2


def read(content: bytes, _subject_key: bytes) -> Waveform:
    """Read a table.

    Raises:
        InvalidEcg: if the rate or the unit is missing, a lead stands twice, the times are uneven,
            or a row does not hold numbers.
    """
    refuse_size(len(content), MAX_TABLE_BYTES, "the table")
    content = as_utf8(content)
    refuse_size(len(content), MAX_TABLE_BYTES, "the table")
    header = parse_header(content)
    if header is None:
        raise damaged("the header of the table")
    refuse_repeated(header.names, field=FILE)
    leads = [n for n, name in enumerate(header.names) if canonical(name)]
    scales = [header.scale(n) for n in leads]
    rate, times, seconds_per = header.rate, header.times, header.seconds_per
    if rate is None and seconds_per is None:
        raise InvalidEcg(
            "the table does not say its sampling rate: add a first line such as"
            ' "# rate_hz: 500", or a column "time (s)"',
            reason="SAMPLING_RATE",
            field=FILE,
        )
    columns = leads if times is None or seconds_per is None else [*leads, times]
    values = _numbers(content, header, columns, rate)
    if seconds_per is not None:
        rate = rate_of(values[:, -1], seconds_per, rate)
    with np.errstate(over="ignore"):  # infinite is refused with all that is not finite
        by_name: dict[str, Signal] = {
            header.names[n]: (values[:, place] * scale).astype(np.float32)
            for place, (n, scale) in enumerate(zip(leads, scales, strict=True))
        }
    return Waveform(arrange(by_name, field=FILE), float(rate or 0.0), SOURCE)


def _numbers(
    content: bytes, header: CsvHeader, columns: list[int], rate: float | None
) -> NDArray[np.float64]:
    """Parse the rows: (rows, columns) float64."""
    body = _body(content, header)
    rows = 1 + body.count(b"\n")
    refuse_counts(len(header.names), 0)
    refuse_size(rows * len(columns) * 8, MAX_TABLE_VALUES * 8, "the table as numbers")
    if rate is not None and 0.0 < rate * MAX_SECONDS < rows - _EMPTY_LINES:
        refuse_seconds(rows / rate)
    if max(map(len, io.BytesIO(body)), default=0) > MAX_LINE_BYTES:
        raise damaged("a line of the table is too long")
    text = io.TextIOWrapper(io.BytesIO(body), encoding="latin-1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # numpy warns if there are no rows; that is checked below
            values: NDArray[np.float64] = np.loadtxt(
                text, delimiter=header.delimiter, comments=None, quotechar='"', usecols=columns,
                ndmin=2, max_rows=rows,
            )  # fmt: skip
    except (ValueError, OverflowError, MemoryError) as error:
        raise _no_row(_where(str(error), body, header)) from None
    if not len(values):
        raise _no_row("each row")
    return values


def _body(content: bytes, header: CsvHeader) -> bytes:
    """Return the rows with a line feed at the end of each and with decimal points."""
    body = content[header.size :]
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if header.delimiter != ",":
        body = body.replace(b",", b".")
    # Spreadsheets fill up rows with delimiters, and add rows of nothing else.
    return body.rstrip(b" \n" + header.delimiter.encode())


def _where(error: str, body: bytes, header: CsvHeader) -> str:
    """Return the line of the file that an error of numpy is about; numpy skips empty lines."""
    no_number, short = _NO_NUMBER.search(error), _SHORT.search(error)
    if no_number is None and short is None:
        return "a row"
    row = int(no_number[1]) if no_number else int(short[1]) - 1 if short else 0
    lines = (n for n, line in enumerate(io.BytesIO(body), start=1) if line != b"\n")
    return f"line {header.lines + next(islice(lines, row, None), 0)}"


def _no_row(which: str) -> InvalidEcg:
    return InvalidEcg(
        f"{which} of the table is short, or holds what is no number",
        reason="TRUNCATED_ECG",
        field=FILE,
    )
