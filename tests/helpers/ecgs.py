"""ECGs for tests: one that is made up, and the real one that pydicom brings along."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydicom

from cardex.domain.ecg import LEADS, FilePart, TypedSamples

DICOM = Path(pydicom.__file__).parent / "data" / "test_files" / "waveform_ecg.dcm"

# (time in the beat in s, width in s, amplitude in mV) of P, Q, R, S and T
_WAVES = (
    (0.20, 0.020, 0.12),
    (0.36, 0.008, -0.10),
    (0.40, 0.010, 1.00),
    (0.44, 0.008, -0.20),
    (0.65, 0.040, 0.25),
)


def beats(rate: float = 500.0, seconds: float = 10.0, bpm: float = 66.0) -> np.ndarray:
    """One lead of regular beats: (samples,) float32, mV."""
    phase = np.mod(np.arange(round(rate * seconds)) / rate, 60.0 / bpm)
    waves = (a * np.exp(-0.5 * ((phase - t) / width) ** 2) for t, width, a in _WAVES)
    lead: np.ndarray = np.sum(list(waves), axis=0)
    return lead.astype(np.float32)


def ecg(rate: float = 500.0, seconds: float = 10.0, bpm: float = 66.0, seed: int = 0) -> np.ndarray:
    """Twelve leads that obey Einthoven and Goldberger: (12, samples) float32, mV."""
    one = beats(rate, seconds, bpm)
    noise = np.random.default_rng(seed).normal(0.0, 0.005, (8, len(one)))
    scale = np.array([0.6, 1.0, -0.3, 0.4, 0.8, 1.2, 1.0, 0.7])[:, None]
    i, ii, *chest = scale * one + noise
    limbs = [i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2]
    return np.array([*limbs, *chest], dtype=np.float32)


def typed(
    signal: Iterable[np.ndarray], *, rate: float = 500.0, unit: str = "mV", leads=LEADS
) -> TypedSamples:
    """Typed samples of (leads, samples)."""
    return TypedSamples(tuple(leads), tuple(signal), rate, unit)


def dicom() -> tuple[FilePart, ...]:
    """The real DICOM ECG as a payload of one file."""
    return (FilePart("", DICOM.read_bytes()),)


def wfdb_record(folder: Path, signal: np.ndarray, *, rate: float = 500.0, name: str = "rec"):
    """Write (12, samples) mV as a WFDB record; returns its header and its signal file."""
    import wfdb

    wfdb.wrsamp(
        name,
        fs=rate,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        p_signal=signal.T.astype(np.float64),
        fmt=["16"] * 12,
        adc_gain=[1000.0] * 12,
        baseline=[0] * 12,
        write_dir=str(folder),
    )
    return tuple(
        FilePart(f"{name}{s}", (folder / f"{name}{s}").read_bytes()) for s in (".hea", ".dat")
    )
