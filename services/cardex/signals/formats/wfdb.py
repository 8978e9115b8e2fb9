"""WFDB records: a header and its signal files. The usual format 16 is read without a library."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ecgdatakit.parsing.parsers.wfdb import WFDBParser

from cardex.domain.ecg import FilePart, RecordingMetadata, Signal, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.leads import canonical
from cardex.signals.formats import ecgdatakit_adapter
from cardex.signals.formats.archives import base_name
from cardex.signals.formats.limits import COMPANIONS, FILE, damaged, refuse_counts, refuse_seconds
from cardex.signals.formats.metadata import recording_metadata
from cardex.signals.formats.wfdb_header import (
    BITS,
    NULL_FORMAT,
    SignalLine,
    WfdbHeader,
    parse_header,
)
from cardex.signals.leads import arrange, refuse_repeated

SOURCE = "WFDB"

_GAIN = re.compile(r"(\d{1,9}(?:\.\d{0,20})?)(?:\((-?\d{1,9})\))?(?:/(\S{1,16}))?")
_INVALID = np.int16(-32768)
"""How format 16 marks a sample that is missing."""


def read_record(header: FilePart, others: Sequence[FilePart], subject_key: bytes) -> Waveform:
    """Read one record.

    Args:
        header: the .hea file.
        others: the other files that were sent. A signal file is found by its base name, and must
            be there only if it has a lead.
        subject_key: key for the patient's id.

    Raises:
        InvalidEcg: if a file is missing or too short, a lead stands twice, or the header asks for
            something that is not read.
    """
    parsed = _with_leads(parse_header(header.content))
    files = _needed(parsed, others)
    by_name = _interleaved(parsed, files)
    if by_name is None:
        return _by_library(parsed, files, subject_key)
    return Waveform(
        arrange(by_name, field=FILE), parsed.rate, SOURCE, _metadata(parsed, subject_key)
    )


def _with_leads(header: WfdbHeader) -> WfdbHeader:
    """Leave out files without a lead of the 12, such as the Frank leads in PTB Diagnostic."""
    refuse_repeated((line.name for line in header.signals), field=FILE)
    if len({line.tokens[0] for line in header.signals}) > len({s.file for s in header.signals}):
        raise _ambiguous()
    wanted = {line.file for line in header.signals if canonical(line.name)}
    signals = [line for line in header.signals if line.file in wanted]
    if not signals:
        arrange({}, field=FILE)
    return replace(header, signals=signals)


def _needed(header: WfdbHeader, others: Sequence[FilePart]) -> dict[str, bytes]:
    """Return the signal files of a header by their base names."""
    needed = dict.fromkeys(line.file for line in header.signals if line.format != NULL_FORMAT)
    files: dict[str, bytes] = {}
    for part in others:
        name = base_name(part.name)
        if name in needed and files.setdefault(name, part.content) != part.content:
            raise _ambiguous()
    for missing in (name for name in needed if name not in files):
        leads = [canonical(line.name) for line in header.signals if line.file == missing]
        raise InvalidEcg(
            f"the header names a file with lead {', '.join(filter(None, leads))} that was not sent:"
            " send it as a companion",
            reason="MISSING_FILE",
            field=COMPANIONS,
        )
    return files


def _ambiguous() -> InvalidEcg:
    return InvalidEcg(
        "two files of one name in different folders: send one recording at a time",
        reason="NOT_AN_ECG",
        field=COMPANIONS,
    )


def _interleaved(header: WfdbHeader, files: Mapping[str, bytes]) -> dict[str, Signal] | None:
    """Read interleaved 16-bit samples of one file, (samples,) mV by lead; None for other forms."""
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
        if canonical(line.name):
            scaled = _scaled(columns[:, number], line)
            if scaled is None:
                return None
            by_name[line.name] = scaled
    return by_name


def _scaled(
    raw: np.ndarray[tuple[int, ...], np.dtype[np.int16]], line: SignalLine
) -> Signal | None:
    """Return (raw - baseline) / gain, (samples,) mV; None if the line has no gain or unit."""
    found = _GAIN.fullmatch(line.tokens[2])
    if found is None or not found[3] or float(found[1]) == 0.0:
        return None
    try:
        baseline = int(found[2] if found[2] is not None else line.tokens[4])
    except ValueError:
        raise damaged("a signal line of the WFDB header") from None
    scale = ecgdatakit_adapter.millivolts_per(found[3]) / float(found[1])
    if abs(baseline) < 2**23:  # a difference that a float32 holds exactly
        values = (raw - np.float32(baseline)) * np.float32(scale)
    else:
        values = ((raw.astype(np.float64) - baseline) * scale).astype(np.float32)
    values[raw == _INVALID] = np.nan
    return values


def _by_library(header: WfdbHeader, files: Mapping[str, bytes], subject_key: bytes) -> Waveform:
    """Read any other format with ecgdatakit, under file names that the sender did not choose."""
    names = {
        name: f"signal{n}" for n, name in enumerate(dict.fromkeys(s.file for s in header.signals))
    }
    with tempfile.TemporaryDirectory(prefix="cardex-ecg-") as folder:
        for name, own in names.items():
            if name in files:
                Path(folder, own).write_bytes(_cut(header, name, files[name]))
        rate = f" {header.rate!r} {header.samples}" if header.rate_stated else ""
        lines = [f"ecg {len(header.signals)}{rate}"]
        lines += [
            " ".join([names[s.file], *s.tokens[1:8], canonical(s.name) or ""])
            for s in header.signals
        ]
        path = Path(folder, "ecg.hea")
        path.write_text("\n".join(lines), encoding="utf-8")
        waveform = ecgdatakit_adapter.read_path(WFDBParser, path, b"")
    return Waveform(waveform.signal, waveform.rate, SOURCE, _metadata(header, subject_key))


def _cut(header: WfdbHeader, name: str, content: bytes) -> bytes:
    """Cut off the bytes after the declared samples, which the parser would decode too."""
    signals = [s for s in header.signals if s.file == name and s.format != NULL_FORMAT]
    per_frame = sum(s.per_frame for s in signals)
    bits = max((BITS[s.format] for s in signals), default=8)
    offset = signals[0].offset if signals else 0
    frames = int(max(0, len(content) - offset) * 8 / bits / max(1, per_frame))
    if header.samples:
        frames = min(frames, header.samples + max((s.skew for s in signals), default=0))
    refuse_counts(0, frames * per_frame)
    if not header.samples and header.rate:
        refuse_seconds(frames / header.rate)
    return content[: offset + int(frames * per_frame * bits / 8) + 4]


def _metadata(header: WfdbHeader, subject_key: bytes) -> RecordingMetadata:
    """Read device and patient from the comments; a diagnosis in them is not the machine's own."""
    stated: dict[str, str] = {}
    for comment in header.comments:
        key, _, value = comment.partition(":")
        stated.setdefault(key.strip(" \t<>").lower(), value.strip())
    return recording_metadata(
        device=(stated.get("device") or stated.get("equipment") or "",),
        recorded_at=header.recorded_at,
        patient_id=stated.get("patient id") or stated.get("id") or "",
        subject_key=subject_key,
    )
