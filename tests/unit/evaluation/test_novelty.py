import numpy as np
import pytest

from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.intervals import Subset
from cardex.evaluation.novelty import (
    AS_RECORDED,
    QUANTILE,
    alarms,
    changes,
    fit_novelty,
    fit_space,
    summary,
)
from cardex.reports.ptbxl import Record
from cardex.signals.image_spec import ImageSpec
from tests.helpers.embeddings import unit

ECGS = 12


@pytest.fixture
def random():
    return np.random.default_rng(3)


def on_a_cap(random, count: int, dimension: int = 60) -> np.ndarray:
    """Unit vectors about one direction, ever less along each further axis."""
    spread = 0.3 * 0.93 ** np.arange(dimension)
    return unit(np.eye(dimension)[0] + spread * random.standard_normal((count, dimension)))


def test_the_training_ecgs_are_about_one_away(random):
    training = on_a_cap(random, 2000)
    space = fit_space(training)
    assert space.axes.shape == (48, 60)
    np.testing.assert_allclose((space.distances(training) ** 2).mean(axis=0), 1.0, atol=1e-6)
    assert (np.diff(space.scales) <= 0).all()


def test_embeddings_that_fill_few_axes_have_few(random):
    flat = on_a_cap(random, 50) * (np.arange(60) < 5)
    assert fit_space(flat).axes.shape == (5, 60)
    assert np.isfinite(fit_space(flat).distances(on_a_cap(random, 3))).all()


def test_thresholds_are_those_of_another_model_in_its_own_space(random):
    turned = np.linalg.qr(random.standard_normal((60, 60)))[0].astype(np.float32)
    training, others = on_a_cap(random, 1500), on_a_cap(random, 1500) @ turned
    found = fit_novelty(training, others, on_a_cap(random, 400) @ turned)
    unseen = found.unlike(on_a_cap(random, 2000))
    assert unseen.mean() == pytest.approx(2 * (1 - QUANTILE), abs=0.012)
    strange = unit(random.standard_normal((200, 60)))
    assert found.unlike(strange).mean() > 0.95


def test_every_change_keeps_the_shape_and_repeats(beats):
    signals = beats[None, :, :1000]
    for name, change in changes(signals).items():
        assert change().shape == signals.shape, name
        assert change().dtype == np.float32, name
    made = {name: change() for name, change in changes(signals).items()}
    again = {name: change() for name, change in changes(signals).items()}
    for name, signal in made.items():
        np.testing.assert_array_equal(signal, again[name])
    np.testing.assert_array_equal(made["inverted"], -signals)
    np.testing.assert_array_equal(made["time-reversed"][..., ::-1], signals)
    np.testing.assert_allclose(made["half speed"][..., ::2], signals[..., :500])
    deviation = signals.std(axis=-1)
    np.testing.assert_allclose(made["white noise"].std(axis=-1), deviation, rtol=0.1)


class OfSpread:
    """Embeds an image by the pixels of its first lead."""

    spec = ImageSpec(layout="raster", scaling="millivolt", window_s=1.0)
    specs = (spec,)

    def texts(self, texts):
        raise NotImplementedError

    def images(self, images):
        return unit(images[:, 0, :, 0].astype(np.float32) - 127.6)


def test_alarms_are_counted_as_recorded_and_for_every_change(beats, random):
    factors = random.uniform(0.7, 1.4, ECGS).astype(np.float32)
    records = [Record(number, number, 9, "", {}, "") for number in range(ECGS)]
    signals = np.stack([factor * beats[:, ::5][:, :100] for factor in factors])
    ecgs = Ecgs(records, signals, np.ones(ECGS, dtype=bool))
    embedder = OfSpread()
    own = embedder.images(np.zeros((ECGS, 12, 100, 1), np.uint8)) * 0 + on_a_cap(random, ECGS, 100)
    novelty = fit_novelty(own, own, own)
    found = alarms(embedder, novelty, ecgs, own)
    assert list(found) == [AS_RECORDED, *changes(signals)]
    assert found["white noise"].all()
    every = Subset.of("all", np.arange(ECGS), np.arange(ECGS))
    assert summary(found, every)["white noise"] == [100.0, 100.0, 100.0]
