from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from cardex.models.storage import compact, expand


@pytest.fixture
def model():
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    random = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {
        "large": random.standard_normal((64, 32)).astype(np.float32),
        "small": random.standard_normal(32).astype(np.float32),
        "ids": np.arange(2048, dtype=np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "large"], ["product"]),
        helper.make_node("Add", ["product", "small"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "two weights",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 32])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def answer(model, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


def weights_of(model):
    return {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}


def test_large_weights_are_halved_and_the_answer_is_that_of_rounded_weights(model):
    x = np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)
    before = weights_of(model)
    compact(model)
    onnx.checker.check_model(model)
    found = weights_of(model)
    assert found["large_half"].dtype == np.float16
    assert found["small"].dtype == np.float32
    assert found["ids"].dtype == np.int64
    rounded = before["large"].astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(answer(model, x), x @ rounded + before["small"], atol=1e-5)


def test_expanding_gives_a_graph_of_fp32_weights_alone(model):
    x = np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)
    compact(model)
    halved = answer(model, x)
    expand(model)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Add"]
    assert {value.dtype for value in weights_of(model).values()} == {
        np.dtype(np.float32), np.dtype(np.int64)
    }  # fmt: skip
    np.testing.assert_array_equal(answer(model, x), halved)
