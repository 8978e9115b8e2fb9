"""Limits that all formats share, and the errors for files that exceed them or are damaged."""

from cardex.domain.ecg import MAX_SECONDS
from cardex.domain.errors import InvalidEcg

FILE = "ecg.file.content"
COMPANIONS = "ecg.file.companions"
"""Fields of a request, as errors name them."""

MIB = 1024 * 1024
MAX_CHANNELS = 64
MAX_VALUES = 8_000_000  # 12 leads of 600 s at 1000 Hz are 7.2 million samples

# Parsers hold a file as 64-bit floats, some twice over: these sizes keep each under 300 MB.
MAX_BINARY_BYTES = 16 * MIB  # 12 leads of 600 s at 500 Hz are 7.2 MB of 16-bit samples


def refuse_size(size: int, limit: int, what: str = "the file") -> None:
    """Raise FILE_TOO_LARGE if a size is over its limit, both in bytes."""
    if size > limit:
        raise InvalidEcg(
            f"{what} has {size} bytes: at most {limit}", reason="FILE_TOO_LARGE", field=FILE
        )


def refuse_seconds(seconds: float) -> None:
    """Raise DURATION if a record, by its header or its size, is longer than 600 s."""
    if not seconds <= MAX_SECONDS:
        raise InvalidEcg(
            f"the record is {length(seconds)} s long: at most {MAX_SECONDS:g} s. Cut out the part"
            " to look at",
            reason="DURATION",
            field=FILE,
        )


def length(seconds: float) -> str:
    """Write a length in s with enough decimals to show on which side of a limit it is."""
    return f"{seconds:.5f}".rstrip("0").rstrip(".")


def refuse_counts(channels: int, values: int) -> None:
    """Raise FILE_TOO_LARGE if a header claims more channels or samples than any ECG has."""
    if channels > MAX_CHANNELS:
        raise too_many(f"{channels} channels", MAX_CHANNELS)
    if values > MAX_VALUES:
        raise too_many(f"{values} samples over all channels", MAX_VALUES)


def damaged(why: str) -> InvalidEcg:
    """Make the error for a file that starts like an ECG but is incomplete or contradicts itself.

    Args:
        why: what is wrong. It must not quote the file, whose text may name the patient.
    """
    return InvalidEcg(
        f"the file starts like an ECG but cannot be read ({why}): is it complete?",
        reason="TRUNCATED_ECG",
        field=FILE,
    )


def too_many(what: str, limit: int) -> InvalidEcg:
    """Make the error for a count over its limit; `what` is the number with its noun."""
    return InvalidEcg(f"{what}: at most {limit}", reason="FILE_TOO_LARGE", field=FILE)


def unknown_format() -> InvalidEcg:
    """Make the error for a file of no format that is read."""
    return InvalidEcg(
        "not an ECG format that Cardex reads (DICOM, MUSE XML, aECG, SCP-ECG, Sierra XML, EDF,"
        " ISHNE, WFDB, CSV); a WFDB signal file needs its .hea header sent with it",
        reason="NOT_AN_ECG",
        field=FILE,
    )
