"""Converts ONNX graphs to fp16 and int8; a strongly typed engine has the precision of its graph."""

import copy
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from cardex.domain.errors import ConfigurationError
from cardex.models.storage import expand

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

Inputs = Mapping[str, NDArray[Any]]
"""One call of a graph: its tensors by name, the batch first."""

_FP32, _FP16 = 1, 10  # onnx.TensorProto.FLOAT and FLOAT16
PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
IN_INT8 = ("Gemm", "MatMul")
"""Operators that int8 converts. Convolutions stay in fp32: they read the waveform, and one example
with a large artefact makes every quantisation step coarse. With them in int8, 88 % of the image
encoder's first ten reports are those of fp32 on PTB-XL's fold 9; without, 99 %."""


class Precision(StrEnum):
    """The number format that a graph computes in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


def convert(graph: Path, precision: Precision, examples: Iterable[Inputs] = ()) -> bytes:
    """Convert an ONNX graph; its inputs and outputs keep their names, types and shapes.

    Args:
        graph: file of an fp32 graph.
        precision: of the result.
        examples: calls with real ECGs and reports, from which int8 takes the range of each value;
            the other precisions need none.

    Returns:
        The serialised graph.

    Raises:
        ConfigurationError: if the file is no ONNX graph, onnx is not installed, or the examples do
            not fit.
    """
    model = read(graph)
    if precision is Precision.FP16:
        model = _half(model)
    elif precision is Precision.INT8:
        model = _quantised(model, examples)
    return bytes(model.SerializeToString())


def read(graph: Path | bytes) -> "ModelProto":
    """Parse an ONNX graph; weights that are stored in half precision become fp32.

    Raises:
        ConfigurationError: if it is not an ONNX graph, or onnx is not installed.
    """
    try:
        from onnx import load, load_from_string
    except ModuleNotFoundError as error:
        raise ConfigurationError("onnx is not installed: pip install '.[engines]'") from error
    try:
        model: ModelProto = load_from_string(graph) if isinstance(graph, bytes) else load(graph)
    except Exception as error:  # protobuf's own, which it shares with no other
        name = "the graph" if isinstance(graph, bytes) else graph
        raise ConfigurationError(f"cannot read {name} as ONNX: {error}") from error
    expand(model)
    return model


def head(model: "ModelProto") -> "list[NodeProto]":
    """Return the last matrix products, and the nodes between them and the outputs.

    They turn the pooled vector into log-odds and a direction, and normalise these: that squares
    values and takes a difference of large numbers, which loses precision.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    wanted = [output.name for output in model.graph.output]
    found: dict[str, NodeProto] = {}
    while wanted:
        node = makers.get(wanted.pop())
        if node is not None and node.name not in found:
            found[node.name] = node
            wanted += [] if node.op_type in PRODUCTS else node.input
    return list(found.values())


# fp16.


def _half(model: "ModelProto") -> "ModelProto":
    """Convert all nodes to fp16, except those after the head's products.

    These square values, which overflows fp16 for log-odds over 256 and leaves an embedding's length
    5e-4 off one, although the index takes inner products. On PTB-XL's fold 9 (401 ECGs, 1,269
    reports), with every value rounded where the graph has fp16, 99.85 % of the first ten reports
    are those of fp32; with the squares in fp16 too, 99.75 %. Cosines with fp32 are over 0.99999.
    Keeping products, softmax and layer norms in fp32 as well gains nothing.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    _name_nodes(model.graph)
    _lift_constants(model.graph)
    half: ModelProto = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=DEFAULT_OP_BLOCK_LIST,
        node_block_list=[node.name for node in head(model) if node.op_type not in PRODUCTS],
    )
    _join_in_fp32(half.graph)
    return half


def _name_nodes(graph: "GraphProto") -> None:
    """Name the nodes that have no name: the converters refer to nodes by name."""
    for place, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{place}"


def _lift_constants(graph: "GraphProto") -> None:
    """Turn constants into initialisers, which the converter leaves in fp32 for fp32 readers."""
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        (value,) = node.attribute
        if value.HasField("t"):
            tensor = graph.initializer.add()
            tensor.CopyFrom(value.t)
            tensor.name = node.output[0]
            graph.node.remove(node)


def _join_in_fp32(graph: "GraphProto") -> None:
    """Remove the casts to fp16 and back between fp32 nodes, and before the outputs.

    The converter rounds the output of each fp32 node to fp16 and casts it back for every reader;
    the casts back share one name and stand at the graph's end.
    """
    rounded = {
        node.output[0]: node.input[0]
        for node in graph.node
        if _casts_to(node, _FP16) and node.name.endswith("_cast_to_fp16_node")
    }
    back = {
        node.output[0]: rounded[node.input[0]]
        for node in graph.node
        if _casts_to(node, _FP32) and node.input[0] in rounded
    }
    ends = {back[output.name]: output.name for output in graph.output if output.name in back}
    names = {**ends, **{name: ends.get(exact, exact) for name, exact in back.items()}}
    nodes: dict[str, NodeProto] = {}
    for node in graph.node:
        if node.output[0] not in back:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            nodes.setdefault(node.output[0], node)
    used = set(chain.from_iterable(node.input for node in nodes.values()))
    used.update(output.name for output in graph.output)
    replace_nodes(graph, _in_order([node for node in nodes.values() if used & {*node.output}]))


def _casts_to(node: "NodeProto", kind: int) -> bool:
    return node.op_type == "Cast" and any(
        each.i == kind for each in node.attribute if each.name == "to"
    )


def _in_order(nodes: list["NodeProto"]) -> Iterator["NodeProto"]:
    """Yield each node after those whose outputs it reads."""
    makers = {name: place for place, node in enumerate(nodes) for name in node.output}
    before = {
        place: {makers[name] for name in node.input if name in makers}
        for place, node in enumerate(nodes)
    }
    return (nodes[place] for place in TopologicalSorter(before).static_order())


def replace_nodes(graph: "GraphProto", nodes: Iterable["NodeProto"]) -> None:
    """Replace a graph's nodes, also by its own in another order."""
    kept = [copy.deepcopy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


# int8.


class _Examples:
    """Implements ONNX Runtime's calibration reader over an iterable of calls."""

    def __init__(self, examples: Iterable[Inputs]) -> None:
        self._calls = iter(examples)

    def get_next(self) -> Inputs | None:
        return next(self._calls, None)


def _quantised(model: "ModelProto", examples: Iterable[Inputs]) -> "ModelProto":
    """Quantise the matrix products outside the head; the rest stays fp32.

    Quantisation is symmetric, as TensorRT requires. On PTB-XL's fold 9, with 256 ECGs and 512
    reports of fold 8 as examples, 97 % of the first ten reports are those of fp32. Calibration by
    percentiles, which cuts outliers off, is worse than by the whole range.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    calls = iter(examples)
    first = next(calls, None)
    if first is None:
        raise ConfigurationError("int8 needs examples, calls with real ECGs and reports: got none")
    _name_nodes(model.graph)
    outside = [node.name for node in head(model)]
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = Path(folder, "prepared.onnx"), Path(folder, "int8.onnx")
        quant_pre_process(model, prepared, skip_optimization=True, skip_symbolic_shape=True)
        try:
            quantize_static(
                prepared,
                quantised,
                _Examples(chain([first], calls)),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(IN_INT8),
                nodes_to_exclude=outside,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                # TensorRT takes no zero points, and adds biases in floating point.
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "QuantizeBias": False,
                },
            )
        except Exception as error:  # ONNX Runtime's own types, which are no API
            raise ConfigurationError(f"the examples do not fit the graph: {error}") from error
        return read(quantised)
