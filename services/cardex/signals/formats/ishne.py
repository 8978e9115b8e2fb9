"""ISHNE Holter files (Badilini 1998): a header of 522 bytes, then 16-bit samples of all leads."""

import struct

from ecgdatakit.parsing.parsers.ishne_holter import ISHNEHolterParser

from cardex.domain.ecg import Waveform
from cardex.signals.formats import ecgdatakit_adapter
from cardex.signals.formats.limits import MAX_BINARY_BYTES, damaged, refuse_seconds, refuse_size

_MAGIC = b"ISHNE1.0"
_HEADER_BYTES = 522
_MAX_LEADS = 12


def matches(content: bytes) -> bool:
    """Tell whether the bytes start with ISHNE's magic number."""
    return content.startswith(_MAGIC)


def read(content: bytes, subject_key: bytes) -> Waveform:
    """Read an ISHNE file.

    Raises:
        InvalidEcg: if it is damaged or over the limits.
    """
    _check_header(content)
    return ecgdatakit_adapter.read_bytes(ISHNEHolterParser, content, subject_key)


def _check_header(content: bytes) -> None:
    """Check length and leads, and that as many samples follow as the header declares."""
    if len(content) < _HEADER_BYTES:
        raise damaged("the ISHNE header")
    variable, declared = struct.unpack_from("<ii", content, 10)
    (leads,), (rate,) = (struct.unpack_from("<h", content, place) for place in (156, 272))
    start = _HEADER_BYTES + variable
    if (
        not 0 <= variable <= len(content) - _HEADER_BYTES
        or not 1 <= leads <= _MAX_LEADS
        or rate < 1
        or declared < 0
    ):
        raise damaged("a number in the ISHNE header")
    there = (len(content) - start) // (2 * leads)
    # Some writers count the samples of all leads together.
    per_lead = there if declared == there * leads else declared
    refuse_seconds(max(per_lead, there) / rate)
    if there < per_lead:
        raise damaged("it has fewer samples than its header says")
    refuse_size(len(content), MAX_BINARY_BYTES)
