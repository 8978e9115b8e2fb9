"""DICOM ECGs: checked against limits before pydicom parses them; the rhythm group is read."""

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from ecgdatakit.parsing.parsers.dicom_waveform import DICOMWaveformParser

from cardex.domain.ecg import Waveform
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats import ecgdatakit_adapter
from cardex.signals.formats.limits import FILE, MIB, damaged, refuse_counts, refuse_size

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_DICOM_BYTES = 16 * MIB
MAX_DICOM_VALUES = 4_000_000  # 12 leads of 600 s at 500 Hz are 3.6 million
MAX_ELEMENTS = 20_000

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_IMPLICIT = b"1.2.840.10008.1.2\x00"
_BIG_ENDIAN = b"1.2.840.10008.1.2.2\x00"
_META = 132  # preamble and "DICM"
_LONG_LENGTHS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_ITEMS = 0xFFFE
# Sequences whose items are counted, whatever value representation the file gives them.
_ENTERED = frozenset(
    ((0x5400, 0x0100), (0x0040, 0xB020), (0x0040, 0x0555), (0x003A, 0x0200), (0x003A, 0x0208),
     (0x003A, 0x0211), (0x0040, 0xA043), (0x0040, 0xA168), (0x0040, 0x08EA))
)  # fmt: skip
_UNDEFINED = 0xFFFFFFFF
_MEDIAN = ("MEDIAN", "REPRESENTATIVE", "AVERAGE")


def matches(content: bytes) -> bool:
    """Tell whether the bytes are a DICOM file with its preamble."""
    return content[128:132] == b"DICM"


def read(content: bytes, subject_key: bytes) -> Waveform:
    """Read the rhythm of a DICOM file with one or more multiplex groups.

    Raises:
        InvalidEcg: if it is damaged, over the limits, or no ECG.
    """
    import pydicom  # takes half a second, so it is imported only for DICOM files

    refuse_size(len(content), MAX_DICOM_BYTES)
    _check_elements(content)
    with ecgdatakit_adapter.guarded():
        dataset = pydicom.dcmread(io.BytesIO(content))
        _keep_rhythm(dataset)
        parser = DICOMWaveformParser()
        # Its public method parses the file again, and always takes the first group.
        record = parser._parse_dataset(dataset, Path("ecg"))
        return ecgdatakit_adapter.to_waveform(record, parser.FORMAT_NAME, subject_key)


def _check_elements(content: bytes) -> None:
    """Count the elements in one pass, in which the items of a sequence simply follow it."""
    try:
        body, implicit, order = _body(content)
        place = elements = 0
        while place + 8 <= len(body):
            group, element = struct.unpack_from(f"{order}HH", body, place)
            elements += 1
            _refuse_elements(elements)
            place += _step(body, place, (group, element), implicit=implicit, order=order)
    except struct.error:
        raise damaged("a DICOM element") from None


def _refuse_elements(count: int) -> None:
    if count > MAX_ELEMENTS:
        raise InvalidEcg(
            f"over {MAX_ELEMENTS} elements in the DICOM file: more than an ECG has",
            reason="FILE_TOO_LARGE",
            field=FILE,
        )


def _step(body: bytes, place: int, tag: tuple[int, int], *, implicit: bool, order: str) -> int:
    """Return the number of bytes to the next element, which may be inside this one."""
    if tag[0] == _ITEMS:
        return 8
    kind = body[place + 4 : place + 6]
    # Like pydicom, take an element without a value representation as implicit.
    implicit = implicit or not _is_kind(kind)
    if implicit or kind in _LONG_LENGTHS:
        head = 8 if implicit else 12
        length = struct.unpack_from(f"{order}I", body, place + head - 4)[0]
    else:
        head, length = 8, struct.unpack_from(f"{order}H", body, place + 6)[0]
    inside = length == _UNDEFINED or tag in _ENTERED or (kind == b"SQ" and not implicit)
    return head if inside else head + int(length)


def _body(content: bytes) -> tuple[bytes, bool, str]:
    """Return the data set after the meta group, whether it is implicit, and its byte order."""
    start = _meta_end(content)
    meta, body = content[_META:start], content[start:]
    if _DEFLATED in content:
        if _DEFLATED not in meta:
            raise damaged("the DICOM meta group")
        body = _inflated(body)
    implicit = _IMPLICIT in meta and not _is_kind(body[4:6])
    return body, implicit, ">" if _BIG_ENDIAN in meta else "<"


def _meta_end(content: bytes) -> int:
    """Return where the meta group ends; like pydicom, ignore the length that the file gives."""
    place, elements = _META, 0
    while content[place : place + 2] == b"\x02\x00":
        elements += 1
        _refuse_elements(elements)
        kind, element = content[place + 4 : place + 6], struct.unpack_from("<H", content, place + 2)
        step = _step(content, place, (2, *element), implicit=False, order="<")
        endless = _UNDEFINED.to_bytes(4, "little") in content[place + 4 : place + 12]
        if kind == b"SQ" or endless or place + step > len(content):
            raise damaged("the DICOM meta group")
        place += step
    if place == _META:
        raise damaged("the DICOM meta group")
    return place


def _is_kind(kind: bytes) -> bool:
    return len(kind) == 2 and kind.isalpha() and kind.isupper()


def _inflated(body: bytes) -> bytes:
    try:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, MAX_DICOM_BYTES + 1)
    except zlib.error:
        raise damaged("deflated DICOM") from None
    refuse_size(len(inflated), MAX_DICOM_BYTES, "the inflated DICOM file")
    return inflated


def _keep_rhythm(dataset: "Dataset") -> None:
    """Keep only the longest multiplex group that is no median beat."""
    from pydicom import Sequence

    groups = list(dataset.get("WaveformSequence") or [])
    if not groups:
        raise InvalidEcg("a DICOM file without waveforms", reason="NOT_AN_ECG", field=FILE)
    rhythm = [group for group in groups if not _is_median(group)] or groups
    longest = max(rhythm, key=_seconds)
    channels = int(longest.get("NumberOfWaveformChannels") or 0)
    values = channels * int(longest.get("NumberOfWaveformSamples") or 0)
    refuse_counts(channels, values)
    if values > MAX_DICOM_VALUES:
        raise InvalidEcg(
            f"{values} samples over all channels: at most {MAX_DICOM_VALUES} in DICOM",
            reason="FILE_TOO_LARGE",
            field=FILE,
        )
    dataset.WaveformSequence = Sequence([longest])


def _is_median(group: "Dataset") -> bool:
    label = str(group.get("MultiplexGroupLabel") or "").upper()
    return any(word in label for word in _MEDIAN)


def _seconds(group: "Dataset") -> float:
    rate = float(group.get("SamplingFrequency") or 0.0)
    return float(group.get("NumberOfWaveformSamples") or 0) / rate if rate > 0.0 else 0.0
