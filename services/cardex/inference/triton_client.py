"""The connection to Triton, one per process: bounded, with deadlines, safe to share by threads."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException

from cardex.domain.circuit import Circuit
from cardex.domain.errors import (
    Busy,
    CardexError,
    ConfigurationError,
    TooSlow,
    Unavailable,
)

SHORT_S = 2.0
"""Time-out of requests about the server itself."""
RETRY_AFTER_S = 2.0
MAX_RECONNECT_MS = 5_000
"""A replica that is back is used again within this time; gRPC waits for up to two minutes."""
_TRITON_TYPES = {np.dtype(np.uint8): "UINT8", np.dtype(np.int32): "INT32"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One request to one version of a model.

    Attributes:
        model: name of the model.
        triton_version: version number in Triton.
        inputs: tensors by name, uint8 or int32; the first axis is the batch.
        output: name of the model's one output.
        priority: Triton's priority level, 1 the highest; 0 for a model without levels.
    """

    model: str
    triton_version: int
    inputs: Mapping[str, NDArray[Any]]
    output: str
    priority: int = 0


class TritonClient:
    """Sends requests to Triton, with a limit on how many are in flight and one deadline for each.

    A request is repeated only if the connection was refused or broken, so that no answer can arrive
    twice. Replicas behind one DNS name (a headless service, `dns:///triton:8001`) are used in turn.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        in_flight: int = 8,
    ) -> None:
        """Prepare a client of `url`; nothing is sent until it is used.

        Args:
            url: `host:port`, or a gRPC target such as `dns:///host:port`.
            timeout_s: how long a call may take in all; Triton is sent the time that remains.
            in_flight: how many calls may run at a time; others wait within their time-out.
        """
        # A long-lived channel would otherwise stay with the first replica for ever.
        options = [("grpc.lb_policy_name", "round_robin"), ("grpc.max_receive_message_length", -1),
                   ("grpc.max_send_message_length", -1),
                   ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_MS)]  # fmt: skip
        self._client = triton.InferenceServerClient(url, channel_args=options)
        self._timeout_s = timeout_s
        self._slots = threading.BoundedSemaphore(in_flight)
        self._in_flight = in_flight
        self._circuits: dict[tuple[str, int], Circuit] = {}
        self.failures = 0
        """Number of failed calls; when it has grown, the server may have been replaced."""

    def ping(self) -> None:
        """Ask whether the server is live, whatever the circuit breaker's state.

        A live server need not be "ready": it is not while it loads a further version.

        Raises:
            Unavailable: if the server does not answer, or says that it is not live.
        """
        if not self._translated(partial(self._client.is_server_live, client_timeout=SHORT_S)):
            self.failures += 1
            raise Unavailable(
                "Triton is not live", reason="TRITON_UNAVAILABLE", retry_after_s=RETRY_AFTER_S
            )

    def ready_versions(self) -> dict[str, set[int]]:
        """Return, for each model, the Triton versions that can be called."""
        index = self._asked(
            partial(self._client.get_model_repository_index, client_timeout=SHORT_S)
        )
        found: dict[str, set[int]] = defaultdict(set)
        for model in index.models:
            if model.state == "READY" and model.version:
                found[model.name].add(int(model.version))
        return found

    def config(self, model: str) -> ModelConfig:
        """Return a model's configuration as the server runs it."""
        asked = partial(self._client.get_model_config, model, client_timeout=SHORT_S)
        return self._asked(asked).config

    def infer(self, call: InferenceRequest) -> NDArray[np.float32]:
        """Run one request; returns the model's output as float32, one row per input row.

        Raises:
            Unavailable: if the server is down, or does not serve this version.
            Busy: if Triton's queue, or the number of calls in flight, is full.
            TooSlow: if no answer came in time.
            ConfigurationError: if Triton refuses the tensors, or the output has other rows.
        """
        deadline = time.monotonic() + self._timeout_s
        with self._slot(deadline):
            circuit = self._circuit(call.model, call.triton_version)
            found = circuit.call(partial(self._infer_once, call, deadline))
        rows = len(next(iter(call.inputs.values())))
        if found is None or found.shape[:1] != (rows,):
            shapes = {name: tensor.shape for name, tensor in call.inputs.items()}
            raise ConfigurationError(
                f"{call.model} returned {None if found is None else found.shape} for {shapes}:"
                " Triton's Python environment needs numpy<2; run `make setup`"
            )
        return np.asarray(found, dtype=np.float32)

    @contextmanager
    def _slot(self, deadline: float) -> Iterator[None]:
        if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Busy(
                f"{self._in_flight} calls to Triton are in flight: raise CARDEX_TRITON_IN_FLIGHT,"
                " or add workers and Triton replicas",
                retry_after_s=RETRY_AFTER_S,
            )
        try:
            yield
        finally:
            self._slots.release()

    def _infer_once(self, call: InferenceRequest, deadline: float) -> NDArray[Any] | None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TooSlow(
                f"{call.model} did not answer within {self._timeout_s:g} s",
                retry_after_s=RETRY_AFTER_S,
            )
        return self._translated(partial(self._send, call, left))

    def _send(self, call: InferenceRequest, seconds: float) -> NDArray[Any] | None:
        result = self._client.infer(
            call.model,
            [_input(name, tensor) for name, tensor in call.inputs.items()],
            model_version=str(call.triton_version),
            outputs=[triton.InferRequestedOutput(call.output)],
            priority=call.priority,
            timeout=int(seconds * 1e6),
            client_timeout=seconds,
        )
        found: NDArray[Any] | None = result.as_numpy(call.output)
        return found

    def _asked(self, function: Callable[[], T]) -> T:
        return self._circuit("", 0).call(lambda: self._translated(function))

    def _circuit(self, model: str, triton_version: int) -> Circuit:
        """Return the circuit breaker of one version, so that a broken one does not stop others."""
        return self._circuits.setdefault((model, triton_version), Circuit("Triton"))

    def _translated(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except InferenceServerException as error:
            translated = _translation(error)
            if type(translated) is Unavailable and "INTERNAL" not in str(error.status()):
                self.failures += 1
            raise translated from error


def _input(name: str, tensor: NDArray[Any]) -> triton.InferInput:
    made = triton.InferInput(name, list(tensor.shape), _TRITON_TYPES[tensor.dtype])
    return made.set_data_from_numpy(tensor)


def _translation(error: InferenceServerException) -> CardexError:
    """Return the Cardex error that stands for an error of Triton's client library."""
    status, words = str(error.status() or "error"), (error.message() or "")[:300]
    message = f"Triton: {status}: {words}"
    if "INVALID_ARGUMENT" in status:
        return ConfigurationError(message)
    if "DEADLINE_EXCEEDED" in status or "timeout expired" in words.lower():
        return TooSlow(message, retry_after_s=RETRY_AFTER_S)
    if "RESOURCE_EXHAUSTED" in status or "maximum queue size" in words:
        return Busy(message, retry_after_s=RETRY_AFTER_S)
    return Unavailable(message, reason="TRITON_UNAVAILABLE", retry_after_s=RETRY_AFTER_S)
