"""The 12-lead ECG: its leads and limits, and the types in which it comes in and is passed on."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LEADS: tuple[str, ...] = (
    "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6",
)  # fmt: skip
"""Canonical lead order; every (12, samples) array in Cardex has it."""

MIN_SECONDS = 2.0
MAX_SECONDS = 600.0
MIN_RATE_HZ = 50.0
MAX_RATE_HZ = 4000.0
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Limit for all files of one recording together."""

Signal = NDArray[np.float32]
Image = NDArray[np.uint8 | np.float32]
"""(height, width, channels), or a batch of them; uint8 for most models."""
Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RecordingMetadata:
    """What a file says about its recording.

    It is shown only to the person who has the file, and never logged, cached or sent on; metrics
    count the maker of the device.

    Attributes:
        device: manufacturer and model of the cart.
        recorded_at: local time of the recording, ISO 8601.
        statements: the machine's own interpretation, as it stands in the file.
        subject: keyed hash of the patient id. It is equal for two files of one patient, and without
            the key nobody can tell whose it is. Empty without a key, or a patient in the file.
    """

    device: str = ""
    recorded_at: str = ""
    statements: tuple[str, ...] = ()
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Waveform:
    """One 12-lead ECG.

    Attributes:
        signal: (12, samples) float32, mV, leads in the order of `LEADS`.
        rate: samples per second, Hz.
        source: the format the ECG was read from, for example "DICOM".
        metadata: what the file says of device, time and interpretation.
        pulses: begin and end of each calibration pulse, s from the start of the record as it was
            sent; `signal` is the longest part of it without them.
        start: where `signal` begins in the record as it was sent, s.
    """

    signal: Signal
    rate: float
    source: str = "samples"
    metadata: RecordingMetadata = field(default=RecordingMetadata(), repr=False)
    pulses: tuple[tuple[float, float], ...] = ()
    start: float = 0.0

    @property
    def seconds(self) -> float:
        """Duration of the record in seconds."""
        return float(self.signal.shape[1] / self.rate)


@dataclass(frozen=True, slots=True)
class TypedSamples:
    """Samples that a client sent as numbers, not as a file; not yet checked.

    Attributes:
        leads: lead names, in any order.
        values: one float32 array per lead, in `unit`.
        rate: samples per second, Hz.
        unit: "mV" or "uV".
    """

    leads: tuple[str, ...]
    values: tuple[Signal, ...]
    rate: float
    unit: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file of a clinical recording.

    Attributes:
        name: file name; it is used only where one file names another, as in WFDB.
        content: the bytes.
    """

    name: str
    content: bytes = field(repr=False)


EcgInput = TypedSamples | tuple[FilePart, ...]
"""An ECG as a client sends it: typed samples, or the file or files of one recording."""
