"""Bytes or typed samples to a checked `Waveform`: formats are told by content, never by name."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ecgdatakit.parsing.parser import Parser
from ecgdatakit.parsing.parsers.edf import EDFParser
from ecgdatakit.parsing.parsers.ge_muse_xml import GEMuseXMLParser
from ecgdatakit.parsing.parsers.hl7_aecg import HL7aECGParser
from ecgdatakit.parsing.parsers.ishne_holter import ISHNEHolterParser
from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser
from ecgdatakit.parsing.parsers.sierra_xml import SierraXMLParser

from cardex.domain.ecg import (
    LEADS,
    MAX_FILE_BYTES,
    MAX_RATE_HZ,
    MAX_SECONDS,
    MIN_RATE_HZ,
    MIN_SECONDS,
    EcgInput,
    FilePart,
    TypedSamples,
    Waveform,
)
from cardex.domain.errors import InvalidEcg
from cardex.signals.calibration_pulse import leave_out_pulses
from cardex.signals.formats import csv, ecgdatakit_adapter, limits, wfdb, xml
from cardex.signals.formats.archives import is_hidden, unpack
from cardex.signals.formats.dicom import is_dicom, read_dicom
from cardex.signals.formats.limits import FILE
from cardex.signals.formats.wfdb_header import is_header
from cardex.signals.leads import arrange, refuse_repeated

SAMPLES = "ecg.samples.leads"
MAX_ABS_MV = 100.0
FLAT_MV = 1e-6

_XML_PARSERS: dict[str, Callable[[], Parser]] = {
    "RestingECG": GEMuseXMLParser,
    "AnnotatedECG": HL7aECGParser,
    "restingecgdata": SierraXMLParser,
}
# MATLAB 5 and 7.3 say what they are; the header of version 4 is that of the CinC challenges.
_MATLAB = (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")
_MATLAB_4 = (b"\x1e\x00\x00\x00", b"\x0a\x00\x00\x00", b"\x00\x00\x00\x00")


def read(ecg: EcgInput, *, subject_key: bytes = b"", with_pulses: bool = False) -> Waveform:
    """Make a waveform of what a client sent.

    Args:
        ecg: typed samples, or the file or files of one recording.
        subject_key: key under which the patient's id is hashed into the origin; without it the
            origin has no subject.
        with_pulses: whether calibration pulses are left in, for a drawing of the whole record.

    Returns:
        A checked waveform: 12 leads in canonical order, finite float32 mV, 2 s to 10 min. Of a
        record with calibration pulses it is the longest part without them.

    Raises:
        InvalidEcg: with a reason (NOT_AN_ECG, EMPTY_PAYLOAD, TRUNCATED_ECG, FILE_TOO_LARGE, LEAD_SET,
            NOT_FINITE, MISSING_FILE, ZIP_LIMIT, ALL_LEADS_FLAT, SAMPLING_RATE, UNIT, DURATION,
            AMPLITUDE) and the field at fault.
    """
    raw = _from_samples(ecg) if isinstance(ecg, TypedSamples) else _from_files(ecg, subject_key)
    waveform = _checked(raw)
    return waveform if with_pulses else _without_pulses(waveform)


def warm_up() -> None:
    """Load what is loaded late, which takes half a second, at the start instead of at a first file."""
    import pydicom  # noqa: F401


def _from_samples(samples: TypedSamples) -> Waveform:
    scale = ecgdatakit_adapter.MILLIVOLTS.get(samples.unit.lower())
    if scale is None:
        raise InvalidEcg(
            f'unknown unit "{samples.unit[:20]}": send mV or uV',
            reason="UNIT",
            field="ecg.samples.unit",
        )
    if not samples.values or not any(len(values) for values in samples.values):
        raise InvalidEcg("no samples", reason="EMPTY_PAYLOAD", field=SAMPLES)
    refuse_repeated(samples.leads, field=f"{SAMPLES}.name")
    by_name = dict(zip(samples.leads, samples.values, strict=True))
    signal = arrange(by_name, field=SAMPLES)
    if scale != 1.0:
        signal *= np.float32(scale)
    return Waveform(signal, samples.rate, "samples")


def _from_files(parts: tuple[FilePart, ...], subject_key: bytes) -> Waveform:
    size = sum(len(part.content) for part in parts)
    if not size:
        raise InvalidEcg(
            "the payload is empty: send the bytes of an ECG file",
            reason="EMPTY_PAYLOAD",
            field=FILE,
        )
    limits.refuse_size(size, MAX_FILE_BYTES, "the recording")
    files = [part for part in unpack(parts) if len(parts) == 1 or not is_hidden(part.name)]
    headers = [part for part in files if part.name.lower().endswith(".hea")]
    headers = headers or [part for part in files if is_header(part.content)]
    if len(headers) > 1:
        raise _several(len(headers))
    if headers:
        others = [part for part in files if part is not headers[0]]
        return wfdb.read_record(headers[0], others, subject_key)
    known = [(form, part.content) for part in files if (form := _format_of(part.content))]
    if len(known) > 1:
        known = [(form, content) for form, content in known if _is_recording(form, content)]
    if len(known) > 1:
        raise _several(len(known))
    if not known:
        raise _unknown()
    form, content = known[0]
    return form.read(content, subject_key)


class _Format(NamedTuple):
    """A format of one file: how it is told, and how it is read with the key for the patient's id."""

    matches: Callable[[bytes], bool]
    read: Callable[[bytes, bytes], Waveform]


