"""The Triton client: one per process, used by all its threads."""

import threading
from collections.abc import Callable, Mapping, Sequence
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
MATCHER = "ecg_report_matcher"
IMAGE_INPUT, TEXT_INPUT = "image", "token_ids"
OUTPUT, MATCH_OUTPUT = "embedding", "match"
MAX_BATCH = 32

_PARAMETERS = {
    IMAGE_ENCODER: {"model_version", "probe", "image_spec"},
    TEXT_ENCODER: {"model_version", "probe", "tokenizer_sha256", "length"},
    MATCHER: {"model_version"},
}
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

    def match(
        self, images: Image, reports: Sequence[Sequence[str]], priority: Priority
    ) -> list[NDArray[np.float32]]:
        """Match each image with its own reports, one call for each: their numbers may differ."""
        return [
            self._match(image, texts, priority)
            for image, texts in zip(images, reports, strict=True)
        ]

    def _match(self, image: Image, texts: Sequence[str], priority: Priority) -> NDArray[np.float32]:
        tensors = {IMAGE_INPUT: image[None], TEXT_INPUT: self._tokenizer.encode(texts)[None]}
        infer = partial(self._infer, MATCHER, tensors, MATCH_OUTPUT, (1, len(texts)), priority)
        (log_odds,) = self._circuit.call(infer)
        return np.asarray(log_odds)

    def _embed(self, model: str, name: str, batch: NDArray[Any], priority: Priority) -> Embedding:
        parts = np.array_split(batch, range(MAX_BATCH, len(batch), MAX_BATCH))
        infer = partial(self._embed_once, model, name, priority)
        return np.concatenate([self._circuit.call(partial(infer, part)) for part in parts])

    def _embed_once(
        self, model: str, name: str, priority: Priority, batch: NDArray[Any]
    ) -> Embedding:
        return self._infer(model, {name: batch}, OUTPUT, batch.shape[:1], priority)

    def _infer(
        self,
        model: str,
        tensors: Mapping[str, NDArray[Any]],
        output: str,
        leading: tuple[int, ...],
        priority: Priority,
    ) -> NDArray[np.float32]:
        """Call a model once; its output has to begin with the dimensions `leading`."""
        result = self._call(
            lambda: self._client.infer(
                model,
                [_input(name, tensor) for name, tensor in tensors.items()],
                outputs=[triton.InferRequestedOutput(output)],
                priority=_LEVEL[priority],
                timeout=int(self._timeout_s * 1e6),
                client_timeout=self._timeout_s,
            )
        )
        found = result.as_numpy(output)
        if found is None or found.shape[: len(leading)] != leading:
            shapes = {name: tensor.shape for name, tensor in tensors.items()}
            raise ConfigurationError(
                f"{model} returned {None if found is None else found.shape} for {shapes}: Triton's"
                " Python environment needs numpy<2; run `make setup`"
            )
        return np.asarray(found, dtype=np.float32)

    def _checked_model(self) -> ModelInfo:
        image = self._circuit.call(lambda: self._parameters(IMAGE_ENCODER))
        text = self._circuit.call(lambda: self._parameters(TEXT_ENCODER))
        version = image["model_version"]
        _require_version(version, TEXT_ENCODER, text["model_version"])
        if text["tokenizer_sha256"] != self._tokenizer.fingerprint:
            raise VersionMismatch(
                f"{TEXT_ENCODER} {text['model_version']} was trained with tokenizer"
                f" {text['tokenizer_sha256'][:12]}, this process has"
                f" {self._tokenizer.fingerprint[:12]}: install the model's tokenizer.json"
            )
        spec, image_probe, text_probe, length = _decoded(image, text)
        known = probe_image(spec.shape)
        seen = self._embed_once(IMAGE_ENCODER, IMAGE_INPUT, Priority.STAT, known)
        check_probe(IMAGE_ENCODER, seen, image_probe)
        tokens = probe_tokens(length)
        read = self._embed_once(TEXT_ENCODER, TEXT_INPUT, Priority.STAT, tokens)
        check_probe(TEXT_ENCODER, read, text_probe)
        return ModelInfo(version, spec, seen.shape[1], self._has_matcher(version))

    def _has_matcher(self, version: str) -> bool:
        """Return whether a matcher of this version is served; raises VersionMismatch."""
        served = self._circuit.call(
            lambda: self._call(lambda: self._client.is_model_ready(MATCHER, client_timeout=2.0))
        )
        if served:
            matcher = self._circuit.call(lambda: self._parameters(MATCHER))
            _require_version(version, MATCHER, matcher["model_version"])
        return bool(served)

    def _parameters(self, model: str) -> dict[str, str]:
        answer = self._call(
            lambda: self._client.get_model_config(model, as_json=True, client_timeout=2.0)
        )
        parameters = answer["config"].get("parameters", {})
        found = {key: value.get("string_value", "") for key, value in parameters.items()}
        if missing := sorted(_PARAMETERS[model] - found.keys()):
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


def _require_version(version: str, model: str, other: str) -> None:
    if other != version:
        raise VersionMismatch(
            f"Triton serves {IMAGE_ENCODER} {version} beside {model} {other}: deploy all of one version"
        )


def _input(name: str, tensor: NDArray[Any]) -> triton.InferInput:
    kind = {np.dtype(np.uint8): "UINT8", np.dtype(np.int32): "INT32"}[tensor.dtype]
    made = triton.InferInput(name, list(tensor.shape), kind)
    made.set_data_from_numpy(tensor)
    return made
