"""Real ECGs and real reports for tests, in every environment."""

from pathlib import Path

import numpy as np

from cardex.api.recordings import load, recordings
from cardex.domain.ecg import FilePart, Image
from cardex.domain.reports import Report
from cardex.local_stack.dataset import DemoData, fetch
from cardex.reports.ptbxl import distinct_reports
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import image_of
from cardex.signals.readers import read

ROOT = Path(__file__).resolve().parents[2]


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
