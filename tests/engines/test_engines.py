"""The shipped graphs, compiled ahead of time for GPUs that are not here."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from cardex.domain.errors import ConfigurationError
from cardex.models import builders, engine
from cardex.models.builders import RTX, TENSORRT, load_api
from cardex.models.engine import build, write
from cardex.models.precision import Precision, convert
from cardex.models.profiles import Profile, profiles_of

BATCHES = {
    "ecg_image_encoder": (64, 16),
    "report_text_encoder": (64, 32),
    "ecg_report_matcher": (4, 1),
}
GPUS = ("sm_80", "sm_89", "sm_120")
MAGIC = b"vtrt"  # of RTX's plans; TensorRT's own begin otherwise


@pytest.fixture(scope="module")
def api():
    return load_api(RTX)


@pytest.fixture(scope="module")
def graphs(root):
    """The path of each graph."""
    return {model: root / "model_repository" / model / "1" / "model.onnx" for model in BATCHES}


@pytest.fixture(scope="module")
def contents(graphs):
    """Each graph in each precision that needs no examples."""
    return {
        (model, precision): convert(path, precision)
        for model, path in graphs.items()
        for precision in (Precision.FP32, Precision.FP16)
    }


@pytest.fixture(scope="module")
def small():
    """Build a graph of one node: fast."""

    def make(operator: str = "Relu") -> bytes:
        node = helper.make_node(operator, ["x"], ["y"], name="the culprit")
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
        model = helper.make_model(
            helper.make_graph([node], "small", [x], [y]),
            opset_imports=[helper.make_opsetid("", 18)],
        )
        return model.SerializeToString()

    return make


ROWS = {"x": Profile((1, 4), (2, 4), (8, 4))}


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@pytest.mark.parametrize("model", BATCHES)
def test_a_graph_compiles(api, graphs, contents, model, precision, gpu):
    content = contents[model, precision]
    profiles = profiles_of(graphs[model], *BATCHES[model])
    found = build(api, content, profiles, gpu)
    report = found.report
    assert found.plan[:4] == MAGIC
    assert len(found.plan) > 0.9 * len(content)  # the weights are in it
    assert (report.gpu, report.plan_bytes) == (gpu, len(found.plan))
    assert report.graph_sha256 == hashlib.sha256(content).hexdigest()
    assert report.profiles == profiles
    assert {tensor.name for tensor in report.inputs} == profiles.keys()
    assert {tensor.type for tensor in report.inputs} <= {"uint8", "int32"}
    assert [tensor.type for tensor in report.outputs] == ["fp32"]
    if precision is Precision.FP16:
        assert report.layers["fp16"] > 2 * report.layers["fp32"]
    else:
        assert "fp16" not in report.layers


def test_an_int8_graph_compiles(api, graphs):
    tokens = np.random.default_rng(0).integers(1, 3000, (8, 64), dtype=np.int32)
    graph = graphs["report_text_encoder"]
    content = convert(graph, Precision.INT8, [{"token_ids": tokens}])
    found = build(api, content, profiles_of(graph, 64, 16), "sm_89")
    assert found.report.layers["int8"] > 0
    assert found.report.timing_cache is None


def test_fp16_engines_are_smaller(api, graphs, contents):
    sizes = [
        build(
            api,
            contents["ecg_image_encoder", precision],
            profiles_of(graphs["ecg_image_encoder"], 8, 4),
            "sm_89",
        )
        for precision in (Precision.FP32, Precision.FP16)
    ]
    assert len(sizes[1].plan) < 0.7 * len(sizes[0].plan)


def test_a_gpu_that_rtx_does_not_know_is_refused_with_those_it_knows(api, small):
    with pytest.raises(ConfigurationError) as refused:
        build(api, small(), ROWS, "sm_90")
    assert "not for sm_90" in refused.value.message
    assert all(gpu in refused.value.message for gpu in GPUS)


def test_a_node_that_tensorrt_does_not_know_is_named(api, small):
    with pytest.raises(ConfigurationError, match="'the culprit' \\(Wobble\\)"):
        build(api, small("Wobble"), ROWS, "sm_89")


def test_what_is_no_graph_is_refused(api, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot take the graph"):
        build(api, b"no graph", ROWS, "sm_89")
    with pytest.raises(ConfigurationError, match=str(tmp_path / "model.onnx")):
        build(api, tmp_path / "model.onnx", ROWS, "sm_89")


def test_profiles_of_another_graph_are_refused(api, small):
    with pytest.raises(ConfigurationError, match="input x"):
        build(api, small(), {"x": Profile((1, 5), (2, 5), (3, 5))}, "sm_89")


def test_what_the_builder_says_is_in_the_error(api, contents, graphs):
    profiles = profiles_of(graphs["ecg_image_encoder"], 8, 4)
    with pytest.raises(ConfigurationError, match=r"sm_75.*FP32 GEMM"):
        build(api, contents["ecg_image_encoder", Precision.FP32], profiles, "sm_75")


def test_an_engine_is_written_beside_its_report(api, small, tmp_path):
    found = build(api, small(), ROWS, "sm_89")
    plan = write(found, tmp_path / "1")
    assert plan.read_bytes() == found.plan
    assert sorted(path.name for path in plan.parent.iterdir()) == ["model.plan", "model.plan.json"]
    report = json.loads((plan.parent / "model.plan.json").read_bytes())
    assert report["plan_sha256"] == hashlib.sha256(found.plan).hexdigest()
    assert report["profiles"]["x"] == {"smallest": [1, 4], "typical": [2, 4], "largest": [8, 4]}


# TensorRT itself is not here: RTX's classes, which are the same, stand in for it.


@pytest.fixture
def tensorrt(api, monkeypatch):
    for module in (builders, engine):
        monkeypatch.setattr(module, "gpu_at_hand", lambda: "sm_90")
    return dataclasses.replace(api, name=TENSORRT)


def test_tensorrt_builds_for_the_gpu_at_hand(tensorrt, small):
    assert build(tensorrt, small(), ROWS).report.gpu == "sm_90"
    assert build(tensorrt, small(), ROWS, "sm_90").report.gpu == "sm_90"


def test_tensorrt_refuses_any_other_gpu(tensorrt, small):
    with pytest.raises(ConfigurationError, match="builds for sm_90, not for sm_89"):
        build(tensorrt, small(), ROWS, "sm_89")


def test_tensorrt_keeps_its_timings(tensorrt, small, tmp_path):
    cache = tmp_path / "cache" / "timings"
    first = build(tensorrt, small(), ROWS, timing_cache=cache).report.timing_cache
    assert first is not None
    assert (first.before, first.after) == (0, cache.stat().st_size)
    again = build(tensorrt, small(), ROWS, timing_cache=cache).report.timing_cache
    assert again is not None
    assert again.before == first.after
