"""SCP-ECG (EN 1064): sections of leads, beats and samples, which may be Huffman coded."""

import struct
from pathlib import Path

from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser

from cardex.domain.ecg import Waveform
from cardex.signals.formats import ecgdatakit_adapter
from cardex.signals.formats.limits import MIB, refuse_counts, refuse_size, too_many

MAX_SCP_BYTES = MIB  # a lead has at most 64 KiB
# The library decodes Huffman codes bit by bit, a million in about a second and a half.
MAX_HUFFMAN_BYTES = 256 * 1024
MAX_HUFFMAN_SAMPLES = 500_000
MAX_BEATS = 1000

_HEADER_BYTES = 16
"""Of each section; the file has six more before its first section."""
_HUFFMAN_TABLES, _LEADS, _BEATS, _MEDIAN_BEAT, _RHYTHM = 2, 3, 4, 5, 6
_LAST_SECTION = 11


def matches(content: bytes) -> bool:
    """Tell whether the bytes start like an SCP-ECG."""
    return bool(SCPECGParser.can_parse(Path(), content[:4096]))


def read(content: bytes, subject_key: bytes) -> Waveform:
    """Read an SCP-ECG file.

    Raises:
        InvalidEcg: if it is damaged or over the limits.
    """
    with ecgdatakit_adapter.guarded():
        _check_sections(content)
    return ecgdatakit_adapter.read_bytes(SCPECGParser, content, subject_key)


def _check_sections(content: bytes) -> None:
    """Check size, leads and beats, and the time that decoding will take."""
    refuse_size(len(content), MAX_SCP_BYTES)
    sections = dict(_sections(content))
    leads, beats = sections.get(_LEADS, b""), sections.get(_BEATS, b"")
    refuse_counts(leads[0] if leads else 0, 0)
    count = struct.unpack_from("<H", beats, 4)[0] if len(beats) >= 6 else 0
    if count > MAX_BEATS:
        raise too_many(f"{count} beats", MAX_BEATS)
    if _HUFFMAN_TABLES not in sections:
        return
    coded = sum(len(sections.get(number, b"")) for number in (_MEDIAN_BEAT, _RHYTHM))
    refuse_size(coded, MAX_HUFFMAN_BYTES, "the compressed part")
    samples = _coded_samples(leads, beats, sections.get(_MEDIAN_BEAT, b""))
    if samples > MAX_HUFFMAN_SAMPLES:
        raise too_many(f"{samples} compressed samples", MAX_HUFFMAN_SAMPLES)


def _coded_samples(leads: bytes, beats: bytes, median: bytes) -> int:
    """Return how many samples the sections claim to have, over all leads and the median beat."""
    channels = leads[0] if leads else 0
    listed = min(channels, (len(leads) - 2) // 9)
    ranges = (struct.unpack_from("<II", leads, 2 + 9 * n) for n in range(listed))
    samples = sum(max(0, int(last) - int(first) + 1) for first, last in ranges)
    if len(beats) >= 6 and len(median) >= 4:
        milliseconds = int(struct.unpack_from("<H", beats)[0])
        microseconds_per_sample = max(1, int(struct.unpack_from("<H", median, 2)[0]))
        samples += channels * (milliseconds * 1000 // microseconds_per_sample)
    return samples


def _sections(content: bytes) -> list[tuple[int, bytes]]:
    """List (id, body) of the sections that section 0 points at."""
    end = min(6 + struct.unpack_from("<I", content, 10)[0], len(content))
    found = []
    for place in range(6 + _HEADER_BYTES, end - 9, 10):
        number, length, index = struct.unpack_from("<HII", content, place)
        if 0 < number <= _LAST_SECTION and length and index:
            found.append((number, content[index - 1 + _HEADER_BYTES : index - 1 + length]))
    return found
