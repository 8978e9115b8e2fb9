"""MATLAB files, which alone are no ECG: refused with a message that asks for the WFDB header."""

from cardex.domain.ecg import Waveform
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.limits import COMPANIONS

# MATLAB 5 and 7.3 say what they are; the header of version 4 is that of the CinC challenges.
_VERSIONS_5_AND_7 = (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")
_VERSION_4 = (b"\x1e\x00\x00\x00", b"\x0a\x00\x00\x00", b"\x00\x00\x00\x00")
_VERSION_4_NAME = b"val\x00"


def matches(content: bytes) -> bool:
    """Tell whether the bytes are a MATLAB file of version 5 or 7.3, or one of a CinC challenge."""
    return content.startswith(_VERSIONS_5_AND_7) or (
        content.startswith(_VERSION_4) and content[20:24] == _VERSION_4_NAME
    )


def read(_content: bytes, _subject_key: bytes) -> Waveform:
    """Raise MISSING_FILE: the sampling rate and the lead names are in the header of the record."""
    raise InvalidEcg(
        "a .mat file has no sampling rate and no lead names: send the .hea header of the record"
        " with it",
        reason="MISSING_FILE",
        field=COMPANIONS,
    )
