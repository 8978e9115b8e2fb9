"""WFDB headers: the text file that describes a record and its signals, with its numbers checked."""

import re
from dataclasses import dataclass
from datetime import datetime

from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.archives import base_name
from cardex.signals.formats.limits import FILE, damaged, refuse_counts, refuse_seconds, refuse_size

MAX_HEADER_BYTES = 256 * 1024
# Bits of a sample by format.
BITS = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12, 310: 32 / 3, 311: 32 / 3}
NULL_FORMAT = 0
"""The format of signals that are stored nowhere."""

_FIRST_LINE = re.compile(
    r"[\w\-]+(?:/(\d{1,9}))?\s+(\d{1,9})(?:\s+(\S+))?(?:\s+(\d{1,15}))?(?:\s+(.*))?"
)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{0,9})?)(?:/\S*)?")
_FORMAT = re.compile(r"(\d{1,4})(?:x(\d{1,4}))?(?::(\d{1,9}))?(?:\+(\d{1,9}))?")
_DATE = re.compile(r"(\d{1,2}:\d{2}:\d{2})(?:\.\d+)?\s+(\d{1,2}/\d{1,2}/\d{4})")


@dataclass(frozen=True, slots=True)
class SignalLine:
    """One signal line of a header.

    Attributes:
        file: base name of the file with the samples.
        format: how they are stored.
        per_frame: samples in each frame.
        skew: samples by which the signal is late.
        offset: place of the first sample in the file, bytes.
        tokens: the words of the line.
    """

    file: str
    format: int
    per_frame: int
    skew: int
    offset: int
    tokens: list[str]

    @property
    def name(self) -> str:
        """The name of the signal, or ""."""
        return " ".join(self.tokens[8:])


@dataclass(frozen=True, slots=True)
class WfdbHeader:
    """A header whose numbers have been checked.

    Attributes:
        rate: sampling rate, Hz; 250 if the header has none.
        rate_stated: whether the header has a rate.
        samples: samples of each signal; 0 if the header does not say.
        recorded_at: local time of the recording, ISO 8601, or "".
        signals: the signal lines.
        comments: the comment lines, without "#".
    """

    rate: float
    rate_stated: bool
    samples: int
    recorded_at: str
    signals: list[SignalLine]
    comments: list[str]


def is_header(content: bytes) -> bool:
    """Tell whether the bytes start like a WFDB header: a record line and a signal line."""
    lines = _lines(content[:2048])[:2]
    if len(lines) < 2 or not _FIRST_LINE.fullmatch(lines[0]):
        return False
    tokens = lines[1].split()
    return len(tokens) >= 2 and bool(_FORMAT.fullmatch(tokens[1]))


def _lines(content: bytes) -> list[str]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def parse_header(content: bytes) -> WfdbHeader:
    """Parse a header.

    Raises:
        InvalidEcg: if it is damaged, names several segments, or claims more than a record may have.
    """
    refuse_size(len(content), MAX_HEADER_BYTES, "the header")
    lines = _lines(content)
    first = _FIRST_LINE.fullmatch(lines[0]) if lines else None
    if first is None:
        raise InvalidEcg("the .hea file is no WFDB header", reason="NOT_AN_ECG", field=FILE)
    segments, count, rate_text, samples_text, when = first.groups()
    if segments is not None:
        raise InvalidEcg(
            "a WFDB record of several segments is not read: send one segment with its own header",
            reason="NOT_AN_ECG",
            field=FILE,
        )
    rate = _RATE.fullmatch(rate_text or "250")
    if rate is None or len(lines) <= int(count) or int(count) == 0:
        raise damaged("the WFDB header")
    hertz, samples = float(rate[1]), int(samples_text or 0)
    refuse_counts(int(count), 0)
    refuse_seconds(samples / hertz if hertz > 0.0 else 0.0)
    signals = [_signal(line) for line in lines[1 : int(count) + 1]]
    refuse_counts(int(count), samples * sum(line.per_frame for line in signals))
    comments = []
    if b"#" in content:
        text = content.decode("utf-8", "replace")
        comments = [line.lstrip()[1:] for line in text.splitlines() if line.lstrip()[:1] == "#"]
    return WfdbHeader(hertz, rate_text is not None, samples, _recorded_at(when), signals, comments)


def _signal(line: str) -> SignalLine:
    tokens = line.split()
    found = _FORMAT.fullmatch(tokens[1]) if len(tokens) > 1 else None
    if found is None:
        raise damaged("a signal line of the WFDB header")
    kind, per_frame, skew, offset = (int(text or 0) for text in found.groups())
    if kind not in BITS and kind != NULL_FORMAT:
        raise InvalidEcg(
            f"WFDB format {kind} is not read: write the record anew in format 16",
            reason="NOT_AN_ECG",
            field=FILE,
        )
    return SignalLine(base_name(tokens[0]), kind, per_frame or 1, skew, offset, tokens)


def _recorded_at(when: str | None) -> str:
    found = _DATE.fullmatch(when.strip()) if when else None
    if found is None:
        return ""
    try:
        return datetime.strptime(f"{found[2]} {found[1]}", "%d/%m/%Y %H:%M:%S").isoformat()
    except ValueError:
        return ""
