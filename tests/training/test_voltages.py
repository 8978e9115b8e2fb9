import numpy as np
import pytest
import torch

from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw
from cardex.training.image_encoder import ImageEncoder, Vit
from cardex.training.voltages import PARTS, Voltages, extremes
from tests.training.conftest import SMALL

LEADS, SAMPLES, SHARE = 12, 100, 0.25
MARKED = ImageSpec(layout="raster", scaling="deviation", amplitude=True, window_s=2.0)


@pytest.fixture
def random():
    return np.random.default_rng(5)


def waves(random, peaks):
    """Draw noise of 0.05 mV with one spike of `peaks` mV in every part: (ECGs, leads, samples)."""
    found = 0.05 * random.standard_normal((len(peaks), LEADS, SAMPLES))
    found[:, :, :: SAMPLES // PARTS] = peaks
    return torch.from_numpy(found.astype(np.float32))


def test_the_extremes_are_means_over_the_parts():
    wave = torch.zeros(1, LEADS, SAMPLES)
    wave[0, 3, 5], wave[0, 3, 25], wave[0, 4, 99] = 2.0, 1.0, -5.0
    found = extremes(wave)[0]
    assert found[3] == pytest.approx(3.0 / PARTS)
    assert found[LEADS + 4] == pytest.approx(-5.0 / PARTS)
    assert found.count_nonzero() == 2


def test_what_high_voltages_tell_is_learned_and_nothing_of_unknown_ones(random):
    peaks = random.uniform(0.5, 3.0, (400, LEADS, 1))
    signals = waves(random, peaks)
    high = torch.from_numpy(peaks[:, 10] + peaks[:, 4] > 3.5)
    rare = torch.zeros(400, 1)
    rare[0] = 1.0
    voltages = Voltages(LEADS, 2)
    assert not voltages(signals).any()  # not fitted yet
    shares, statements = torch.tensor([SHARE, SHARE]), torch.cat([high.float(), rare], dim=1)
    voltages.fit(extremes(signals), statements, shares)
    found = voltages(signals)
    assert found[high[:, 0], 0].min() > found[~high[:, 0], 0].median()
    assert found[:, 0].mean() == pytest.approx(0.0, abs=SHARE * 0.05)
    assert not found[:, 1].any()  # one ECG teaches nothing
    assert not voltages(torch.zeros_like(signals)).any()


def test_a_statement_gets_its_own_share_of_what_they_tell(random):
    peaks = random.uniform(0.5, 3.0, (200, LEADS, 1))
    signals = waves(random, peaks)
    high = torch.from_numpy(peaks[:, 10] > 1.5).float()
    voltages = Voltages(LEADS, 3)
    voltages.fit(extremes(signals), high.expand(-1, 3), torch.tensor([1.0, SHARE, 0.0]))
    whole, part, nothing = voltages(signals).T
    assert whole.abs().max() > 0.1
    torch.testing.assert_close(part, SHARE * whole)
    assert not nothing.any()


def test_an_encoder_adds_them_to_the_log_odds_of_ecgs_in_millivolts(random):
    encoder = ImageEncoder([Vit(SMALL, MARKED, 0, 2)], torch.zeros(2), voltages=True).eval()
    signals = waves(random, random.uniform(0.5, 3.0, (40, LEADS, 1))).numpy()
    signals = np.tile(signals, (1, 1, 2))[:, :, : MARKED.window]
    pixels = torch.from_numpy(draw(signals, MARKED, np.ones(40, dtype=bool)))
    lost = torch.from_numpy(draw(signals, MARKED, np.zeros(40, dtype=bool)))
    millivolts = encoder.millivolts(pixels)
    drawn = signals[:, :, :-1] - signals.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(millivolts.numpy(), drawn, atol=0.08)
    before = [encoder.read(each)[0] for each in (pixels, lost)]
    statements = torch.from_numpy(random.integers(0, 2, (40, 2)))
    encoder.voltages.fit(extremes(millivolts), statements, torch.full((2,), SHARE))
    added = encoder.read(pixels)[0] - before[0]
    np.testing.assert_allclose(added.detach(), encoder.voltages(millivolts).numpy(), atol=1e-4)
    assert added.abs().max() > 0.01
    torch.testing.assert_close(encoder.read(lost)[0], before[1])
