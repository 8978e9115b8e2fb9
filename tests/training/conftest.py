"""Small encoders and small data, so that a training takes seconds; needs torch."""

import socket

import numpy as np
import pytest
import torch

from cardex.evaluation.ecgs import Ecgs
from cardex.reports.ptbxl import Record
from cardex.signals.image_spec import ImageSpec
from cardex.training.blocks import TowerConfig
from cardex.training.corpora import Corpus
from cardex.training.distributed import DistributedContext
from cardex.training.recipe import Augmentation, ImageRecipe, MatcherRecipe, Recipe, TextRecipe
from cardex.training.stage import RunContext
from cardex.training.text_stage import Reports
from cardex.training.trainer import Plan

SMALL = TowerConfig(width=32, depth=1, heads=2, embedding=64, dropout=0.0)
RASTER = ImageSpec(layout="raster", scaling="deviation", window_s=2.0)
# Graphs are traced on purpose, and tests hold each against torch.
EXPORTS = (
    "ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning",
    "ignore:The feature will be removed:DeprecationWarning",
    "ignore:Exporting aten..index operator of advanced indexing:UserWarning",
    "ignore::torch.jit.TracerWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in EXPORTS:
        config.addinivalue_line("filterwarnings", line)


DESCRIPTIONS = {"FAST": "sinus tachycardia", "SLOW": "sinus bradycardia"}
TEXTS = {
    "FAST": ["sinustachykardie", "sinus tachycardia. otherwise normal ecg.", "tachykardie"],
    "SLOW": ["sinusbradykardie", "sinus bradycardia. otherwise normal ecg.", "bradykardie"],
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums in one order, whatever else runs on the machine


@pytest.fixture
def ecgs() -> Ecgs:
    """160 made-up ECGs at 100 Hz, alternately slow and fast, folds 1 to 9: (160, 12, 200)."""
    random = np.random.default_rng(0)
    times = np.arange(200) / 100.0
    records, signals = [], []
    for number in range(160):
        code = "FAST" if number % 2 else "SLOW"
        period = 0.4 if code == "FAST" else 0.9
        beat = np.exp(-0.5 * ((np.mod(times + 0.01 * number, period) - 0.2) / 0.02) ** 2)
        signals.append(beat * random.uniform(0.5, 1.5, (12, 1)))
        text = TEXTS[code][number // 2 % 3]
        records.append(Record(number, number // 3, 1 + number % 9, text, {code: 100.0}, ""))
    return Ecgs(records, np.array(signals, dtype=np.float32), np.ones(160, dtype=bool))


@pytest.fixture
def signals(ecgs):
    return ecgs.signals


@pytest.fixture
def corpus(ecgs) -> Corpus:
    return Corpus.of([record for record in ecgs.records if record.fold != 9], minimum=5)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        image_spec={"layout": "raster", "scaling": "deviation", "window_s": 2.0},
        text=TextRecipe(tower=SMALL, plan=Plan(epochs=10, batch=16), vocabulary=200),
        image=ImageRecipe(
            tower=SMALL, dropout=0.0, plan=Plan(epochs=8, batch=16), study=Plan(epochs=4, batch=16),
            augmentation=Augmentation(mix=0.4),
        ),
        matcher=MatcherRecipe(plan=Plan(epochs=1, batch=16)),
    )  # fmt: skip


@pytest.fixture
def context(tmp_path) -> RunContext:
    return RunContext(tmp_path / "work", DistributedContext())


@pytest.fixture
def reports(corpus, recipe, context) -> Reports:
    return Reports(corpus, DESCRIPTIONS, recipe, context)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
