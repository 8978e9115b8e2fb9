import numpy as np
import pytest

from cardex.signals.image_spec import ImageSpec
from cardex.training.augment import augment
from cardex.training.image import prepare_images
from cardex.training.recipe import Augmentation
from cardex.training.trainer import Batch
from tests.training.conftest import RASTER

NOTHING = Augmentation(shift_s=0.0, noise=0.0, drop=0.0)


def random():
    return np.random.default_rng(0)


def test_nothing_is_changed_where_nothing_is_asked(signals):
    np.testing.assert_array_equal(augment(signals, RASTER, NOTHING, random()), signals)


def test_every_ecg_varies_and_the_originals_stay(signals):
    before = signals.copy()
    how = Augmentation(warp=0.1, wander=0.3, noise=0.1, drop=0.1)
    rounds = [augment(signals, RASTER, how, np.random.default_rng(seed)) for seed in range(3)]
    np.testing.assert_array_equal(signals, before)
    for windows in rounds:
        assert windows.shape == signals.shape
        assert windows.dtype == np.float32
        assert np.isfinite(windows).all()
        silent = (windows == 0.0).all(axis=-1).mean()
        assert 0.07 < silent < 0.13
    assert not np.array_equal(rounds[0], rounds[1])
    np.testing.assert_array_equal(rounds[0], augment(signals, RASTER, how, random()))


def test_a_shift_moves_all_leads_and_lets_silence_in(signals):
    windows = augment(signals + 5.0, RASTER, Augmentation(0.2, noise=0.0, drop=0.0), random())
    silence = (windows == 0.0).sum(axis=-1)
    assert (silence == silence[:, :1]).all()
    assert 0 < silence.max() <= 20


def test_a_warp_changes_the_pace(signals):
    windows = augment(signals, RASTER, Augmentation(0.0, warp=0.2, noise=0.0, drop=0.0), random())
    for before, after in zip(signals[:20, 0], windows[:20, 0], strict=True):
        assert not np.array_equal(before, after)
        assert after.max() <= before.max() + 1e-6


def test_noise_and_wander_are_measured_in_the_leads_own_deviation(signals):
    for how in (
        Augmentation(0.0, noise=0.2, drop=0.0),
        Augmentation(0.0, noise=0.0, wander=0.5, drop=0.0),
    ):
        small = augment(signals, RASTER, how, random()) - signals
        large = augment(10 * signals, RASTER, how, random()) - 10 * signals
        assert np.abs(small).max() > 0
        np.testing.assert_allclose(large, 10 * small, atol=2e-5)


def test_a_longer_record_gives_windows_from_everywhere(signals):
    spec = ImageSpec(layout="raster", scaling="deviation", window_s=1.0)
    ramp = np.broadcast_to(np.arange(200, dtype=np.float32), signals.shape)
    starts = augment(ramp, spec, NOTHING, random())[:, 0, 0]
    assert starts.min() < 15
    assert starts.max() > 85


@pytest.mark.parametrize(("mix", "mixed"), [(0.0, 0), (0.4, 100)])
def test_as_many_batches_are_mixed_as_asked(mix, mixed, signals):
    how = Augmentation(mix=mix, mix_share=0.5)
    shares = [
        float(
            prepare_images(signals, RASTER, how, Batch(np.arange(8), np.random.default_rng(seed)))[
                3
            ]
        )
        for seed in range(200)
    ]
    assert abs(sum(share < 1.0 for share in shares) - mixed) < 25
    assert all(0.0 <= share <= 1.0 for share in shares)
