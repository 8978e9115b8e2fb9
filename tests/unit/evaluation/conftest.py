import numpy as np
import pytest


@pytest.fixture
def beats() -> np.ndarray:
    """12 s of made-up beats at 500 Hz, another amplitude in each lead: (12, 6000) float32, mV."""
    times = np.arange(6000) / 500.0
    beat = np.exp(-0.5 * ((np.mod(times, 0.8) - 0.3) / 0.02) ** 2)
    return (beat * np.linspace(0.4, 1.5, 12)[:, None]).astype(np.float32)
