"""The edge to polygraphy and Triton; polygraphy's runner is real as far as it needs no GPU."""

import numpy as np
import pytest
from polygraphy.backend.base import BaseRunner
from polygraphy.backend.trt import EngineFromBytes
from polygraphy.common import TensorMetadata
from polygraphy.exception import PolygraphyException

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import IMAGE_ENCODER, MATCHER
from loadtest import gpu_runners
from loadtest.gpu_runners import CpuRunner, EngineRunner, ServedRunner


class Engine(BaseRunner):
    """Doubles what it gets, into a buffer that it uses again; polygraphy checks the call around it."""

    made = None
    trouble = None

    def __init__(self, loader):
        super().__init__(prefix="double")
        self.loader = loader
        self.buffer = np.zeros((4, 2), np.float32)
        Engine.made = self

    def activate_impl(self):
        if self.trouble:
            raise self.trouble

    def get_input_metadata_impl(self):
        return TensorMetadata().add("x", np.float32, (None, 2))

    def infer_impl(self, feed_dict):
        (given,) = feed_dict.values()
        assert given.flags.c_contiguous
        if len(given) > len(self.buffer):
            raise PolygraphyException("failed to set shape")
        self.inference_time = 0.1
        self.buffer[: len(given)] = 2 * given
        return {"y": self.buffer[: len(given)]}


@pytest.fixture
def plan(monkeypatch):
    monkeypatch.setattr(gpu_runners, "TrtRunner", Engine)
    return b"plan"


def test_an_engine_is_loaded_from_its_bytes_and_given_back(plan):
    with EngineRunner(plan):
        assert isinstance(Engine.made.loader, EngineFromBytes)
        assert Engine.made.is_active
    assert not Engine.made.is_active


def test_answers_outlive_the_next_call(plan):
    one, two = np.ones((2, 2), np.float32), np.full((2, 2), 5, np.float32)
    with EngineRunner(plan) as runner:
        first = runner.answer({"x": one})
        runner.answer({"x": two})
    np.testing.assert_array_equal(first, 2 * one)


def test_a_view_reaches_the_engine_whole(plan):
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    with EngineRunner(plan) as runner:
        np.testing.assert_array_equal(runner.answer({"x": rows[::2]}), 2 * rows[::2])


@pytest.mark.parametrize("inputs", [{"x": np.ones((2, 3), np.float32)}, {"z": np.ones((2, 2))}])
def test_a_call_that_does_not_fit_the_engine_is_refused(plan, inputs):
    with EngineRunner(plan) as runner, pytest.raises(ConfigurationError, match="does not run"):
        runner.answer(inputs)


def test_trouble_in_an_engine_becomes_an_error_of_the_tree(plan):
    with EngineRunner(plan) as runner, pytest.raises(ConfigurationError, match="set shape"):
        runner.answer({"x": np.ones((5, 2), np.float32)})


@pytest.mark.parametrize("trouble", [PolygraphyException("bad plan"), OSError("no libcudart.so")])
def test_an_engine_that_cannot_be_loaded_says_why(monkeypatch, plan, trouble):
    monkeypatch.setattr(Engine, "trouble", trouble)
    with pytest.raises(ConfigurationError, match=str(trouble)), EngineRunner(plan):
        pass


def test_polygraphys_own_runner_without_tensorrt_is_an_error_of_the_tree():
    with pytest.raises(ConfigurationError, match="the engine does not run"), EngineRunner(b"none"):
        pass


def test_the_cpu_answers_as_the_graph(release, sample, reference):
    runner = CpuRunner(release.graph(IMAGE_ENCODER).read_bytes())
    answer = runner.answer({"image": sample.images[:1]})
    np.testing.assert_allclose(answer, reference.answers[IMAGE_ENCODER][:1], atol=1e-6)


def test_a_served_model_is_called_by_its_version_and_output():
    class Server:
        def infer(self, call):
            self.call = call
            return np.zeros((1, 2), np.float32)

    server, inputs = Server(), {"image": np.zeros((1, 2, 2, 1), np.uint8)}
    ServedRunner(server, IMAGE_ENCODER, 3).answer(inputs)
    assert (server.call.model, server.call.triton_version, server.call.output) == (
        IMAGE_ENCODER,
        3,
        "embedding",
    )
    assert server.call.inputs is inputs
    ServedRunner(server, MATCHER, 3).answer(inputs)
    assert server.call.output == "match"
