"""Samples as int16 steps of one resolution, where that loses nothing."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cardex.api.convert.ecg import scaled
from cardex.api.pb.v1 import ecg_pb2
from cardex.domain.ecg import Signal

RESOLUTIONS = (0.001, 0.005, 0.0025, 0.00488, 0.00122, 0.0005, 1 / 400, 1 / 1024)
"""Steps that carts and archives write, in mV."""
LARGEST = 32_767


def lead_message(name: str, values: Signal, resolution: float | None = None) -> ecg_pb2.Lead:
    """Return the message of one lead: packed where every sample comes out as it went in.

    Args:
        name: of the lead.
        values: (samples,) float32.
        resolution: the step of the values, where the caller knows it.
    """
    packed = pack(values, resolution)
    if packed is None:
        return ecg_pb2.Lead(name=name, values=values)
    steps, found = packed
    return ecg_pb2.Lead(name=name, steps=steps.astype("<i2").tobytes(), resolution=found)


def pack(values: Signal, resolution: float | None = None) -> tuple[NDArray[np.int16], float] | None:
    """Return int16 steps and their resolution, from which `scaled` makes the same float32 again.

    Args:
        values: (samples,) float32.
        resolution: is tried before the usual ones.

    Returns:
        None where no resolution that is tried does that.
    """
    largest = float(np.max(np.abs(values), initial=0.0))
    if not np.isfinite(largest):
        return None
    for step in _candidates(resolution):
        if largest > LARGEST * step:
            continue
        steps = np.rint(values / step).astype(np.int16)
        if np.array_equal(scaled(steps, step), values):
            return steps, step
    return None


def _candidates(resolution: float | None) -> Iterator[float]:
    """Yield each resolution, and the one that a product of two float32 numbers rounds by."""
    for step in (resolution, *RESOLUTIONS):
        if step is not None and 0.0 < step < np.inf:
            yield step
            yield float(np.float32(step))
