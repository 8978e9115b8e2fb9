"""WFDB records: a header and its signal files, which are read from memory in their commonest shape."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from ecgdatakit.parsing.parsers.wfdb import WFDBParser

from services.domain.ecg import FilePart, Origin, Signal, Waveform
from services.domain.errors import InvalidEcg
from services.signals.formats import vendors
from services.signals.formats.limits import (
    FILE,
    damaged,
    refuse_counts,
    refuse_seconds,
    refuse_size,
)
from services.signals.formats.origins import origin
from services.signals.leads import arrange, canonical

SOURCE = "WFDB"
MAX_HEADER_BYTES = 256 * 1024
COMPANIONS = "ecg.file.companions"

_FIRST_LINE = re.compile(
    r"[\w\-]+(?:/(\d{1,9}))?\s+(\d{1,9})(?:\s+(\S+))?(?:\s+(\d{1,15}))?(?:\s+(.*))?"
)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{0,9})?)(?:/\S*)?")
_FORMAT = re.compile(r"(\d{1,4})(?:x(\d{1,4}))?(?::(\d{1,9}))?(?:\+(\d{1,9}))?")
_GAIN = re.compile(r"(\d{1,9}(?:\.\d{0,20})?)(?:\((-?\d{1,9})\))?(?:/(\S{1,16}))?")
_DATE = re.compile(r"(\d{1,2}:\d{2}:\d{2})(?:\.\d+)?\s+(\d{1,2}/\d{1,2}/\d{4})")
_BITS = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12, 310: 32 / 3, 311: 32 / 3}
_NULL_FORMAT = 0
_INVALID = np.int16(-32768)
"""How format 16 marks a sample that is missing."""


@dataclass(frozen=True, slots=True)
class _Signal:
    """One signal line of a header: where its samples are, and the rest of its tokens."""

    file: str
    format: int
    per_frame: int
    skew: int
    offset: int
    tokens: list[str]


@dataclass(frozen=True, slots=True)
class _Header:
    """A header, its numbers checked: `samples` is 0 where it does not say how many there are."""

    rate: float
    rate_stated: bool
    samples: int
    recorded_at: str
    signals: list[_Signal]
    comments: list[str]


def is_header(content: bytes) -> bool:
    """Tell whether the bytes start like a WFDB header: a record line and a signal line."""
    lines = _lines(content[:2048])[:2]
    if len(lines) < 2 or not _FIRST_LINE.fullmatch(lines[0]):
        return False
    tokens = lines[1].split()
    return len(tokens) >= 2 and bool(_FORMAT.fullmatch(tokens[1]))


def read_record(header: FilePart, others: Sequence[FilePart], subject_key: bytes) -> Waveform:
    """Read one record.

    Args:
        header: the .hea file.
        others: what was sent beside it; a signal file is found by its base name.
        subject_key: key for the patient's id.

    Raises:
        InvalidEcg: if a file is missing or short, or the header asks for what is not read.
    """
    parsed = _parse(header.content)
    files = {part.name.rsplit("/", 1)[-1]: part.content for part in others}
    for number, line in enumerate(parsed.signals, start=1):
        if line.format != _NULL_FORMAT and line.file not in files:
            raise InvalidEcg(
                f"the header names a file for signal {number} that was not sent: send it as a"
                " companion",
                reason="MISSING_FILE",
                field=COMPANIONS,
            )
    by_name = _interleaved(parsed, files)
    if by_name is None:
        return _by_library(parsed, files, subject_key)
    return Waveform(arrange(by_name, field=FILE), parsed.rate, SOURCE, _origin(parsed, subject_key))


def _lines(content: bytes) -> list[str]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _parse(content: bytes) -> _Header:
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
    return _Header(hertz, rate_text is not None, samples, _recorded_at(when), signals, comments)


def _signal(line: str) -> _Signal:
    tokens = line.split()
    found = _FORMAT.fullmatch(tokens[1]) if len(tokens) > 1 else None
    if found is None:
        raise damaged("a signal line of the WFDB header")
    kind, per_frame, skew, offset = (int(text or 0) for text in found.groups())
    if kind not in _BITS and kind != _NULL_FORMAT:
        raise InvalidEcg(
            f"WFDB format {kind} is not read: write the record anew in format 16",
            reason="NOT_AN_ECG",
            field=FILE,
        )
    return _Signal(tokens[0], kind, per_frame or 1, skew, offset, tokens)


def _interleaved(header: _Header, files: Mapping[str, bytes]) -> dict[str, Signal] | None:
    """Read 16-bit samples that lie interleaved in one file: (samples,) mV by lead; else None."""
    first = header.signals[0]
    shape = (first.file, 16, 1, 0, first.offset)
    if (
        not header.rate_stated
        or not header.rate
        or any(
            (line.file, line.format, line.per_frame, line.skew, line.offset) != shape
            or len(line.tokens) < 9
            for line in header.signals
        )
    ):
        return None
    content, channels = files[first.file], len(header.signals)
    there = max(0, len(content) - first.offset) // (2 * channels)
    samples = header.samples or there
    if there < samples or not samples:
        raise damaged("its signal file ends too early")
    refuse_seconds(samples / header.rate)
    refuse_counts(channels, samples * channels)
    frames = np.frombuffer(content, "<i2", samples * channels, first.offset)
    columns = frames.reshape(samples, channels)  # (samples, channels)
    by_name: dict[str, Signal] = {}
    for number, line in enumerate(header.signals):
        name = " ".join(line.tokens[8:])
        if canonical(name) and name not in by_name:
            scaled = _scaled(columns[:, number], line)
            if scaled is None:
                return None
            by_name[name] = scaled
    return by_name


def _scaled(raw: np.ndarray[tuple[int, ...], np.dtype[np.int16]], line: _Signal) -> Signal | None:
    """Return (samples,) mV of counts: (raw - baseline) / gain; None where the line is unusual."""
    found = _GAIN.fullmatch(line.tokens[2])
    if found is None or not found[3] or float(found[1]) == 0.0:
        return None
    try:
        baseline = int(found[2] if found[2] is not None else line.tokens[4])
    except ValueError:
        raise damaged("a signal line of the WFDB header") from None
    scale = vendors.millivolts_per(found[3]) / float(found[1])
    if abs(baseline) < 2**23:  # a difference that a float32 holds exactly
        values = (raw - np.float32(baseline)) * np.float32(scale)
    else:
        values = ((raw.astype(np.float64) - baseline) * scale).astype(np.float32)
    values[raw == _INVALID] = np.nan
    return values


def _by_library(header: _Header, files: Mapping[str, bytes], subject_key: bytes) -> Waveform:
    """Read any other shape with ecgdatakit, under names of our own that lead nowhere else."""
    names = {
        name: f"signal{n}" for n, name in enumerate(dict.fromkeys(s.file for s in header.signals))
    }
    with tempfile.TemporaryDirectory(prefix="cardex-ecg-") as folder:
        for name, own in names.items():
            if name in files:
                Path(folder, own).write_bytes(_needed(header, name, files[name]))
        rate = f" {header.rate!r} {header.samples}" if header.rate_stated else ""
        lines = [f"ecg {len(header.signals)}{rate}"]
        lines += [" ".join([names[s.file], *s.tokens[1:]]) for s in header.signals]
        path = Path(folder, "ecg.hea")
        path.write_text("\n".join(lines), encoding="utf-8")
        waveform = vendors.parsed_path(WFDBParser, path, b"")
    return Waveform(waveform.signal, waveform.rate, SOURCE, _origin(header, subject_key))


def _needed(header: _Header, name: str, content: bytes) -> bytes:
    """Cut what lies behind the declared samples, which the parser would decode with them."""
    signals = [s for s in header.signals if s.file == name and s.format != _NULL_FORMAT]
    per_frame = sum(s.per_frame for s in signals)
    bits = max((_BITS[s.format] for s in signals), default=8)
    offset = signals[0].offset if signals else 0
    frames = int(max(0, len(content) - offset) * 8 / bits / max(1, per_frame))
    if header.samples:
        frames = min(frames, header.samples + max((s.skew for s in signals), default=0))
    refuse_counts(0, frames * per_frame)
    if not header.samples and header.rate:
        refuse_seconds(frames / header.rate)
    return content[: offset + int(frames * per_frame * bits / 8) + 4]


def _recorded_at(when: str | None) -> str:
    found = _DATE.fullmatch(when.strip()) if when else None
    if found is None:
        return ""
    try:
        return datetime.strptime(f"{found[2]} {found[1]}", "%d/%m/%Y %H:%M:%S").isoformat()
    except ValueError:
        return ""


def _origin(header: _Header, subject_key: bytes) -> Origin:
    """Read the comments that name device and patient; a diagnosis there is not the machine's own."""
    said: dict[str, str] = {}
    for comment in header.comments:
        key, _, value = comment.partition(":")
        said.setdefault(key.strip(" \t<>").lower(), value.strip())
    return origin(
        device=(said.get("device") or said.get("equipment") or "",),
        recorded_at=header.recorded_at,
        patient_id=said.get("patient id") or said.get("id") or "",
        subject_key=subject_key,
    )
