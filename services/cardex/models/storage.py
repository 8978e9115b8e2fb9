"""Stores the weights of an ONNX graph in half precision, which halves its file.

The graph still computes in single precision: a `Cast` stands before each weight, which ONNX Runtime
and TensorRT compute once, when they load the graph.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

SMALLEST = 1024
"""Smaller weights are left as they are: norms, and constants whose exact value may matter."""
_SUFFIX = "_half"


def compact(model: "ModelProto") -> None:
    """Replace each large fp32 weight, in place, by an fp16 one and a cast."""
    from onnx import TensorProto, helper, numpy_helper

    graph, casts = model.graph, []
    for tensor in [each for each in graph.initializer if _is_large(each)]:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        casts.append(
            helper.make_node(
                "Cast", [tensor.name + _SUFFIX], [tensor.name], to=TensorProto.FLOAT,
                name=f"{tensor.name}_cast",
            )
        )  # fmt: skip
        graph.initializer.append(numpy_helper.from_array(values, tensor.name + _SUFFIX))
        graph.initializer.remove(tensor)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def expand(model: "ModelProto") -> None:
    """Undo `compact`, in place: the converters of graphs expect fp32 weights."""
    from onnx import numpy_helper

    graph = model.graph
    halves = {each.name: each for each in graph.initializer if each.name.endswith(_SUFFIX)}
    for node in [each for each in graph.node if each.op_type == "Cast"]:
        tensor = halves.get(node.input[0])
        if tensor is not None:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
            graph.initializer.remove(tensor)
            graph.node.remove(node)


def _is_large(tensor: "TensorProto") -> bool:
    from onnx import TensorProto

    return bool(tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= SMALLEST)
