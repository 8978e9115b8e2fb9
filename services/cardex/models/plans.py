"""Builds the TensorRT engines of a model version, in the batch sizes of its configurations."""

from collections.abc import Callable
from pathlib import Path

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import GRAPHS, IMAGE_ENCODER, MATCHER, TEXT_ENCODER, ModelVersion
from cardex.models.builders import Api
from cardex.models.comparison import Sample
from cardex.models.config import max_batch_size
from cardex.models.engine import Built, build
from cardex.models.precision import Precision, convert
from cardex.models.profiles import profiles_of

TYPICAL = {IMAGE_ENCODER: 16, TEXT_ENCODER: 32, MATCHER: 1}
"""Batch sizes that engines are optimised for: a micro-batch, an index chunk, one re-ranked ECG."""


def build_plans(
    release: ModelVersion,
    api: Api,
    gpu: str | None,
    precision: Precision,
    *,
    timing_cache: Path | None = None,
    examples: Sample | None = None,
    on_progress: Callable[[str, Built], None] = lambda _model, _built: None,
) -> dict[str, Built]:
    """Compile every graph of a version for one kind of GPU.

    Args:
        release: the version whose graphs are compiled.
        api: a builder from `load_api`.
        gpu: compute capability as in "sm_89"; None for the GPU of this machine.
        precision: of the engines.
        timing_cache: file that keeps kernel timings, which makes the next build faster.
        examples: ECGs and reports that int8 is calibrated on.
        on_progress: called with the model's name and its engine after each build.

    Raises:
        ConfigurationError: if a graph cannot be built for this GPU, or int8 has no examples.
    """
    if precision is Precision.INT8 and examples is None:
        raise ConfigurationError(
            "int8 is calibrated on real ECGs and reports: give --ptbxl DIR or --manifest CSV"
        )
    plans = {}
    for model in GRAPHS:
        graph = release.graph(model)
        if not graph.is_file():
            continue
        converted = convert(graph, precision, examples.calls(model) if examples else ())
        largest = max_batch_size(release.repository / model / "configs" / "tensorrt.pbtxt")
        profiles = profiles_of(converted, largest, min(TYPICAL[model], largest))
        plans[model] = build(api, converted, profiles, gpu, timing_cache)
        on_progress(model, plans[model])
    return plans
