"""CSV tables of an ECG: one column per lead, rate and units said in comments or column names."""

import csv
import io
import re
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.domain.ecg import Signal, Waveform
from services.domain.errors import InvalidEcg
from services.signals.formats.limits import (
    FILE,
    MAX_CHANNELS,
    MIB,
    damaged,
    refuse_counts,
    refuse_seconds,
    refuse_size,
)
from services.signals.formats.vendors import MILLIVOLTS
from services.signals.leads import arrange, canonical, repeated

SOURCE = "CSV"
MAX_TABLE_BYTES = 40 * MIB
MAX_LINE_BYTES = 8192
MAX_TABLE_VALUES = 5_000_000  # 12 leads of 600 s at 500 Hz and their times are 3.9 million
RATE_KEYS = frozenset(("rate", "rate_hz", "fs", "fs_hz", "sampling_rate", "sampling_rate_hz",
                       "sample_rate", "sample_rate_hz"))  # fmt: skip
UNIT_KEYS = frozenset(("unit", "units"))

_HEAD_BYTES = 16 * 1024
_LONGEST_NAME = 80
_SAYS = re.compile(r"[:=]")
_COLUMN = re.compile(r"(.{1,60}?)\s*[(\[]\s*(\S{1,12})\s*[)\]]")
_TIME = re.compile(r"(?:time|t)(?:_(m?s))?", re.IGNORECASE)
_TIME_UNITS = {"s": 1.0, "ms": 1e-3}
_ROW = re.compile(r"row (\d{1,9})")


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands above the numbers.

    Attributes:
        size: bytes up to the first row of numbers.
        names: column names without their units.
        units: the unit of each column, or "".
        comments: what the comment lines say, by key.
        delimiter: what parts the columns.
    """

    size: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    comments: dict[str, str]
    delimiter: str


def is_table(content: bytes) -> bool:
    """Tell whether the bytes are text whose first line, comments aside, names two leads at least."""
    head = _head(content)
    return head is not None and sum(canonical(name) is not None for name in head.names) >= 2


def read_table(content: bytes) -> Waveform:
    """Read a table.

    Raises:
        InvalidEcg: if rate or unit are missing, a lead stands twice, the steps of time are uneven,
            or a row is no row of numbers.
    """
    refuse_size(len(content), MAX_TABLE_BYTES, "the table")
    head = _head(content)
    if head is None:
        raise damaged("the head of the table")
    lead = repeated(head.names)
    if lead:
        raise InvalidEcg(f"lead {lead} stands twice", reason="LEAD_SET", field=FILE)
    leads = [n for n, name in enumerate(head.names) if canonical(name)]
    scales = [_scale(head, n) for n in leads]
    times = next((n for n, name in enumerate(head.names) if _TIME.fullmatch(name)), None)
    stated = _stated_rate(head)
    seconds_per = _time_unit(head, times) if times is not None else None
    if stated is None and seconds_per is None:
        raise InvalidEcg(
            "the table does not say its sampling rate: add a first line such as"
            ' "# rate_hz: 500", or a column "time (s)"',
            reason="SAMPLING_RATE",
            field=FILE,
        )
    timed = times is not None and seconds_per is not None
    columns = [*leads, times] if timed and times is not None else leads
    values = _numbers(content, head, columns, stated)
    rate = stated
    if timed and seconds_per is not None:
        rate = _rate_of(values[:, -1] * seconds_per, stated)
    with np.errstate(over="ignore"):  # infinite is refused with all that is not finite
        by_name: dict[str, Signal] = {
            head.names[n]: (values[:, place] * scale).astype(np.float32)
            for place, (n, scale) in enumerate(zip(leads, scales, strict=True))
        }
    return Waveform(arrange(by_name, field=FILE), float(rate or 0.0), SOURCE)


def _head(content: bytes) -> _Head | None:
    """Parse comments and column names; None where the bytes are no text of that form."""
    start = content[:_HEAD_BYTES]
    if b"\0" in start:
        return None
    comments: dict[str, str] = {}
    size = 0
    for raw in start.splitlines(keepends=True):
        size += len(raw)
        line = _text(raw).strip()
        if line.startswith("#"):
            key, *values = _SAYS.split(line.lstrip("#"), maxsplit=1)
            for value in " ".join(values).split()[:1]:
                comments.setdefault("_".join(key.lower().split()), value)
        elif line:
            return _columns(line, size, comments)
    return None


def _columns(line: str, size: int, comments: dict[str, str]) -> _Head | None:
    delimiter = max(";\t,", key=line.count)
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:
        return None
    if not 2 <= len(cells) <= 2 * MAX_CHANNELS or max(map(len, cells)) > _LONGEST_NAME:
        return None
    named = [(_COLUMN.fullmatch(cell), cell) for cell in cells]
    return _Head(
        size,
        tuple(found[1] if found else cell for found, cell in named),
        tuple(found[2] if found else "" for found, _ in named),
        comments,
        delimiter,
    )


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _scale(head: _Head, column: int) -> float:
    """Return the mV that one unit of a column has."""
    said = head.units[column] or next(
        (head.comments[key] for key in UNIT_KEYS if key in head.comments), ""
    )
    scale = MILLIVOLTS.get(said.lower())
    if scale is None:
        raise InvalidEcg(
            "the table does not say its unit, or another than V, mV, uV and nV: add a first line"
            ' such as "# unit: mV", or name the columns "I (mV)", "II (mV)"',
            reason="UNIT",
            field=FILE,
        )
    return scale


def _stated_rate(head: _Head) -> float | None:
    said = next((head.comments[key] for key in RATE_KEYS if key in head.comments), None)
    if said is None:
        return None
    try:
        return float(said.lower().removesuffix("hz"))
    except ValueError:
        raise InvalidEcg(
            'the sampling rate in the comment is no number: write "# rate_hz: 500"',
            reason="SAMPLING_RATE",
            field=FILE,
        ) from None


def _time_unit(head: _Head, column: int) -> float | None:
    found = _TIME.fullmatch(head.names[column])
    said = head.units[column] or (found[1] if found else "") or ""
    return _TIME_UNITS.get(said.lower())


def _numbers(
    content: bytes, head: _Head, columns: list[int], rate: float | None
) -> NDArray[np.float64]:
    """Parse the rows: (rows, columns) float64."""
    body = content[head.size :]
    rows = 1 + body.count(b"\n") + body.count(b"\r") - body.count(b"\r\n")
    refuse_counts(len(head.names), 0)
    refuse_size(rows * len(columns) * 8, MAX_TABLE_VALUES * 8, "the table as numbers")
    if rate is not None and rate > 0.0:
        refuse_seconds((rows - 1) / rate)
    if max(map(len, io.BytesIO(body)), default=0) > MAX_LINE_BYTES:
        raise damaged("a line of the table is too long")
    if head.delimiter == ";":
        body = body.replace(b",", b".")
    text = io.TextIOWrapper(io.BytesIO(body), encoding="latin-1", newline=None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are no rows is told below
            values: NDArray[np.float64] = np.loadtxt(
                text, delimiter=head.delimiter, comments=None, quotechar='"', usecols=columns,
                ndmin=2, max_rows=rows,
            )  # fmt: skip
    except (ValueError, OverflowError, MemoryError) as error:
        found = _ROW.search(str(error))
        raise _no_row(f"row {found[1]}" if found else "a row") from None
    if not len(values):
        raise _no_row("each row")
    return values


def _no_row(which: str) -> InvalidEcg:
    return InvalidEcg(
        f"{which} of the table is short, or holds what is no number",
        reason="TRUNCATED_ECG",
        field=FILE,
    )


def _rate_of(times: NDArray[np.float64], stated: float | None) -> float:
    """Return the rate of evenly spaced times in s: what the comment says, where they agree."""
    span = float(times[-1] - times[0])
    if len(times) < 2 or not np.isfinite(times).all() or span <= 0.0:
        raise _uneven()
    step = span / (len(times) - 1)
    printed = _resolution(times)
    ideal = times[0] + step * np.arange(len(times))
    steps = np.diff(times)
    if (
        printed > 0.5 * step
        or np.abs(steps - step).max() > printed + 1e-2 * step
        or np.abs(times - ideal).max() > printed + 1e-2 * step
    ):
        raise _uneven()
    rate = 1.0 / step
    slack = rate * printed / span + 1e-6 * rate
    if stated is not None:
        if abs(rate - stated) > slack + 1e-2 * stated:
            raise InvalidEcg(
                f"the comment says {stated:g} Hz and the times say {rate:g} Hz",
                reason="SAMPLING_RATE",
                field=FILE,
            )
        return stated
    return float(round(rate)) if abs(rate - round(rate)) <= slack else rate


def _resolution(times: NDArray[np.float64]) -> float:
    """Return the power of ten s to which the times were rounded when they were printed."""
    some = times[:: max(1, len(times) // 512)]
    for digits in range(10):
        scaled = some * 10.0**digits
        if np.abs(scaled - np.round(scaled)).max() < 1e-4:
            return float(10.0**-digits)
    return 0.0


def _uneven() -> InvalidEcg:
    return InvalidEcg(
        "the times of the rows are not evenly spaced, or printed with too few digits: resample the"
        " leads to one rate",
        reason="SAMPLING_RATE",
        field=FILE,
    )
