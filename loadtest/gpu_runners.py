"""What answers one graph's calls: ONNX Runtime on the CPU, an engine on the GPU, or a Triton that serves it."""

from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from polygraphy.backend.trt import EngineFromBytes, TrtRunner
from polygraphy.exception import PolygraphyException
from polygraphy.logger import G_LOGGER

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import MATCHER
from cardex.inference.served_model import MATCH_OUTPUT, OUTPUT
from cardex.inference.triton_client import InferenceRequest, TritonClient
from cardex.models.precision import Inputs

Answer = NDArray[np.float32]
T = TypeVar("T")

G_LOGGER.module_severity = G_LOGGER.WARNING


class Runner(Protocol):
    """Answers one of the three graphs."""

    def answer(self, inputs: Inputs) -> Answer:
        """Return the one output: (B, E) embeddings, or (B, candidates) log-odds of the matcher."""


class CpuRunner:
    """ONNX Runtime with all cores that this process may use."""

    def __init__(self, graph: bytes) -> None:
        """Open an ONNX graph with one output."""
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def answer(self, inputs: Inputs) -> Answer:
        """Run the graph."""
        (found,) = self._session.run(None, dict(inputs))
        return np.asarray(found, dtype=np.float32)


class EngineRunner:
    """An engine on the GPU by polygraphy's runner: arrays in and out, both copies and its Python included."""

    def __init__(self, plan: bytes) -> None:
        """Prepare to run a serialised engine with one output; nothing is loaded before `with`."""
        self._runner: Any = TrtRunner(EngineFromBytes(plan))
        self._checked = False

    def __enter__(self) -> Self:
        """Load the engine; raises ConfigurationError."""
        _translated(self._runner.activate)
        return self

    def __exit__(self, *_: object) -> None:
        """Give its memory back."""
        self._runner.deactivate()

    def answer(self, inputs: Inputs) -> Answer:
        """Run the engine; the first call's names, types and shapes are checked. Raises ConfigurationError."""
        feed = {name: np.ascontiguousarray(tensor) for name, tensor in inputs.items()}
        found = _translated(lambda: self._runner.infer(feed, check_inputs=not self._checked))
        self._checked = True
        (answer,) = found.values()
        # A copy: the next call writes into the same buffer.
        return np.array(answer, dtype=np.float32)


class ServedRunner:
    """A model of a running Triton."""

    def __init__(self, server: TritonClient, model: str, number: int) -> None:
        """Ask `server` for one version of a model."""
        self._server = server
        self._model = model
        self._number = number

    def answer(self, inputs: Inputs) -> Answer:
        """Send one request; raises as `TritonClient.infer`."""
        output = MATCH_OUTPUT if self._model == MATCHER else OUTPUT
        return self._server.infer(InferenceRequest(self._model, self._number, inputs, output))


def _translated(function: Callable[[], T]) -> T:
    try:
        return function()
    except (PolygraphyException, OSError) as error:  # OSError: no CUDA runtime
        raise ConfigurationError(f"the engine does not run: {error}") from error
