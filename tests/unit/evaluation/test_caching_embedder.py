import numpy as np

from cardex.evaluation.caching_embedder import CachingEmbedder, untracked
from cardex.signals.image_spec import ImageSpec
from tests.helpers.embeddings import text_vector


class Embedder:
    specs = (ImageSpec(layout="raster"),)

    def __init__(self) -> None:
        self.read: list[str] = []
        self.seen = 0

    def images(self, images):
        self.seen += 1
        return images.reshape(len(images), -1).astype(np.float32)

    def texts(self, texts):
        self.read += texts
        return np.stack([text_vector(text) for text in texts])


def test_a_text_is_read_once_and_stands_where_it_was_asked():
    plain = Embedder()
    watched = CachingEmbedder(plain, untracked)
    texts = [f"report {number % 80}" for number in range(200)]
    np.testing.assert_array_equal(watched.texts(texts), Embedder().texts(texts))
    watched.texts(["report 3", "new"])
    assert plain.read == [*dict.fromkeys(texts), "new"]


def test_an_image_is_embedded_once():
    plain = Embedder()
    watched = CachingEmbedder(plain, untracked)
    one, other = np.zeros((2, 1, 1, 1), np.uint8), np.ones((2, 1, 1, 1), np.uint8)
    np.testing.assert_array_equal(watched.images(one), watched.images(one))
    assert plain.seen == 1
    assert watched.images(other).tolist() == [[1.0], [1.0]]
    assert watched.specs == plain.specs


def test_how_far_it_is_is_shown():
    titles = []

    def track(numbers, title):
        titles.append((title, len(numbers)))
        return numbers

    CachingEmbedder(Embedder(), track).texts([str(number) for number in range(130)])
    assert titles == [("reading 130 reports", 3)]
