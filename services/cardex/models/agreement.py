"""Measures how close the answers of a graph in reduced precision are to the original's."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cardex.evaluation.metrics import Scores, Values, nearest
from cardex.models.precision import Inputs, read, replace_nodes

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

BEST = 10
"""How many of each ECG's first reports are compared."""


def answers(graph: bytes, calls: Iterable[Inputs]) -> NDArray[np.float32]:
    """Run an ONNX graph of any precision on the CPU, with the rounding of a GPU's engine.

    Args:
        graph: a serialised graph with one output.
        calls: the tensors of each call.

    Returns:
        The outputs of all calls, concatenated along the first axis.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Integer products would saturate on CPUs without VNNI, which a GPU's do not.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(
        rounded(graph), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, dict(call))[0] for call in calls])


def rounded(graph: bytes) -> bytes:
    """Return a graph that computes in fp32, but rounds every value that is fp16 in `graph`.

    ONNX Runtime's CPU kernels compute in fp32 and omit the rounding between nodes: without these
    casts they would hide what fp16 loses, even an overflow.
    """
    from onnx import TensorProto, numpy_helper, shape_inference

    model = shape_inference.infer_shapes(read(graph))
    halves = {
        item.name
        for item in model.graph.value_info
        if item.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    del model.graph.value_info[:]
    for tensor in _constants(model):
        if tensor.data_type == TensorProto.FLOAT16:
            exact = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(exact, tensor.name))
    replace_nodes(model.graph, _with_casts(model, halves))
    return bytes(model.SerializeToString())


def _constants(model: "ModelProto") -> Iterator["TensorProto"]:
    """Yield every tensor that the graph holds, those in nodes' attributes too."""
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _with_casts(model: "ModelProto", halves: set[str]) -> Iterator["NodeProto"]:
    """Yield the nodes, with a cast to fp16 and back after what `halves` names."""
    from onnx import TensorProto, helper

    for node in model.graph.node:
        made = [name for name in node.output if name in halves]
        node.output[:] = [f"{name}.exact" if name in halves else name for name in node.output]
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
        yield node
        for name in made:
            half = f"{name}.half"
            yield helper.make_node("Cast", [f"{name}.exact"], [half], to=TensorProto.FLOAT16)
            yield helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT)


def cosines(reference: NDArray[np.float32], other: NDArray[np.float32]) -> Values:
    """Return the cosine of each row of (rows, E) with the same row of the other: (rows,)."""
    one, two = reference.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return np.asarray((one * two).sum(axis=1) / lengths)


def overlap(reference: Scores, other: Scores, count: int = BEST) -> float:
    """Return the mean share of each query's `count` best entries that two scorers have in common.

    Args:
        reference: (queries, entries) scores; ties are broken at random, alike in both. With no
            more entries than `count` the answer is always 1.
        other: scores of the same shape.
        count: how many of the best entries are compared.
    """
    best, found = (
        nearest(scores, count, np.random.default_rng(0)) for scores in (reference, other)
    )
    shared = (best[:, :, None] == found[:, None]).any(axis=2)  # (queries, count)
    return float(shared.mean())
