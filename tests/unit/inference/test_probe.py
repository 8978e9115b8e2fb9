import numpy as np
import pytest

from cardex.domain.errors import ConfigurationError
from cardex.inference.probe import TOLERANCE, check_probe, probe_image, probe_tokens

EXPECTED = [0.1, -0.2, 0.3, 0.0]


def embedding(*values: float) -> np.ndarray:
    return np.array([values], dtype=np.float32)


def test_the_same_components_pass():
    check_probe("encoder", embedding(*EXPECTED, 0.9, 0.9), EXPECTED)


def test_the_rounding_of_half_precision_passes():
    half = np.array([EXPECTED], dtype=np.float16).astype(np.float32)
    check_probe("encoder", half, EXPECTED)


@pytest.mark.parametrize(
    "found",
    [
        embedding(0.1, -0.2, 0.3, 0.5),
        embedding(-0.2, 0.1, 0.3, 0.0),
        embedding(0.0, 0.0, 0.0, 0.0),
        embedding(0.1, -0.2, 0.3, 2 * TOLERANCE),
        embedding(0.1, -0.2, 0.3, np.nan),
        embedding(0.1, -0.2, 0.3),
        np.empty((1, 0), dtype=np.float32),
        np.empty((0, 4), dtype=np.float32),
    ],
    ids=["wrong", "swapped", "zero", "just off", "nan", "short", "empty", "no row"],
)
def test_a_wrong_short_or_empty_embedding_is_refused(found):
    with pytest.raises(ConfigurationError, match="encoder answers its known input") as caught:
        check_probe("encoder", found, EXPECTED)
    assert caught.value.reason == "PROBE_FAILED"


def test_an_expectation_of_nothing_proves_nothing():
    with pytest.raises(ConfigurationError):
        check_probe("encoder", embedding(*EXPECTED), [])


def test_the_known_image_is_always_the_same():
    image = probe_image((192, 256, 3))
    assert image.shape == (1, 192, 256, 3)
    assert image.dtype == np.uint8
    assert image.ravel()[:4].tolist() == [0, 239, 222, 205]


def test_the_known_image_has_every_grey_value():
    assert len(np.unique(probe_image((192, 256, 3)))) == 256


def test_the_known_report_is_half_padding():
    tokens = probe_tokens(64)
    assert tokens.shape == (1, 64)
    assert tokens.dtype == np.int32
    assert tokens[0, :3].tolist() == [2, 3, 4]
    assert not tokens[0, 32:].any()
