"""Known inputs of the encoders, and the check that a server answers them as at the export."""

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Image
from cardex.domain.errors import ConfigurationError

SHOWN = 8
"""How many components of an embedding the export notes."""
TOLERANCE = 0.02
"""Largest difference per component: far above fp16 rounding, far below a wrong or empty tensor."""


def probe_image(shape: tuple[int, int, int]) -> Image:
    """Return the known image: (1, *shape) uint8, with every grey value and no symmetry."""
    count = int(np.prod(shape))
    return ((np.arange(count, dtype=np.int64) * 7919) % 256).astype(np.uint8).reshape(1, *shape)


def probe_tokens(length: int) -> NDArray[np.int32]:
    """Return the known report: (1, length) int32, half of it padding."""
    tokens = np.zeros((1, length), dtype=np.int32)
    tokens[0, : length // 2] = 2 + np.arange(length // 2)
    return tokens


def check_probe(model: str, embedding: NDArray[np.float32], expected: list[float]) -> None:
    """Compare the first components of an embedding with the exporter's.

    Raises:
        ConfigurationError: if they differ or the tensor is empty.
    """
    found = embedding.reshape(-1)[: len(expected)]
    if (
        not expected
        or found.size != len(expected)
        or not np.allclose(found, expected, atol=TOLERANCE)
    ):
        raise ConfigurationError(
            f"{model} answers its known input with {np.round(found, 3).tolist()} instead of"
            f" {np.round(expected, 3).tolist()}: the runtime is broken (numpy 2 in Triton's"
            " environment makes empty tensors) or the weights are damaged; rebuild it with"
            " `make setup`",
            reason="PROBE_FAILED",
        )
