"""Compiles ONNX graphs to TensorRT engines, for Triton and for the tests."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import PLAN
from cardex.models.builders import RTX, Api, gpu_at_hand
from cardex.models.files import replace
from cardex.models.profiles import Profile, Shape, check

_TYPES = {"FLOAT": "fp32", "HALF": "fp16"}


class Tensor(msgspec.Struct, frozen=True):
    """An input or output of an engine.

    Attributes:
        name: of the tensor.
        type: "fp32", "fp16", or TensorRT's name of another type.
        shape: its shape, -1 for an axis of free length.
    """

    name: str
    type: str
    shape: Shape


class Timings(msgspec.Struct, frozen=True):
    """Size of the timing cache in bytes; equal sizes mean that every kernel's time was known.

    Attributes:
        before: bytes before the build.
        after: bytes after the build.
    """

    before: int
    after: int


class Report(msgspec.Struct, frozen=True):
    """How an engine was made; written beside the engine as JSON.

    Attributes:
        builder: module and version of the builder.
        gpu: compute capability that the engine runs on, as in "sm_89".
        inputs: the engine's input tensors.
        outputs: the engine's output tensors.
        layers: number of layers by output type, before TensorRT fuses them; int64 layers compute
            shapes.
        tf32: whether fp32 products may round their factors to TF32's 10 bits.
        profiles: smallest, typical and largest shape of each input.
        graph_sha256: SHA-256 of the ONNX graph.
        plan_sha256: SHA-256 of the engine.
        plan_bytes: size of the engine.
        seconds: how long the build took.
        timing_cache: its sizes; None with TensorRT for RTX, which measures no kernels.
    """

    builder: str
    gpu: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    layers: dict[str, int]
    tf32: bool
    profiles: dict[str, Profile]
    graph_sha256: str
    plan_sha256: str
    plan_bytes: int
    seconds: float
    timing_cache: Timings | None


@dataclass(frozen=True, slots=True)
class Built:
    """A serialised engine, and the report of its build."""

    plan: bytes
    report: Report


@dataclass(frozen=True, slots=True)
class Effort:
    """What a build may cost.

    Attributes:
        level: TensorRT's builder optimisation level, 0 to 5.
        workspace_bytes: GPU memory for the scratch of one layer.
    """

    level: int = 3
    workspace_bytes: int = 1 << 30


def build(
    api: Api,
    graph: Path | bytes,
    profiles: Mapping[str, Profile],
    gpu: str | None = None,
    timing_cache: Path | None = None,
    effort: Effort = Effort(),
) -> Built:
    """Compile an ONNX graph for one kind of GPU.

    Args:
        api: a builder from `load_api`.
        graph: an ONNX graph, in the precision that the engine shall have.
        profiles: smallest, typical and largest shape of each input.
        gpu: compute capability as in "sm_89"; None is the GPU of this machine, the only one that
            TensorRT builds for.
        timing_cache: file that keeps kernel timings, so that the next build need not measure them;
            made if missing. TensorRT for RTX keeps none.
        effort: limits of the build's time and memory.

    Raises:
        ConfigurationError: if the builder cannot build for this GPU, the file is not an ONNX graph
            or has an operator that TensorRT lacks, the profiles do not fit, or the build fails.
    """
    started, target = time.perf_counter(), _target(api, gpu)
    content = graph if isinstance(graph, bytes) else _content(graph)
    api.errors.clear()
    builder = api.module.Builder(api.log)
    typed = 1 << int(api.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = api.module.OnnxParser(network, api.log)  # holds the network's weights until the end
    if not parser.parse(content):
        raise ConfigurationError(f"{api} cannot take the graph: {_complaints(parser)}")
    inputs = _tensors(map(network.get_input, range(network.num_inputs)))
    check(profiles, {tensor.name: tensor.shape for tensor in inputs})
    config = _config(api, builder, profiles, target, effort)
    before = _load_timings(api, config, timing_cache)
    found = builder.build_serialized_network(network, config)
    if found is None:
        raise ConfigurationError(f"{api} cannot build for {target}: {'; '.join(api.errors)}")
    plan = bytes(found)
    report = Report(
        builder=str(api),
        gpu=target,
        inputs=inputs,
        outputs=_tensors(map(network.get_output, range(network.num_outputs))),
        layers=_layers(network),
        tf32=config.get_flag(api.module.BuilderFlag.TF32),
        profiles=dict(profiles),
        graph_sha256=hashlib.sha256(content).hexdigest(),
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        seconds=round(time.perf_counter() - started, 1),
        timing_cache=_save_timings(config, timing_cache, before),
    )
    return Built(plan, report)


def write(built: Built, folder: Path) -> Path:
    """Write `model.plan`, and beside it its report `model.plan.json`; returns the plan's path.

    Each file is written atomically, the plan last, since Triton may read it at any time.
    """
    plan = folder / PLAN
    report = msgspec.json.format(msgspec.json.encode(built.report), indent=2)
    replace(plan.with_name(f"{PLAN}.json"), report + b"\n")
    replace(plan, built.plan)
    return plan


def _content(graph: Path) -> bytes:
    try:
        return graph.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the graph {graph}: {error.strerror}") from error


def _target(api: Api, gpu: str | None) -> str:
    wanted, have = gpu or gpu_at_hand(), api.gpus
    if wanted in have:
        return wanted
    if api.name == RTX:
        remedy = "build on a machine with that GPU, with tensorrt"
    else:
        remedy = "it builds for the GPU at hand alone: build on a machine with that one"
    raise ConfigurationError(f"{api} builds for {', '.join(have)}, not for {wanted}: {remedy}")


def _complaints(parser: Any) -> str:  # noqa: ANN401
    errors = [parser.get_error(place) for place in range(parser.num_errors)]
    return "; ".join(
        f"node {error.node_name()!r} ({error.node_operator()}): {error.desc()}"
        if error.node_operator()
        else error.desc()
        for error in errors
    )


def _config(
    api: Api,
    builder: Any,  # noqa: ANN401
    profiles: Mapping[str, Profile],
    target: str,
    effort: Effort,
) -> Any:  # noqa: ANN401
    config = builder.create_builder_config()
    config.builder_optimization_level = effort.level
    config.set_memory_pool_limit(api.module.MemoryPoolType.WORKSPACE, effort.workspace_bytes)
    profile = builder.create_optimization_profile()
    for name, shapes in profiles.items():
        profile.set_shape(name, shapes.smallest, shapes.typical, shapes.largest)
    if config.add_optimization_profile(profile) < 0:
        raise ConfigurationError(f"{api} takes no such profile: {'; '.join(api.errors)}")
    if api.name == RTX:
        config.num_compute_capabilities = 1
        capability = api.module.ComputeCapability.__members__[target.replace("sm_", "SM")]
        config.set_compute_capability(capability, 0)
    return config


def _load_timings(api: Api, config: Any, path: Path | None) -> int | None:  # noqa: ANN401
    """Load the timing cache into the builder; returns its size, None if it keeps no cache."""
    if path is None or api.name == RTX:
        return None
    kept = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(kept)
    if cache is not None and config.set_timing_cache(cache, False):
        return len(kept)
    config.set_timing_cache(config.create_timing_cache(b""), False)  # was of another GPU or version
    return 0


def _save_timings(config: Any, path: Path | None, before: int | None) -> Timings | None:  # noqa: ANN401
    if path is None or before is None:
        return None
    kept = bytes(config.get_timing_cache().serialize())
    replace(path, kept)
    return Timings(before, len(kept))


def _tensors(tensors: Iterable[Any]) -> list[Tensor]:
    return [Tensor(item.name, _type(item), tuple(item.shape)) for item in tensors]


def _type(tensor: Any) -> str:  # noqa: ANN401
    name: str = tensor.dtype.name
    return _TYPES.get(name, name.lower())


def _layers(network: Any) -> dict[str, int]:  # noqa: ANN401
    layers = [network.get_layer(place) for place in range(network.num_layers)]
    counts = Counter(_type(layer.get_output(0)) for layer in layers if layer.num_outputs)
    return dict(counts.most_common())
