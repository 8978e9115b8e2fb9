"""The Triton client: one per process, used by all its threads."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from services.domain.circuit import Circuit
from services.domain.ecg import Embedding, Image
from services.domain.errors import ConfigurationError, Unavailable, VersionMismatch
from services.domain.jobs import Priority
from services.inference.encoder import ModelInfo
from services.inference.probe import check_probe, probe_image, probe_tokens
from services.inference.tokenizer import ReportTokenizer
from services.signals.spec import ImageSpec

IMAGE_ENCODER = "ecg_image_encoder"
TEXT_ENCODER = "report_text_encoder"
IMAGE_INPUT, TEXT_INPUT, OUTPUT = "image", "token_ids", "embedding"
MAX_BATCH = 32

_LEVEL = {Priority.STAT: 1, Priority.ROUTINE: 2}
T = TypeVar("T")


class TritonEncoder:
    """The `Encoder` that Triton serves."""

    def __init__(self, url: str, tokenizer: ReportTokenizer, *, timeout_s: float = 10.0) -> None:
        """Prepare a client of `host:port`; nothing is sent until it is used."""
        # Replicas behind one name are used in turn; a long-lived channel would pin one of them.
        options = [("grpc.lb_policy_name", "round_robin"), ("grpc.max_receive_message_length", -1),
                   ("grpc.max_send_message_length", -1)]  # fmt: skip
        self._client = triton.InferenceServerClient(url, channel_args=options)
        self._tokenizer = tokenizer
        self._timeout_s = timeout_s
        self._circuit = Circuit("Triton")
        self._lock = threading.Lock()
        self._model: ModelInfo | None = None

    def ping(self) -> None:
        """Ask the server whether it is ready.

        Raises:
            Unavailable: if it is not; the model is checked anew when it is back.
        """
        if not self._call(lambda: self._client.is_server_ready(client_timeout=2.0)):
            self._model = None
            raise Unavailable("Triton is not ready", reason="TRITON_UNAVAILABLE", retry_after_s=2.0)

    def model(self) -> ModelInfo:
        """Return what is being served; asked once, then again after every failure of the server."""
        with self._lock:
            model = self._model or self._checked_model()
            self._model = model
            return model

    def embed_images(self, images: Image, priority: Priority) -> Embedding:
        """Embed (B, H, W, 3) uint8 images in calls of at most `MAX_BATCH`."""
        return self._embed(IMAGE_ENCODER, IMAGE_INPUT, images, priority)

    def embed_texts(self, texts: Sequence[str]) -> Embedding:
        """Tokenize and embed reports in calls of at most `MAX_BATCH`."""
        tokens = self._tokenizer.encode(texts)
        return self._embed(TEXT_ENCODER, TEXT_INPUT, tokens, Priority.ROUTINE)

    def _embed(self, model: str, name: str, batch: NDArray[Any], priority: Priority) -> Embedding:
        parts = np.array_split(batch, range(MAX_BATCH, len(batch), MAX_BATCH))
        infer = partial(self._infer, model, name, priority)
        return np.concatenate([self._circuit.call(partial(infer, part)) for part in parts])

    def _infer(self, model: str, name: str, priority: Priority, batch: NDArray[Any]) -> Embedding:
        tensor = triton.InferInput(name, list(batch.shape), _dtype(batch))
        tensor.set_data_from_numpy(batch)
        result = self._call(
            lambda: self._client.infer(
                model,
                [tensor],
                outputs=[triton.InferRequestedOutput(OUTPUT)],
                priority=_LEVEL[priority],
                timeout=int(self._timeout_s * 1e6),
                client_timeout=self._timeout_s,
            )
        )
        embedding = result.as_numpy(OUTPUT)
        if embedding is None or embedding.shape[:1] != batch.shape[:1]:
            raise ConfigurationError(
                f"{model} returned {None if embedding is None else embedding.shape} for"
                f" {batch.shape}: Triton's Python environment needs numpy<2; run `make setup`"
            )
        return np.asarray(embedding, dtype=np.float32)

    def _checked_model(self) -> ModelInfo:
        image = self._circuit.call(lambda: self._parameters(IMAGE_ENCODER))
        text = self._circuit.call(lambda: self._parameters(TEXT_ENCODER))
        if image["model_version"] != text["model_version"]:
            raise VersionMismatch(
                f"Triton serves {IMAGE_ENCODER} {image['model_version']} beside {TEXT_ENCODER}"
                f" {text['model_version']}: deploy both of one version"
            )
        if text["tokenizer_sha256"] != self._tokenizer.fingerprint:
            raise VersionMismatch(
                f"{TEXT_ENCODER} {text['model_version']} was trained with tokenizer"
                f" {text['tokenizer_sha256'][:12]}, this process has"
                f" {self._tokenizer.fingerprint[:12]}: install the model's tokenizer.json"
            )
        spec, image_probe, text_probe, length = _decoded(image, text)
        seen = self._infer(IMAGE_ENCODER, IMAGE_INPUT, Priority.STAT, probe_image(spec.shape))
        check_probe(IMAGE_ENCODER, seen, image_probe)
        tokens = probe_tokens(length)
        read = self._infer(TEXT_ENCODER, TEXT_INPUT, Priority.STAT, tokens)
        check_probe(TEXT_ENCODER, read, text_probe)
        return ModelInfo(image["model_version"], spec, seen.shape[1])

    def _parameters(self, model: str) -> dict[str, str]:
        answer = self._call(
            lambda: self._client.get_model_config(model, as_json=True, client_timeout=2.0)
        )
        parameters = answer["config"].get("parameters", {})
        found = {key: value.get("string_value", "") for key, value in parameters.items()}
        needed = {"model_version", "probe"} | (
            {"image_spec"} if model == IMAGE_ENCODER else {"tokenizer_sha256", "length"}
        )
        if missing := sorted(needed - found.keys()):
            raise ConfigurationError(f"{model}'s config.pbtxt lacks parameters {missing}")
        return found

    def _call(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except InferenceServerException as error:
            self._model = None  # the server may come back with another version
            reason = f"Triton: {error.status() or 'error'}: {(error.message() or '')[:200]}"
            if "INVALID_ARGUMENT" in str(error.status()):
                raise ConfigurationError(reason) from error
            raise Unavailable(reason, reason="TRITON_UNAVAILABLE", retry_after_s=2.0) from error


def _decoded(
    image: dict[str, str], text: dict[str, str]
) -> tuple[ImageSpec, list[float], list[float], int]:
    """Return image specification, both probes and the report length of the configurations."""
    try:
        return (
            ImageSpec.from_json(image["image_spec"]),
            msgspec.json.decode(image["probe"], type=list[float]),
            msgspec.json.decode(text["probe"], type=list[float]),
            int(text["length"]),
        )
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise ConfigurationError(
            f"a parameter of the models' config.pbtxt cannot be read: {error}: export them again"
        ) from error


def _dtype(batch: NDArray[Any]) -> str:
    return {np.dtype(np.uint8): "UINT8", np.dtype(np.int32): "INT32"}[batch.dtype]
