"""The real ECGs and reports that engines are asked about, and the shapes they are asked in."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cardex.api.recordings import load, recordings
from cardex.domain.ecg import Waveform
from cardex.evaluation.dataset import open_dataset
from cardex.inference.repository import ModelVersion
from cardex.inference.served_model import IMAGE_INPUT
from cardex.inference.tokenizer import ReportTokenizer
from cardex.local_stack.dataset import DemoData
from cardex.models.comparison import Sample, sample_of
from cardex.models.precision import Inputs
from cardex.models.profiles import Profile, Shape
from cardex.reports.ptbxl import distinct_reports
from cardex.signals.images import image_of
from cardex.signals.readers import read

SIZES = ("smallest", "typical", "largest")
"""Shapes of a profile, by attribute."""
CUTS = 10
WINDOW_S = 10.0
PART = 0.8
REPORTS = 2000


def demo_sample(release: ModelVersion, data: DemoData) -> Sample:
    """Return about 100 ECGs, `CUTS` windows of each record of the demo, and `REPORTS` distinct reports."""
    spec = release.spec()
    images = [
        image_of(window, spec)
        for files in recordings([*data.cpsc, data.dicom])
        for window in windows_of(read(load(files)))
    ]
    texts = sorted(report.text for report in distinct_reports(data.ptbxl))
    places = np.linspace(0, len(texts) - 1, min(REPORTS, len(texts))).astype(int)
    tokens = ReportTokenizer(release.tokenizer).encode([texts[place] for place in places])
    return Sample(np.stack(images), tokens)


def fold_sample(release: ModelVersion, folder: Path, fold: int) -> Sample:
    """Return the ECGs and the gallery of reports that `cardex evaluate` measures; raises InvalidReport."""
    return sample_of(release, open_dataset(folder), fold)


def windows_of(waveform: Waveform, count: int = CUTS) -> Iterator[Waveform]:
    """Yield parts of one record, each with another start: 10 s, and less than a record of 10 s has."""
    samples = waveform.signal.shape[1]
    width = min(int(WINDOW_S * waveform.rate), int(PART * samples))
    for start in np.linspace(0, samples - width, count).astype(int):
        yield Waveform(waveform.signal[:, start : start + width], waveform.rate)


def shapes_of(profiles: Mapping[str, Profile], size: str) -> dict[str, Shape]:
    """Return the shape of each input at one of `SIZES`."""
    return {name: getattr(profile, size) for name, profile in profiles.items()}


def filled(sample: Sample, shapes: Mapping[str, Shape]) -> Inputs:
    """Return one call of these shapes, with real ECGs and reports, from the first again where they run out."""
    inputs = {}
    for name, shape in shapes.items():
        rows = sample.images if name == IMAGE_INPUT else sample.tokens
        count = math.prod(shape) // rows[0].size
        inputs[name] = rows[np.arange(count) % len(rows)].reshape(shape)
    return inputs
