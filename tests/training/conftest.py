"""Small encoders and small data: what training does, in seconds. Runs in the training environment."""

import numpy as np
import pytest
import torch

from services.signals.spec import ImageSpec
from services.training.models import TowerConfig

SMALL = TowerConfig(width=32, depth=1, heads=2, embedding=64, dropout=0.0)
RASTER = ImageSpec(layout="raster", scaling="deviation", window_s=2.0)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums in one order, whatever else runs on the machine


@pytest.fixture
def signals() -> np.ndarray:
    """160 made-up ECGs at 100 Hz, slow and fast ones in turn: (160, 12, 200) float32."""
    random = np.random.default_rng(0)
    times = np.arange(200) / 100.0
    rows = []
    for number in range(160):
        period = 0.4 if number % 2 else 0.9
        beat = np.exp(-0.5 * ((np.mod(times + 0.01 * number, period) - 0.2) / 0.02) ** 2)
        rows.append(beat * random.uniform(0.5, 1.5, (12, 1)))
    return np.array(rows, dtype=np.float32)
