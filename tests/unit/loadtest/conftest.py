from itertools import product

import numpy as np
import pytest

from cardex.domain.ecg import FilePart, Waveform
from cardex.inference.repository import newest
from cardex.inference.tokenizer import ReportTokenizer
from cardex.models.comparison import Sample
from cardex.models.precision import Precision
from cardex.signals.images import image_of
from cardex.signals.readers import read
from loadtest import gpu_parity
from loadtest.gpu_runners import CpuRunner
from loadtest.gpu_sample import windows_of
from tests.helpers.real import dicom
from tests.unit.loadtest.machines import Remembering, StandIn

MATCHED = 6  # a cycle of the sizes: 2, 32 and 4 x 100 pairs
WORDS = (
    (
        "sinusrhythmus",
        "vorhofflimmern",
        "sinustachykardie",
        "schrittmacherrhythmus",
        "sinus rhythm",
    ),
    ("linkstyp", "steiltyp", "überdrehter linkstyp", "normal axis"),
    (
        "linksschenkelblock",
        "unspezifische st-senkung",
        "normales ekg",
        "alter inferiorer infarkt",
        "",
    ),
)


@pytest.fixture(scope="session")
def release(root):
    return newest(root / "model_repository")


@pytest.fixture(scope="session")
def waveform():
    return read((FilePart("", dicom().read_bytes()),))


@pytest.fixture(scope="session")
def sample(release, waveform):
    """90 images of a real ECG with its leads mixed, so that they differ, and 100 reports."""
    random, spec = np.random.default_rng(0), release.spec()
    images = []
    for window in windows_of(waveform, 90):
        mixed = random.normal(size=(12, 12)).astype(np.float32) @ window.signal
        images.append(image_of(Waveform(mixed, window.rate), spec))
    texts = [". ".join(filter(None, words)) for words in product(*WORDS)]
    return Sample(np.stack(images), ReportTokenizer(release.tokenizer).encode(texts))


@pytest.fixture(scope="session")
def machine():
    return StandIn()


@pytest.fixture(scope="session")
def halves(release, machine):
    """The fp16 engines."""
    return machine.build(release, Precision.FP16, None, lambda *_: None)


@pytest.fixture(scope="session")
def profiles(halves):
    return {model: built.report.profiles for model, built in halves.items()}


@pytest.fixture(scope="session")
def reference(release, sample, profiles):
    return gpu_parity.refer(release, sample, profiles, MATCHED)


@pytest.fixture(scope="session")
def exact(release, profiles):
    """The fp32 graphs themselves."""
    return {model: Remembering(CpuRunner(release.graph(model).read_bytes())) for model in profiles}
