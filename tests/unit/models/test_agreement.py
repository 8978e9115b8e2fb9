"""The measures of agreement, and the CPU's stand-in for fp16."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cardex.models.agreement import answers, cosines, overlap, rounded
from cardex.models.precision import Precision, convert


def product_by(first: float, second: float) -> bytes:
    """A graph that gives x * first * second, in fp16."""
    factors = [
        numpy_helper.from_array(np.array([value], np.float16), name)
        for value, name in ((first, "f"), (second, "g"))
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["half", "f"], ["a"]),
        helper.make_node("Mul", ["a", "g"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    shaped = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy"]
    graph = helper.make_graph(nodes, "product", shaped[:1], shaped[1:], factors)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    ).SerializeToString()


def test_an_overflow_of_fp16_shows():
    given = [{"x": np.array([1000.0, 1.0], np.float32)}]
    assert answers(product_by(1000.0, 0.001), given)[0] == np.inf


def test_values_are_rounded_as_numpy_rounds_fp16():
    given = np.linspace(-3, 3, 101, dtype=np.float32)
    expected = given.astype(np.float16) * np.float16(1.1) * np.float16(0.7)
    np.testing.assert_array_equal(answers(product_by(1.1, 0.7), [{"x": given}]), expected)


def test_a_graph_without_fp16_is_not_changed(root):
    content = convert(root / "model_repository/report_text_encoder/1/model.onnx", Precision.FP32)
    kinds = [node.op_type for node in onnx.load_from_string(content).graph.node]
    assert [node.op_type for node in onnx.load_from_string(rounded(content)).graph.node] == kinds


def test_calls_are_answered_one_under_another():
    given = [{"x": np.array([1.0, 2.0], np.float32)}, {"x": np.array([4.0], np.float32)}]
    np.testing.assert_array_equal(answers(product_by(2.0, 1.0), given), [2.0, 4.0, 8.0])


def test_cosines_know_direction_alone():
    one = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32)
    two = np.array([[5.0, 0.0], [-2.0, -2.0]], np.float32)
    np.testing.assert_allclose(cosines(one, two), [1.0, -1.0])


def test_overlap_counts_what_both_put_among_the_best():
    one = np.array([[9.0, 8.0, 7.0, 0.0], [9.0, 8.0, 7.0, 0.0]])
    two = np.array([[7.0, 8.0, 9.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    assert overlap(one, two, 3) == pytest.approx((3 / 3 + 2 / 3) / 2)
    assert overlap(one, two, 1) == 0.0


def test_equal_scores_fall_alike():
    same = np.zeros((5, 50))
    assert overlap(same, same) == 1.0
