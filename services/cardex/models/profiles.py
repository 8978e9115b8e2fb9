"""Optimisation profiles: the range of shapes that an engine is built for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cardex.domain.errors import ConfigurationError
from cardex.domain.jobs import MAX_RERANK, MIN_RERANK
from cardex.models.precision import read

Shape = tuple[int, ...]

TYPICAL_CANDIDATES = 32


class Profile(msgspec.Struct, frozen=True):
    """The shapes of one input that an engine accepts; it is optimised for the typical one."""

    smallest: Shape
    typical: Shape
    largest: Shape


def profiles_of(
    graph: Path | bytes,
    max_batch: int,
    typical_batch: int,
    typical_candidates: int = TYPICAL_CANDIDATES,
) -> dict[str, Profile]:
    """Return the profile of every input of one of the three models.

    Args:
        graph: ONNX graph; the first free axis of an input is the batch, a second one the
            matcher's candidate reports.
        max_batch: largest batch, Triton's `max_batch_size`.
        typical_batch: batch that the engine is optimised for.
        typical_candidates: candidate reports that the matcher is optimised for; it takes 2 to 128.

    Raises:
        ConfigurationError: if the file is no ONNX graph, or a typical size is out of range.
    """
    if not 1 <= typical_batch <= max_batch:
        raise ConfigurationError(
            f"the typical batch is 1 to the largest ({max_batch}): got {typical_batch}"
        )
    if not MIN_RERANK <= typical_candidates <= MAX_RERANK:
        raise ConfigurationError(
            f"the typical candidates are {MIN_RERANK} to {MAX_RERANK}: got {typical_candidates}"
        )
    sizes = [
        (1, MIN_RERANK),
        (typical_batch, typical_candidates),
        (max_batch, MAX_RERANK),
    ]
    return {
        item.name: Profile(*(_filled(item.type.tensor_type.shape.dim, size) for size in sizes))
        for item in read(graph).graph.input
    }


def _filled(dims: Any, size: tuple[int, int]) -> Shape:  # noqa: ANN401  # protobuf's own list
    free = iter(size)
    return tuple(dim.dim_value if dim.HasField("dim_value") else next(free) for dim in dims)


def check(profiles: Mapping[str, Profile], inputs: Mapping[str, Shape]) -> None:
    """Check that profiles fit a network, since TensorRT would only log a mismatch.

    Args:
        profiles: by name of the input.
        inputs: shape of each input of the network, -1 for a free axis.

    Raises:
        ConfigurationError: if they do not fit; the message names the input.
    """
    if inputs.keys() != profiles.keys():
        raise ConfigurationError(
            f"the graph has the inputs {', '.join(inputs)}, the profiles {', '.join(profiles)}"
        )
    for name, profile in profiles.items():
        shape = inputs[name]
        sizes = (profile.smallest, profile.typical, profile.largest)
        fits = {len(size) for size in sizes} == {len(shape)} and all(
            low <= middle <= high and dim in (-1, low) and dim in (-1, high)
            for dim, low, middle, high in zip(shape, *sizes, strict=True)
        )
        if not fits:
            raise ConfigurationError(
                f"input {name} has the shape {shape}, which the profile {sizes} does not fit"
            )
