"""The header of a CSV table: its comments, the names of its columns, and its delimiter."""

import codecs
import csv
import re
from dataclasses import dataclass

from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.ecgdatakit_adapter import MILLIVOLTS
from cardex.signals.formats.limits import FILE, MAX_CHANNELS

HEADER_BYTES = 16 * 1024
DELIMITERS = ";\t,"

_RATE_KEYS = ("rate", "fs", "samplingrate", "samplerate", "samplingfrequency", "samplefrequency")
_UNIT_KEYS = ("unit", "units")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONGEST_NAME = 80
_STATEMENT = re.compile(r"([A-Za-z][\w \t()\[\]/-]{0,40})[:=]\s{0,40}(\d+,\d+|[^\s,;\"]{1,40})")
_NO_LETTERS = re.compile(r"[^a-z]+")
_SEPARATOR = re.compile(rf'"?sep=([{DELIMITERS}])"?[{DELIMITERS}]*')
_COLUMN = re.compile(r"(.{1,60}?)\s*[(\[]\s*(\S{1,12})\s*[)\]]")
_TIME = re.compile(r"(?:time|timestamp|t)(?:[_ ](m?s(?:ec)?))?", re.IGNORECASE)
_TIME_UNITS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """The lines above the numbers.

    Attributes:
        size: length of the header, bytes.
        lines: number of its lines.
        names: column names without their units.
        units: the unit of each column, or "".
        comments: values of the comments; keys are in lower case and without "hz".
        delimiter: the character between two columns.
    """

    size: int
    lines: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    comments: dict[str, str]
    delimiter: str

    @property
    def times(self) -> int | None:
        """Number of the column that holds the times, or None."""
        return next((n for n, name in enumerate(self.names) if _TIME.fullmatch(name)), None)

    @property
    def seconds_per(self) -> float | None:
        """Length of the unit of the times, s; None if there are no times or the unit is unknown."""
        if self.times is None:
            return None
        named = _TIME.fullmatch(self.names[self.times])
        stated = self.units[self.times] or (named[1] if named else "") or ""
        return _TIME_UNITS.get(stated.lower())

    @property
    def rate(self) -> float | None:
        """The sampling rate in a comment, Hz, or None.

        Raises:
            InvalidEcg: if the comment has something else than a number.
        """
        stated = self._stated(_RATE_KEYS)
        if not stated:
            return None
        try:
            return float(stated.lower().removesuffix("hz").replace(",", "."))
        except ValueError:
            raise InvalidEcg(
                'the sampling rate in the comment is no number: write "# rate_hz: 500"',
                reason="SAMPLING_RATE",
                field=FILE,
            ) from None

    def scale(self, column: int) -> float:
        """Return how many mV the unit of a column is.

        Raises:
            InvalidEcg: if neither its name nor a comment has a unit of voltage.
        """
        scale = MILLIVOLTS.get((self.units[column] or self._stated(_UNIT_KEYS)).lower())
        if scale is None:
            raise InvalidEcg(
                "the table does not say its unit, or another than V, mV, uV and nV: add a first"
                ' line such as "# unit: mV", or name the columns "I (mV)", "II (mV)"',
                reason="UNIT",
                field=FILE,
            )
        return scale

    def _stated(self, keys: tuple[str, ...]) -> str:
        return next((self.comments[key] for key in keys if key in self.comments), "")


def as_utf8(content: bytes) -> bytes:
    """Return text with the byte order mark of UTF-16 as UTF-8, and any other bytes unchanged."""
    if content.startswith(_UTF16):
        return content.decode("utf-16", "replace").encode()
    return content


def parse_header(content: bytes) -> CsvHeader | None:
    """Parse comments and column names; None if the bytes are not the header of a table."""
    start = content[:HEADER_BYTES]
    if b"\0" in start:
        return None
    comments: dict[str, str] = {}
    size, delimiter = 0, ""
    for number, raw in enumerate(start.splitlines(keepends=True), start=1):
        size += len(raw)
        line = _text(raw).strip("\r\n")
        separator = _SEPARATOR.fullmatch(line) if number == 1 else None
        bare = line.strip(f' "{DELIMITERS}')  # spreadsheets quote comments and add delimiters
        if separator:
            delimiter = separator[1]
        elif bare.startswith("#"):
            for key, value in _STATEMENT.findall(bare):
                letters = _NO_LETTERS.sub("", key.lower()).removesuffix("hz")
                comments.setdefault(letters, value.strip("()[]"))
        elif bare:
            return _columns(line.strip(" "), size, number, comments, delimiter)
    return None


def _columns(
    line: str, size: int, lines: int, comments: dict[str, str], delimiter: str
) -> CsvHeader | None:
    delimiter = delimiter or max(DELIMITERS, key=line.count)
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:
        return None
    while cells and not cells[-1]:
        cells.pop()
    if not 2 <= len(cells) <= 2 * MAX_CHANNELS or max(map(len, cells)) > _LONGEST_NAME:
        return None
    named = [(_COLUMN.fullmatch(cell), cell) for cell in cells]
    return CsvHeader(
        size,
        lines,
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