def _is_scp(content: bytes) -> bool:
    return bool(SCPECGParser.can_parse(Path(), content[:4096]))


def _is_matlab(content: bytes) -> bool:
    return content.startswith(_MATLAB) or (
        content.startswith(_MATLAB_4) and content[20:24] == b"val\x00"
    )


def _read_edf(content: bytes, subject_key: bytes) -> Waveform:
    limits.check_edf(content)
    return ecgdatakit_adapter.parsed(EDFParser, content, subject_key)


def _read_ishne(content: bytes, subject_key: bytes) -> Waveform:
    limits.check_ishne(content)
    return ecgdatakit_adapter.parsed(ISHNEHolterParser, content, subject_key)


def _read_scp(content: bytes, subject_key: bytes) -> Waveform:
    with ecgdatakit_adapter.guarded():
        limits.check_scp(content)
    return ecgdatakit_adapter.parsed(SCPECGParser, content, subject_key)


def _read_markup(content: bytes, subject_key: bytes) -> Waveform:
    document = xml.checked(content)
    parser = _XML_PARSERS.get(document.root)
    if parser is None:
        raise _unknown()
    return ecgdatakit_adapter.parsed(parser, document.content, subject_key)


def _refuse_matlab(_content: bytes, _subject_key: bytes) -> Waveform:
    raise InvalidEcg(
        "a .mat file has no sampling rate and no lead names: send the .hea header of the record"
        " with it",
        reason="MISSING_FILE",
        field=wfdb.COMPANIONS,
    )


_FORMATS = (
    _Format(is_dicom, read_dicom),
    _Format(lambda content: content.startswith(limits.ISHNE_MAGIC), _read_ishne),
    _Format(lambda content: content.startswith(limits.EDF_MAGICS), _read_edf),
    _Format(_is_matlab, _refuse_matlab),
    _Format(_is_scp, _read_scp),
    _Format(xml.is_markup, _read_markup),
    _Format(csv.is_table, lambda content, _key: csv.read_table(content)),
)


def _format_of(content: bytes) -> _Format | None:
    return next((form for form in _FORMATS if form.matches(content)), None)


def _is_recording(form: _Format, content: bytes) -> bool:
    """Tell an ECG in XML from other markup, such as a page that describes it."""
    return form.matches is not xml.is_markup or xml.names_root(content, _XML_PARSERS)


def _several(count: int) -> InvalidEcg:
    return InvalidEcg(
        f"{count} recordings: send one recording at a time",
        reason="NOT_AN_ECG",
        field=wfdb.COMPANIONS,
    )


def _unknown() -> InvalidEcg:
    return InvalidEcg(
        "not an ECG format that Cardex reads (DICOM, MUSE XML, aECG, SCP-ECG, Sierra XML, EDF,"
        " ISHNE, WFDB, CSV); a WFDB signal file needs its .hea header sent with it",
        reason="NOT_AN_ECG",
        field=FILE,
    )


def _without_pulses(waveform: Waveform) -> Waveform:
    kept = leave_out_pulses(waveform)
    if kept is waveform:
        return waveform
    if kept.seconds < MIN_SECONDS:
        raise InvalidEcg(
            f"{limits.length(kept.seconds)} s of ECG beside the calibration pulse at"
            f" {kept.pulses[0][0]:.2f} s: must be {MIN_SECONDS:g} s or more",
            reason="DURATION",
            field=_field(waveform),
        )
    return _checked(kept)  # what was not flat may have been the pulse alone


def _field(waveform: Waveform) -> str:
    return SAMPLES if waveform.source == "samples" else FILE


def _checked(waveform: Waveform) -> Waveform:
    """Refuse what no model may see; the border's only check of the samples."""
    field = _field(waveform)
    if not MIN_RATE_HZ <= waveform.rate <= MAX_RATE_HZ:
        raise InvalidEcg(
            f"sampling rate {waveform.rate:g} Hz: must be {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz",
            reason="SAMPLING_RATE",
            field="ecg.samples.rate_hz" if field == SAMPLES else FILE,
        )
    if not MIN_SECONDS <= waveform.seconds <= MAX_SECONDS:
        raise InvalidEcg(
            f"{limits.length(waveform.seconds)} s long: must be {MIN_SECONDS:g} s to {MAX_SECONDS:g} s",
            reason="DURATION",
            field=field,
        )
    # A NaN is passed on by both, so that two passes over the samples tell all there is to know.
    low = waveform.signal.min(axis=1).astype(np.float64)
    high = waveform.signal.max(axis=1).astype(np.float64)
    finite = np.isfinite(low) & np.isfinite(high)
    if not finite.all():
        bad = ", ".join(lead for lead, ok in zip(LEADS, finite, strict=True) if not ok)
        raise InvalidEcg(
            f"NaN or infinite samples in lead {bad}: send finite numbers",
            reason="NOT_FINITE",
            field=field,
        )
    if (high - low).max() <= FLAT_MV:
        raise InvalidEcg("all leads are flat", reason="ALL_LEADS_FLAT", field=field)
    mean = waveform.signal.mean(axis=1, dtype=np.float64)
    peak = float(np.maximum(high - mean, mean - low).max())
    if peak > MAX_ABS_MV:
        raise InvalidEcg(
            f"amplitudes up to {peak:.0f} mV are no ECG: is the unit right?",
            reason="AMPLITUDE",
            field=field,
        )
    return waveform
