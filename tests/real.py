"""Real ECGs and real reports for tests, in every environment."""

from pathlib import Path

import numpy as np

from services.domain.ecg import FilePart, Image
from services.domain.reports import Report
from services.records import load, recordings
from services.retrieval.ptbxl import distinct_reports
from services.signals.images import image_of
from services.signals.readers import read
from services.signals.spec import ImageSpec
from services.stack.dataset import DemoData, fetch

ROOT = Path(__file__).resolve().parents[1]


def demo_data() -> DemoData:
    """Return the pinned real data, fetched once into the project's data folder."""
    return fetch(ROOT / ".cardex" / "data", print)


def dicom() -> Path:
    import pydicom

    return Path(pydicom.__file__).parent / "data" / "test_files" / "waveform_ecg.dcm"


def real_signal() -> np.ndarray:
    """Return the DICOM's leads: (12, 10000) float32, mV, 1000 Hz."""
    return read((FilePart("", dicom().read_bytes()),)).signal


def cpsc_images(spec: ImageSpec) -> Image:
    """Return the ECGs of the CPSC sample as images: (10, height, width, channels) uint8."""
    ecgs = [read(load(files)) for files in recordings(demo_data().cpsc)]
    return np.stack([image_of(ecg, spec) for ecg in ecgs])


def reports(count: int | None = None) -> list[Report]:
    return distinct_reports(demo_data().ptbxl)[:count]
