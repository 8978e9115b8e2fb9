"""From what a client sent to a checked `Waveform`: files of any format, or typed samples."""

from typing import Protocol

from cardex.domain.ecg import MAX_FILE_BYTES, EcgInput, FilePart, TypedSamples, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.signals.calibration_pulse import leave_out_pulses
from cardex.signals.checks import check, check_rest
from cardex.signals.formats import csv, dicom, edf, ishne, matlab, scp, typed, wfdb, xml
from cardex.signals.formats.archives import is_hidden, unpack
from cardex.signals.formats.limits import COMPANIONS, FILE, refuse_size, unknown_format
from cardex.signals.formats.wfdb_header import is_header


class Format(Protocol):
    """A module that reads a format of one file."""

    def matches(self, content: bytes, /) -> bool:
        """Tell by the first bytes of a file whether it has this format."""

    def read(self, content: bytes, subject_key: bytes, /) -> Waveform:
        """Read a file; the key is for the patient's id. What is wrong with it is InvalidEcg."""


FORMATS: tuple[Format, ...] = (dicom, ishne, edf, matlab, scp, xml, csv)
"""Tried in this order: those that are told by a few fixed bytes come before text."""


def read(ecg: EcgInput, *, subject_key: bytes = b"", with_pulses: bool = False) -> Waveform:
    """Make a waveform of what a client sent.

    The format of a file is told by its content, never by its name; only a WFDB header may also be
    told by `.hea`.

    Args:
        ecg: typed samples, or the file or files of one recording.
        subject_key: key under which the patient's id is hashed into the metadata; without it the
            metadata have no subject.
        with_pulses: whether calibration pulses are left in, for a drawing of the whole record.

    Returns:
        A checked waveform: 12 leads in canonical order, finite float32 mV, 2 s to 10 min. Of a
        record with calibration pulses it is the longest part without them.

    Raises:
        InvalidEcg: with a reason (NOT_AN_ECG, EMPTY_PAYLOAD, TRUNCATED_ECG, FILE_TOO_LARGE,
            LEAD_SET, NOT_FINITE, MISSING_FILE, ZIP_LIMIT, ALL_LEADS_FLAT, SAMPLING_RATE, UNIT,
            DURATION, AMPLITUDE) and the field at fault.
    """
    waveform = typed.read(ecg) if isinstance(ecg, TypedSamples) else _from_files(ecg, subject_key)
    check(waveform)
    if with_pulses:
        return waveform
    kept = leave_out_pulses(waveform)
    if kept is not waveform:
        check_rest(kept)
    return kept


def warm_up() -> None:
    """Import pydicom, which takes half a second, before the first DICOM file comes."""
    import pydicom  # noqa: F401


def _from_files(parts: tuple[FilePart, ...], subject_key: bytes) -> Waveform:
    size = sum(len(part.content) for part in parts)
    if not size:
        raise InvalidEcg(
            "the payload is empty: send the bytes of an ECG file",
            reason="EMPTY_PAYLOAD",
            field=FILE,
        )
    refuse_size(size, MAX_FILE_BYTES, "the recording")
    files = [part for part in unpack(parts) if len(parts) == 1 or not is_hidden(part.name)]
    headers = [part for part in files if part.name.lower().endswith(".hea")]
    headers = headers or [part for part in files if is_header(part.content)]
    if len(headers) > 1:
        raise _several(len(headers))
    if headers:
        others = [part for part in files if part is not headers[0]]
        return wfdb.read_record(headers[0], others, subject_key)
    form, content = _only_recording([part.content for part in files])
    return form.read(content, subject_key)


def _only_recording(contents: list[bytes]) -> tuple[Format, bytes]:
    """Return the one file that is an ECG, and its format; other files are passed over."""
    known = [(form, content) for content in contents if (form := _format_of(content))]
    if len(known) > 1:  # markup may be a page beside the ECG
        known = [(form, text) for form, text in known if form is not xml or xml.opens_ecg(text)]
    if len(known) > 1:
        raise _several(len(known))
    if not known:
        raise unknown_format()
    return known[0]


def _format_of(content: bytes) -> Format | None:
    return next((form for form in FORMATS if form.matches(content)), None)


def _several(count: int) -> InvalidEcg:
    return InvalidEcg(
        f"{count} recordings: send one recording at a time", reason="NOT_AN_ECG", field=COMPANIONS
    )
