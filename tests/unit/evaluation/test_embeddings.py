import numpy as np
import pytest

from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embeddings import AT_ONCE, embed_ecgs, embed_prompts, images_of
from cardex.reports.ptbxl import Record, StatementKind
from cardex.signals.image_spec import UNKNOWN_MARK, ImageSpec
from tests.helpers.embeddings import text_vector


class Seeing:
    """Embeds an image as the spread of each of its channels."""

    def __init__(self, spec: ImageSpec) -> None:
        self.specs = (spec,)

    def images(self, images):
        return images.std(axis=(1, 2)).astype(np.float32)

    def texts(self, texts):
        return np.stack([text_vector(text) for text in texts])


@pytest.fixture
def ecgs():
    count = AT_ONCE + 6
    signals = np.random.default_rng(0).standard_normal((count, 12, 100)).astype(np.float32)
    records = [Record(number, number, 9, "x", {}, "") for number in range(count)]
    return Ecgs(records, signals, np.arange(count) % 2 == 0)


def test_every_ecg_is_embedded_in_its_place(ecgs):
    spec = ImageSpec(layout="raster", scaling="deviation", window_s=1.0)
    found = embed_ecgs(Seeing(spec), ecgs)
    assert found.shape == (AT_ONCE + 6, 1)
    alone = embed_ecgs(Seeing(spec), ecgs.rows([AT_ONCE + 2]))
    np.testing.assert_array_equal(found[AT_ONCE + 2], alone[0])


def test_amplitudes_that_are_not_known_are_not_shown(ecgs):
    spec = ImageSpec(layout="raster", scaling="deviation", window_s=1.0, amplitude=True)
    images = np.concatenate(list(images_of(ecgs, [spec])))
    np.testing.assert_array_equal((images[:, :, -1, 0] > UNKNOWN_MARK).all(axis=1), ecgs.calibrated)


def test_two_images_of_an_ecg_stand_side_by_side(ecgs):
    specs = [
        ImageSpec(layout="raster", scaling="deviation", window_s=1.0, amplitude=True),
        ImageSpec(layout="simple-plot", window_s=1.0, tile=20),
    ]
    both = np.concatenate(list(images_of(ecgs, specs)))
    first, second = (np.concatenate(list(images_of(ecgs, [spec]))) for spec in specs)
    np.testing.assert_array_equal(both[:, : first[0].size], first.reshape(len(both), -1))
    np.testing.assert_array_equal(both[:, first[0].size :], second.reshape(len(both), -1))


def test_a_statement_is_embedded_by_its_description():
    kinds = {"AFIB": StatementKind("atrial fibrillation", "", "", False, True)}
    embedder = Seeing(ImageSpec())
    found = embed_prompts(embedder, kinds)
    np.testing.assert_array_equal(found["AFIB"], text_vector("atrial fibrillation"))
    assert embed_prompts(embedder, {}) == {}
