"""Graphs of reduced precision against their originals."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import IMAGE_ENCODER, MATCHER, TEXT_ENCODER
from cardex.models.agreement import answers, cosines
from cardex.models.precision import PRODUCTS, Precision, convert, head

MODELS = (IMAGE_ENCODER, TEXT_ENCODER, MATCHER)


def graph_of(root: Path, model: str) -> Path:
    return root / "model_repository" / model / "1" / "model.onnx"


def calls(model: str, count: int = 4, seed: int = 0):
    """Noise of the right kind: an image, and a report whose second half is padding."""
    random = np.random.default_rng(seed)
    tokens = random.integers(2, 3000, (count, 3, 64), dtype=np.int32)
    tokens[:, :, 32:] = 0
    given = {
        "image": random.integers(0, 256, (count, 12, 1000, 1), dtype=np.uint8),
        "token_ids": tokens if model == MATCHER else tokens[:, 0],
    }
    taken = {
        IMAGE_ENCODER: ["image"],
        TEXT_ENCODER: ["token_ids"],
        MATCHER: ["image", "token_ids"],
    }[model]
    return [{name: given[name] for name in taken}]


@pytest.fixture(scope="module")
def halves(root):
    return {model: convert(graph_of(root, model), Precision.FP16) for model in MODELS}


@pytest.fixture(scope="module")
def integers(root):
    examples = [call for seed in range(4) for call in calls(TEXT_ENCODER, seed=seed)]
    return convert(graph_of(root, TEXT_ENCODER), Precision.INT8, examples)


def ends(content: bytes) -> list[tuple[str, int, str]]:
    graph = onnx.load_from_string(content).graph
    return [
        (item.name, item.type.tensor_type.elem_type, str(item.type.tensor_type.shape))
        for item in (*graph.input, *graph.output)
    ]


@pytest.fixture(scope="module")
def wholes(root):
    return {model: convert(graph_of(root, model), Precision.FP32) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_fp32_is_the_graph_itself_with_fp32_weights(root, wholes, model):
    path = graph_of(root, model)
    assert ends(wholes[model]) == ends(path.read_bytes())
    weights = onnx.load_from_string(wholes[model]).graph.initializer
    assert not [item.name for item in weights if item.data_type == TensorProto.FLOAT16]
    for call in calls(model):
        (stored,), (whole,) = (
            onnxruntime.InferenceSession(graph).run(None, call)
            for graph in (path.read_bytes(), wholes[model])
        )
        np.testing.assert_allclose(whole, stored, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_fp16_keeps_inputs_and_outputs(root, halves, model):
    assert ends(halves[model]) == ends(graph_of(root, model).read_bytes())


def test_int8_keeps_inputs_and_outputs(root, integers):
    assert ends(integers) == ends(graph_of(root, TEXT_ENCODER).read_bytes())


@pytest.mark.parametrize("model", MODELS)
def test_fp16_graphs_are_valid_and_their_products_take_half_weights(wholes, halves, model):
    found = onnx.load_from_string(halves[model])
    onnx.checker.check_model(found, full_check=True)
    read = {name for node in found.graph.node if node.op_type in PRODUCTS for name in node.input}
    weights = [item for item in found.graph.initializer if item.name in read]
    assert weights
    assert all(item.data_type == TensorProto.FLOAT16 for item in weights)
    assert len(halves[model]) < 0.9 * len(wholes[model])


@pytest.mark.parametrize("model", MODELS)
def test_from_the_last_products_on_everything_is_fp32(halves, model):
    found = onnx.shape_inference.infer_shapes(onnx.load_from_string(halves[model]))
    types = {item.name: item.type.tensor_type.elem_type for item in found.graph.value_info}
    types |= {item.name: item.data_type for item in found.graph.initializer}
    nodes = head(found)
    assert any(node.op_type in PRODUCTS for node in nodes)
    rest = [node for node in nodes if node.op_type not in {"Cast", *PRODUCTS}]
    assert rest
    used = {types[name] for node in rest for name in (*node.input, *node.output) if name in types}
    assert TensorProto.FLOAT in used
    assert TensorProto.FLOAT16 not in used


@pytest.mark.parametrize("model", [IMAGE_ENCODER, TEXT_ENCODER])
def test_fp16_embeddings_have_length_one(halves, model):
    found = answers(halves[model], calls(model))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("model", [IMAGE_ENCODER, TEXT_ENCODER])
def test_fp16_embeddings_are_those_of_fp32(root, halves, model):
    exact = answers(graph_of(root, model).read_bytes(), calls(model))
    assert cosines(exact, answers(halves[model], calls(model))).min() > 0.9999


def test_fp16_matches_are_those_of_fp32(root, halves):
    exact = answers(graph_of(root, MATCHER).read_bytes(), calls(MATCHER))
    found = answers(halves[MATCHER], calls(MATCHER))
    assert found.shape == (4, 3)
    np.testing.assert_allclose(found, exact, atol=0.05)  # of log-odds


def test_an_fp16_graph_runs_as_it_is(root, halves):
    session = onnxruntime.InferenceSession(halves[TEXT_ENCODER], providers=["CPUExecutionProvider"])
    (found,) = session.run(None, calls(TEXT_ENCODER)[0])
    assert found.dtype == np.float32
    assert (
        cosines(
            answers(graph_of(root, TEXT_ENCODER).read_bytes(), calls(TEXT_ENCODER)), found
        ).min()
        > 0.9999
    )


def test_int8_quantises_every_product_outside_the_head_symmetrically(integers):
    found = onnx.load_from_string(integers)
    makers = {name: node.op_type for node in found.graph.node for name in node.output}
    outside = {node.name for node in head(found)}
    products = [node for node in found.graph.node if node.op_type in PRODUCTS]
    for node in products:
        first_two = {makers.get(name) for name in node.input[:2]}
        assert (first_two == {"DequantizeLinear"}) == (node.name not in outside), node.name
    values = {item.name: numpy_helper.to_array(item) for item in found.graph.initializer}
    steps = [node for node in found.graph.node if node.op_type.endswith("quantizeLinear")]
    assert steps
    assert all(not values[node.input[2]].any() for node in steps)  # TensorRT takes no zero points
    assert all(values[node.input[2]].dtype == np.int8 for node in steps)


def test_int8_embeddings_are_near_those_of_fp32(root, integers):
    exact = answers(graph_of(root, TEXT_ENCODER).read_bytes(), calls(TEXT_ENCODER, seed=9))
    assert cosines(exact, answers(integers, calls(TEXT_ENCODER, seed=9))).min() > 0.95


def test_int8_leaves_convolutions_alone(root):
    found = convert(graph_of(root, IMAGE_ENCODER), Precision.INT8, calls(IMAGE_ENCODER))
    graph = onnx.load_from_string(found).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(makers.get(node.input[1]) is None for node in convolutions)


def test_int8_needs_examples(root):
    with pytest.raises(ConfigurationError, match="int8 needs examples"):
        convert(graph_of(root, TEXT_ENCODER), Precision.INT8)


def test_examples_of_another_graph_are_refused(root):
    with pytest.raises(ConfigurationError, match="the examples do not fit the graph"):
        convert(graph_of(root, TEXT_ENCODER), Precision.INT8, calls(IMAGE_ENCODER))


@pytest.mark.parametrize("precision", Precision)
def test_what_is_no_graph_is_refused_by_name(tmp_path, precision):
    path = tmp_path / "model.onnx"
    for content in (None, b"no graph"):
        if content:
            path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=str(path)):
            convert(path, precision)


def test_nodes_without_names_are_converted_too(tmp_path):
    weights = numpy_helper.from_array(np.eye(4, dtype=np.float32), "weights")
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "weights"], ["y"]),
    ]
    shaped = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "nameless", shaped[:1], shaped[1:], [weights])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8),
        tmp_path / "m.onnx",
    )
    given = np.array([[1.0, -2.0, 0.1, 3.0]], dtype=np.float32)
    found = answers(convert(tmp_path / "m.onnx", Precision.FP16), [{"x": given}])
    np.testing.assert_allclose(found, np.maximum(given, 0), rtol=1e-3)
    assert found[0, 2] == np.float16(0.1)  # the first product is fp16


def test_a_machine_without_onnx_is_told_what_to_install(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigurationError, match="pip install"):
        convert(graph_of(root, TEXT_ENCODER), Precision.FP16)
