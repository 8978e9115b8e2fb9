"""Embeddings for tests: made up, and each of length one."""

import numpy as np

from tests.helpers.fake_model import DIMENSION, VERSION


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length one: (..., dimension) float32."""
    vectors = vectors.astype(np.float32)
    normalised: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return normalised


def text_vector(text: str, version: str = VERSION) -> np.ndarray:
    """One direction for each text and model, the same in every process."""
    space = [] if version == VERSION else list(version.encode())
    return unit(np.random.default_rng(space + list(text.encode())).standard_normal(DIMENSION))
