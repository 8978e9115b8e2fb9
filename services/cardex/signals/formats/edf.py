"""EDF and EDF+: one header of fixed fields, then data records of 16-bit samples."""

from ecgdatakit.parsing.parsers.edf import EDFParser

from cardex.domain.ecg import Waveform
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats import ecgdatakit_adapter
from cardex.signals.formats.limits import (
    FILE,
    MAX_BINARY_BYTES,
    MIB,
    damaged,
    refuse_counts,
    refuse_seconds,
    refuse_size,
)

MAX_ANNOTATION_BYTES = MIB

_EDF = b"0       "
_BDF = b"\xffBIOSEMI"


def matches(content: bytes) -> bool:
    """Tell whether the bytes start like EDF, or like BDF, which is refused by its name."""
    return content.startswith((_EDF, _BDF))


def read(content: bytes, subject_key: bytes) -> Waveform:
    """Read an EDF file.

    Raises:
        InvalidEcg: if it is BDF, damaged, over the limits, or has gaps between its data records.
    """
    _check_header(content)
    return ecgdatakit_adapter.read_bytes(EDFParser, content, subject_key)


def _check_header(content: bytes) -> None:
    """Check length, channels, data records and annotations; all data records must be there."""
    if content.startswith(_BDF):
        raise InvalidEcg("24-bit BDF is not read: send EDF", reason="NOT_AN_ECG", field=FILE)
    try:
        records, record_s, channels = (
            int(content[236:244]), float(content[244:252]), int(content[252:256]),
        )  # fmt: skip
        refuse_counts(channels, 0)
        labels = [content[256 + 16 * n : 272 + 16 * n] for n in range(channels)]
        start = 256 + 216 * channels
        counts = [int(content[start + 8 * n : start + 8 * n + 8]) for n in range(channels)]
    except ValueError:
        raise damaged("a number in the EDF header") from None
    if channels < 1 or min(counts) < 1 or not record_s > 0.0 or records < -1:
        raise damaged("a number in the EDF header")
    there = (len(content) - 256 * (channels + 1)) // (2 * sum(counts))
    refuse_seconds(max(records, there if records == -1 else 0) * record_s)
    if there < max(records, 1):
        raise damaged("it ends before its last data record")
    refuse_size(len(content), MAX_BINARY_BYTES)
    annotated = (b"EDF Annotations" in label.replace(b"\0", b"") for label in labels)
    samples = sum(n for n, found in zip(counts, annotated, strict=True) if found)
    refuse_size(2 * there * samples, MAX_ANNOTATION_BYTES, "the part with annotations")
