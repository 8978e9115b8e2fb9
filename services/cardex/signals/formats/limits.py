"""What a file may cost: sizes and counts that are checked before a parser touches the bytes."""

import struct

from cardex.domain.ecg import MAX_SECONDS
from cardex.domain.errors import InvalidEcg

FILE = "ecg.file.content"

MIB = 1024 * 1024
MAX_CHANNELS = 64
MAX_VALUES = 8_000_000  # 12 leads of 600 s at 1000 Hz are 7.2 million samples

# Parsers hold a file as 64-bit floats, some twice over: these sizes keep each under 300 MB.
MAX_BINARY_BYTES = 16 * MIB  # 12 leads of 600 s at 500 Hz are 7.2 MB of 16-bit samples
MAX_SCP_BYTES = MIB  # a lead has at most 64 KiB
MAX_ANNOTATION_BYTES = MIB
# The library decodes Huffman codes bit by bit, a million in about a second and a half.
MAX_HUFFMAN_BYTES = 256 * 1024
MAX_HUFFMAN_SAMPLES = 500_000
MAX_SCP_BEATS = 1000

EDF_MAGICS = (b"0       ", b"\xffBIOSEMI")
ISHNE_MAGIC = b"ISHNE1.0"

_ISHNE_HEADER_BYTES = 522
_SCP_HEADER_BYTES = 16


def refuse_size(size: int, limit: int, what: str = "the file") -> None:
    """Raise FILE_TOO_LARGE where a size is over its limit in bytes."""
    if size > limit:
        raise InvalidEcg(
            f"{what} has {size} bytes: at most {limit}", reason="FILE_TOO_LARGE", field=FILE
        )


def refuse_seconds(seconds: float) -> None:
    """Raise DURATION where a record is longer than any that is read, by its header or its size."""
    if not seconds <= MAX_SECONDS:
        raise InvalidEcg(
            f"the record is {length(seconds)} s long: at most {MAX_SECONDS:g} s. Cut out the part"
            " to look at",
            reason="DURATION",
            field=FILE,
        )


def length(seconds: float) -> str:
    """Write a length in s with all the decimals that tell it from a limit."""
    return f"{seconds:.5f}".rstrip("0").rstrip(".")


def refuse_counts(channels: int, values: int) -> None:
    """Raise FILE_TOO_LARGE where a header claims more channels or samples than any ECG has."""
    if channels > MAX_CHANNELS:
        raise _too_much(f"{channels} channels", MAX_CHANNELS)
    if values > MAX_VALUES:
        raise _too_much(f"{values} samples over all channels", MAX_VALUES)


def damaged(why: str) -> InvalidEcg:
    """Make the error for a file that starts like an ECG and then breaks off or contradicts itself.

    Args:
        why: what is wrong, in words of our own: a file's text may name the patient.
    """
    return InvalidEcg(
        f"the file starts like an ECG but cannot be read ({why}): is it complete?",
        reason="TRUNCATED_ECG",
        field=FILE,
    )


def check_edf(content: bytes) -> None:
    """Check an EDF header: length, channels, records and annotations; the file must be whole."""
    if content.startswith(EDF_MAGICS[1]):
        raise InvalidEcg("24-bit BDF is not read: send EDF", reason="NOT_AN_ECG", field=FILE)
    try:
        records, step, channels = (
            int(content[236:244]), float(content[244:252]), int(content[252:256]),
        )  # fmt: skip
        refuse_counts(channels, 0)
        labels = [content[256 + 16 * n : 272 + 16 * n] for n in range(channels)]
        start = 256 + 216 * channels
        counts = [int(content[start + 8 * n : start + 8 * n + 8]) for n in range(channels)]
    except ValueError:
        raise damaged("a number in the EDF header") from None
    if channels < 1 or min(counts) < 1 or not step > 0.0 or records < -1:
        raise damaged("a number in the EDF header")
    there = (len(content) - 256 * (channels + 1)) // (2 * sum(counts))
    refuse_seconds(max(records, there if records == -1 else 0) * step)
    if there < max(records, 1):
        raise damaged("it ends before its last data record")
    refuse_size(len(content), MAX_BINARY_BYTES)
    named = (b"EDF Annotations" in label.replace(b"\0", b"") for label in labels)
    notes = 2 * there * sum(n for n, is_notes in zip(counts, named, strict=True) if is_notes)
    refuse_size(notes, MAX_ANNOTATION_BYTES, "the part with annotations")


def check_ishne(content: bytes) -> None:
    """Check an ISHNE header: length, channels, and that the samples it declares are there."""
    if len(content) < _ISHNE_HEADER_BYTES:
        raise damaged("the ISHNE header")
    variable, declared = struct.unpack_from("<ii", content, 10)
    channels, rate = struct.unpack_from("<h", content, 156)[0], _ishne_rate(content)
    start = _ISHNE_HEADER_BYTES + variable
    if variable < 0 or start > len(content) or not 1 <= channels <= 12 or rate < 1 or declared < 0:
        raise damaged("a number in the ISHNE header")
    there = (len(content) - start) // (2 * channels)
    # Some writers count the samples of all leads together.
    per_lead = there if declared == there * channels else declared
    refuse_seconds(max(per_lead, there) / rate)
    if there < per_lead:
        raise damaged("it has fewer samples than its header says")
    refuse_size(len(content), MAX_BINARY_BYTES)


def _ishne_rate(content: bytes) -> int:
    rate: int = struct.unpack_from("<h", content, 272)[0]
    return rate


def check_scp(content: bytes) -> None:
    """Check an SCP-ECG: its size, leads and beats, and the work that its Huffman codes ask for."""
    refuse_size(len(content), MAX_SCP_BYTES)
    sections = dict(_scp_sections(content))
    leads, beats, median = (sections.get(number, b"") for number in (3, 4, 5))
    channels = leads[0] if leads else 0
    refuse_counts(channels, 0)
    count = struct.unpack_from("<H", beats, 4)[0] if len(beats) >= 6 else 0
    if count > MAX_SCP_BEATS:
        raise _too_much(f"{count} beats", MAX_SCP_BEATS)
    if 2 not in sections:
        return
    coded = sum(len(sections.get(number, b"")) for number in (5, 6))
    refuse_size(coded, MAX_HUFFMAN_BYTES, "the compressed part")
    whole = min(channels, (len(leads) - 2) // 9)
    ranges = [struct.unpack_from("<II", leads, 2 + 9 * n) for n in range(whole)]
    samples = sum(max(0, last - first + 1) for first, last in ranges)
    if len(beats) >= 6 and len(median) >= 4:
        milliseconds = struct.unpack_from("<H", beats)[0]
        interval = max(1, struct.unpack_from("<H", median, 2)[0])
        samples += channels * (milliseconds * 1000 // interval)
    if samples > MAX_HUFFMAN_SAMPLES:
        raise _too_much(f"{samples} compressed samples", MAX_HUFFMAN_SAMPLES)


def _too_much(what: str, limit: int) -> InvalidEcg:
    return InvalidEcg(f"{what}: at most {limit}", reason="FILE_TOO_LARGE", field=FILE)


def _scp_sections(content: bytes) -> list[tuple[int, bytes]]:
    """List (id, body) of the sections that section 0 points at."""
    end = min(6 + struct.unpack_from("<I", content, 10)[0], len(content))
    found = []
    for place in range(6 + _SCP_HEADER_BYTES, end - 9, 10):
        number, length, index = struct.unpack_from("<HII", content, place)
        if 0 < number <= 11 and length and index:
            body = content[index - 1 + _SCP_HEADER_BYTES : index - 1 + length]
            found.append((number, body))
    return found
