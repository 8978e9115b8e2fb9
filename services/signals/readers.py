"""Bytes or typed samples to a checked `Waveform`.

Formats are told by content. ecgdatakit parses; what it leaves open is settled here: leads are put in
canonical order by label, missing limb leads are derived, and nothing implausible passes.
"""

import re
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from ecgdatakit import ECGDataKitError, FileParser
from ecgdatakit.parsing.helpers.labels import decode_text

from services.domain.ecg import (
    LEADS,
    MAX_RATE_HZ,
    MAX_SECONDS,
    MIN_RATE_HZ,
    MIN_SECONDS,
    EcgInput,
    FilePart,
    Signal,
    TypedSamples,
    Waveform,
)
from services.domain.errors import InvalidEcg
from services.signals.archives import unpack

MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3}
MAX_ABS_MV = 100.0
FLAT_MV = 1e-6
MAX_HEADER_BYTES = 256 * 1024

# Einthoven (III, aVR, aVL, aVF from I and II) and Goldberger.
_DERIVED: Mapping[str, Callable[[Signal, Signal], Signal]] = {
    "III": lambda i, ii: ii - i,
    "aVR": lambda i, ii: np.float32(-0.5) * (i + ii),
    "aVL": lambda i, ii: i - np.float32(0.5) * ii,
    "aVF": lambda i, ii: ii - np.float32(0.5) * i,
}
_FILE_NAME = re.compile(r"(?!\.{1,2}$)[^/\x00]{1,60}")
_WFDB_HEADER = re.compile(rb"[\w./-]+ \d+ \d+(\.\d+)?(/\S+)?( \d+)?\s*\n")
_CANONICAL = {lead.upper(): lead for lead in LEADS}


def read(ecg: EcgInput) -> Waveform:
    """Make a waveform of what a client sent.

    Args:
        ecg: typed samples, or the file or files of one recording.

    Returns:
        A checked waveform: 12 leads in canonical order, finite float32 mV, 2 s to 10 min.

    Raises:
        InvalidEcg: with a reason (NOT_AN_ECG, EMPTY_PAYLOAD, TRUNCATED_ECG, LEAD_SET, NOT_FINITE, MISSING_FILE, ZIP_LIMIT,
            ALL_LEADS_FLAT, SAMPLING_RATE, UNIT, DURATION, AMPLITUDE) and the field at fault.
    """
    waveform = _from_samples(ecg) if isinstance(ecg, TypedSamples) else _from_files(ecg)
    return _checked(waveform)


def warm_up() -> None:
    """Import the parsers now, which takes a quarter of a second, instead of at the first file."""
    FileParser.supported_formats()


def _from_samples(samples: TypedSamples) -> Waveform:
    scale = MILLIVOLTS.get(samples.unit.lower())
    if scale is None:
        raise InvalidEcg(
            f'unknown unit "{samples.unit}": send mV or uV', reason="UNIT", field="ecg.samples.unit"
        )
    if not samples.values or not any(len(values) for values in samples.values):
        raise InvalidEcg("no samples", reason="EMPTY_PAYLOAD", field="ecg.samples.leads")
    by_name = dict(zip(samples.leads, samples.values, strict=True))
    if len({name.upper() for name in by_name}) != len(samples.leads):
        raise InvalidEcg(
            "a lead name stands twice", reason="LEAD_SET", field="ecg.samples.leads.name"
        )
    signal = arrange(by_name, field="ecg.samples.leads") * np.float32(scale)
    return Waveform(signal, samples.rate, "samples")


def _from_files(parts: tuple[FilePart, ...]) -> Waveform:
    if not parts or not any(part.content for part in parts):
        raise InvalidEcg(
            "the payload is empty: send the bytes of an ECG file",
            reason="EMPTY_PAYLOAD",
            field="ecg.file.content",
        )
    files = unpack(parts)
    with tempfile.TemporaryDirectory(prefix="cardex-ecg-") as folder:
        paths = [_write(Path(folder), part, number) for number, part in enumerate(files)]
        return _parse(_entry(paths))


def _write(folder: Path, part: FilePart, number: int) -> Path:
    suffix = ".hea" if _WFDB_HEADER.match(part.content[:200]) else ""
    name = part.name.rsplit("/", 1)[-1]
    path = folder / (name if _FILE_NAME.fullmatch(name) else f"part{number}{suffix}")
    path.write_bytes(part.content)
    return path


def _entry(paths: list[Path]) -> Path:
    """Return the file to open: the header where a recording has one, else the only file."""
    headers = [path for path in paths if path.suffix.lower() == ".hea"]
    if len(headers) == 1:
        _check_companions(headers[0], {path.name for path in paths})
        return headers[0]
    if len(paths) == 1:
        return paths[0]
    raise InvalidEcg(
        f"{len(paths)} files and {len(headers)} .hea headers: send one recording at a time",
        reason="NOT_AN_ECG",
        field="ecg.file.companions",
    )


