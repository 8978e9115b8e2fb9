from dataclasses import replace

import numpy as np
import pytest

from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import beats_of
from cardex.training.image import prepare_images
from cardex.training.recipe import Augmentation
from cardex.training.recordings import Recordings
from cardex.training.trainer import Batch
from tests.training.conftest import RASTER

BEAT = ImageSpec(
    layout="simple-plot", source="beat", scaling="peak", window_s=0.3, tile=30, fill="columns"
)


def test_an_image_of_the_rhythm_is_drawn_from_the_whole_record(ecgs):
    own = Recordings.of(ecgs, RASTER)
    assert len(own) == len(ecgs.records)
    np.testing.assert_array_equal(own.pick(np.array([3, 1]), random()), ecgs.signals[[3, 1]])


def test_an_image_of_a_beat_is_drawn_from_any_of_the_ecgs_beats(ecgs):
    own = Recordings.of(ecgs, BEAT)
    for row in (0, 1, 7):
        every = beats_of(ecgs.signals[row], BEAT)
        picked = own.pick(np.full(200, row), random())
        assert {one.tobytes() for one in picked} == {one.tobytes() for one in every}


def test_beats_are_augmented_and_drawn(ecgs):
    own = Recordings.of(ecgs, BEAT)
    images = prepare_images([own], Augmentation(), Batch(np.arange(6), random()))[0]
    assert images.shape == (6, *BEAT.shape)


def test_other_waveforms_have_another_key(ecgs):
    other = replace(ecgs, calibrated=~ecgs.calibrated)
    keys = {Recordings.of(one, spec).key for one in (ecgs, other) for spec in (RASTER, BEAT)}
    assert len(keys) == 4
    assert Recordings.of(ecgs, RASTER).key in keys


@pytest.mark.parametrize("high", [15.0, 40.0])
def test_an_image_of_another_band_gets_it(high, ecgs):
    spec = ImageSpec.from_fields({"layout": "raster", "filter": {"band_hz": [0.5, high]}})
    found = ecgs.filtered_for(spec)
    assert (found is ecgs.signals) == (high == 40.0)
    power = np.abs(np.fft.rfft(found, axis=-1)) ** 2
    hertz = np.fft.rfftfreq(found.shape[-1], 0.01)
    fast = power[..., hertz > 25].sum() / power.sum()
    assert fast < 2e-3 or high == 40.0


def random() -> np.random.Generator:
    return np.random.default_rng(0)
