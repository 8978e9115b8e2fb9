import numpy as np
import pytest

from cardex.signals.image_spec import UNKNOWN_MARK, ImageSpec
from cardex.training.augment import augment
from cardex.training.image import prepare_images
from cardex.training.recipe import Augmentation
from cardex.training.recordings import Recordings
from cardex.training.trainer import Batch
from tests.training.conftest import RASTER

NOTHING = Augmentation(shift_s=0.0, noise=0.0, drop=0.0)


def random():
    return np.random.default_rng(0)


def test_nothing_is_changed_where_nothing_is_asked(signals):
    np.testing.assert_allclose(augment(signals, RASTER, NOTHING, random()), signals, atol=1e-7)


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
    own = Recordings.whole(signals, np.ones(len(signals), dtype=bool), RASTER)
    shares = [
        float(prepare_images([own], how, Batch(np.arange(8), np.random.default_rng(seed)))[3])
        for seed in range(200)
    ]
    assert abs(sum(share < 1.0 for share in shares) - mixed) < 25
    assert all(0.0 <= share <= 1.0 for share in shares)


def test_a_beat_is_neither_shifted_nor_printed_in_part(signals):
    spec = ImageSpec(layout="raster", source="beat", window_s=2.0)
    how = Augmentation(shift_s=1.0, noise=0.0, drop=0.0, printed=1.0)
    np.testing.assert_allclose(augment(signals, spec, how, random()), signals, atol=1e-7)


def test_amplitudes_are_hidden_from_both_images_or_from_none(signals):
    spec = ImageSpec(layout="raster", scaling="deviation", window_s=2.0, amplitude=True)
    own = Recordings.whole(signals, np.ones(len(signals), dtype=bool), spec)
    how = Augmentation(uncalibrated=0.5)
    images = prepare_images([own, own], how, Batch(np.arange(40), random()))[0].numpy()
    shown = images.reshape(40, 2, *spec.shape)[..., -1, 0].min(axis=2) > UNKNOWN_MARK
    assert (shown[:, 0] == shown[:, 1]).all()
    assert 5 < shown[:, 0].sum() < 35
    assert not np.array_equal(images[:, : 12 * 200], images[:, 12 * 200 :])


CHANGES = {
    "filtered": Augmentation(shift_s=0.0, noise=0.0, drop=0.0, filtered=1.0),
    "quantised": Augmentation(shift_s=0.0, noise=0.0, drop=0.0, quantised=1.0),
    "printed": Augmentation(shift_s=0.0, noise=0.0, drop=0.0, printed=1.0),
    "gain": Augmentation(shift_s=0.0, noise=0.0, drop=0.0, gain=0.3),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_of_a_cart_changes_every_ecg_a_little(name, signals):
    found = augment(signals, RASTER, CHANGES[name], random())
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    changed = np.abs(found - signals).max(axis=(1, 2))
    assert (changed > 0).all()
    alike = [
        np.corrcoef(one.ravel(), other.ravel())[0, 1]
        for one, other in zip(found, signals, strict=True)
    ]
    assert min(alike) > 0.3


def test_a_cart_of_coarse_steps_gives_few_values(signals):
    found = augment(signals, RASTER, CHANGES["quantised"], random())
    assert len(np.unique(found[0])) < len(np.unique(signals[0])) / 2


def test_a_printed_page_shows_a_quarter_of_each_lead_and_all_of_lead_ii(signals):
    ones = np.ones_like(signals)
    shown = augment(ones, RASTER, CHANGES["printed"], random()).mean(axis=-1)
    np.testing.assert_allclose(shown[:, 1], 1.0)
    np.testing.assert_allclose(np.delete(shown, 1, axis=1), 0.25)


def test_a_band_takes_the_level_off(signals):
    found = augment(signals + 5.0, RASTER, CHANGES["filtered"], random())
    assert np.abs(found.mean(axis=-1)).max() < 0.1


@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_millivolts_are_hidden_as_often_as_asked_and_where_they_are_unknown(hidden, signals):
    spec = ImageSpec(layout="raster", scaling="deviation", window_s=2.0, amplitude=True)
    how = Augmentation(shift_s=0.0, noise=0.0, drop=0.0, uncalibrated=hidden)
    own = Recordings.whole(signals, np.arange(len(signals)) % 2 == 0, spec)
    images = prepare_images([own], how, Batch(np.arange(20), random()))[0].numpy()
    told = images[:, :, -1, 0].min(axis=1) > UNKNOWN_MARK
    assert told.tolist() == [row % 2 == 0 and not hidden for row in range(20)]