def _check_companions(header: Path, sent: set[str]) -> None:
    """Refuse a WFDB header that names a file which was not sent, be it elsewhere on this machine."""
    content = header.read_bytes()
    if len(content) > MAX_HEADER_BYTES:
        raise InvalidEcg(
            f"the header has {len(content)} bytes: at most {MAX_HEADER_BYTES}",
            reason="NOT_AN_ECG",
            field="ecg.file.content",
        )
    # Decoded and split as the parser does, so that both see the same lines.
    lines = [line.strip() for line in decode_text(content).splitlines()]
    signals = [line for line in lines if line and not line.startswith("#")][1:]
    missing = sorted({line.split()[0] for line in signals} - sent)
    if missing:
        raise InvalidEcg(
            f"the header names {missing[0][:80]!r}, which was not sent: send it as a companion",
            reason="MISSING_FILE",
            field="ecg.file.companions",
        )


def _parse(path: Path) -> Waveform:
    field = "ecg.file.content"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = FileParser.parse(path)
    except ValueError as error:  # UnsupportedFormatError is one
        raise InvalidEcg(
            "not an ECG format that Cardex reads (DICOM, MUSE XML, aECG, SCP-ECG, Sierra XML, EDF,"
            " ISHNE, WFDB)",
            reason="NOT_AN_ECG",
            field=field,
        ) from error
    except (ECGDataKitError, OSError, ImportError, MemoryError) as error:
        raise InvalidEcg(
            f"the file starts like an ECG but cannot be read ({type(error).__name__}):"
            " is it complete?",
            reason="TRUNCATED_ECG",
            field=field,
        ) from error
    leads = [lead for lead in record.leads if lead.label.upper() in _CANONICAL]
    rates = {float(lead.sampling_rate) for lead in leads}
    if len(rates) > 1:
        raise InvalidEcg(
            f"the leads have different rates: {sorted(rates)} Hz",
            reason="SAMPLING_RATE",
            field=field,
        )
    odd = sorted({lead.units or "none" for lead in leads if lead.units != "mV"})
    if odd:
        raise InvalidEcg(f"unknown unit {odd[0]}: need uV or mV", reason="UNIT", field=field)
    by_name = {lead.label: lead.samples.astype(np.float32) for lead in leads}
    source = record.file_format.name or "file"
    return Waveform(arrange(by_name, field=field), rates.pop() if rates else 0.0, source)


def arrange(by_name: Mapping[str, Signal], *, field: str) -> Signal:
    """Put named leads in canonical order; derive III, aVR, aVL and aVF where they are missing.

    Args:
        by_name: lead name (any case) to (samples,) values; names that are no ECG lead are ignored.
        field: the request field to name in errors.

    Returns:
        (12, samples) float32.

    Raises:
        InvalidEcg: if leads are missing that cannot be derived, or their lengths differ.
    """
    known = {
        _CANONICAL[name.upper()]: values
        for name, values in by_name.items()
        if name.upper() in _CANONICAL
    }
    missing = [lead for lead in LEADS if lead not in known and lead not in _DERIVED]
    if missing:
        raise InvalidEcg(
            f"missing leads {', '.join(missing)}: need I, II and V1 to V6 at least",
            reason="LEAD_SET",
            field=field,
        )
    lengths = {len(values) for values in known.values()}
    if len(lengths) != 1:
        raise InvalidEcg(
            f"the leads differ in length: {sorted(lengths)} samples", reason="LEAD_SET", field=field
        )
    for lead, derive in _DERIVED.items():
        if lead not in known:
            known[lead] = derive(known["I"], known["II"])
    return np.stack([np.asarray(known[lead], dtype=np.float32) for lead in LEADS])


def _checked(waveform: Waveform) -> Waveform:
    """Refuse what no model may see; the border's only check of the samples."""
    if not MIN_RATE_HZ <= waveform.rate <= MAX_RATE_HZ:
        raise InvalidEcg(
            f"sampling rate {waveform.rate:g} Hz: must be {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz",
            reason="SAMPLING_RATE",
            field="ecg.samples.rate_hz" if waveform.source == "samples" else "ecg.file.content",
        )
    field = "ecg.samples.leads" if waveform.source == "samples" else "ecg.file.content"
    if not MIN_SECONDS <= waveform.seconds <= MAX_SECONDS:
        raise InvalidEcg(
            f"{waveform.seconds:.1f} s long: must be {MIN_SECONDS:g} s to {MAX_SECONDS:g} s",
            reason="DURATION",
            field=field,
        )
    finite = np.asarray(np.isfinite(waveform.signal).all(axis=1))
    if not finite.all():
        bad = ", ".join(lead for lead, ok in zip(LEADS, finite, strict=True) if not ok)
        raise InvalidEcg(
            f"NaN or infinite samples in lead {bad}: send finite numbers",
            reason="NOT_FINITE",
            field=field,
        )
    if np.ptp(waveform.signal, axis=1).max() <= FLAT_MV:
        raise InvalidEcg("all leads are flat", reason="ALL_LEADS_FLAT", field=field)
    peak = float(np.abs(waveform.signal - waveform.signal.mean(axis=1, keepdims=True)).max())
    if peak > MAX_ABS_MV:
        raise InvalidEcg(
            f"amplitudes up to {peak:.0f} mV are no ECG: is the unit right?",
            reason="AMPLITUDE",
            field=field,
        )
    return waveform
