"""The shapes that an engine is made for."""

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
    """The shapes that an engine takes for one input; it is fastest at the typical one."""

    smallest: Shape
    typical: Shape
    largest: Shape


def profiles_of(
    graph: Path | bytes,
    max_batch: int,
    typical_batch: int,
    typical_candidates: int = TYPICAL_CANDIDATES,
) -> dict[str, Profile]:
    """Return the shapes for every input of one of the three models.

    Args:
        graph: ONNX; the first free axis of an input is the batch, a second one the candidates.
        max_batch: largest batch, Triton's `max_batch_size`.
        typical_batch: what the engine is made fastest for.
        typical_candidates: the same of the reports that the matcher reads; it takes 2 to 128.

    Raises:
        ConfigurationError: if the graph is none, or the typical size is larger than the largest.
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
    """Refuse profiles that do not fit, which TensorRT would only log.

    Args:
        profiles: by input.
        inputs: shape of each input of the network, -1 where it is free.

    Raises:
        ConfigurationError: names the input.
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
