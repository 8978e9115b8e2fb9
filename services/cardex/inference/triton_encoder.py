"""The `Encoder` that Triton serves."""

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc.model_config_pb2 import ModelConfig

from cardex.domain.ecg import Embedding, Image
from cardex.domain.errors import CardexError, Unavailable
from cardex.domain.jobs import Priority
from cardex.inference.encoder import ModelInfo
from cardex.inference.probe import check_probe, probe_image, probe_tokens
from cardex.inference.repository import (
    IMAGE_ENCODER,
    MATCHER,
    MODELS,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
)
from cardex.inference.served_model import (
    IMAGE_INPUT,
    MATCH_OUTPUT,
    OUTPUT,
    TEXT_INPUT,
    ServedModel,
    read_served,
)
from cardex.inference.triton_client import InferenceRequest, TritonClient

logger = logging.getLogger(__name__)

Configs = dict[str, ModelConfig]
_LEVEL = {Priority.STAT: 1, Priority.ROUTINE: 2}


class TritonEncoder:
    """Embeds with any of the model versions that one Triton serves side by side."""

    def __init__(self, server: TritonClient, repository: Path) -> None:
        """Prepare an encoder; nothing is sent until it is used.

        Args:
            server: connection to Triton.
            repository: model repository, which holds each version's tokenizer.
        """
        self._server = server
        self._repository = repository
        self._lock = threading.Lock()
        self._served: dict[int, ServedModel] = {}
        self._read_from: dict[int, Configs] = {}
        self._as_of = -1

    def ping(self) -> None:
        """Ask whether the server is live; raises Unavailable if it is not."""
        self._server.ping()

    def models(self, *, fresh: bool = False) -> tuple[ModelInfo, ...]:
        """Return the served versions, the newest first; asks anew after a failed call."""
        with self._lock:
            if fresh or not self._served or self._as_of != self._server.failures:
                as_of = self._server.failures
                if self._as_of != as_of:
                    self._read_from = {}
                self._served = self._look()
                self._as_of = as_of
            return tuple(served.info for _, served in sorted(self._served.items(), reverse=True))

    def embed_images(self, model: ModelInfo, images: Image, priority: Priority) -> Embedding:
        """Embed (B, H, W, C) uint8 images in calls of at most the model's largest batch."""
        served = self._of(model)
        is_stat = priority is Priority.STAT and served.has(STAT_INSTANCE)
        name = STAT_INSTANCE if is_stat else IMAGE_ENCODER
        return self._embed(served, name, {IMAGE_INPUT: images}, priority)

    def embed_texts(self, model: ModelInfo, texts: Sequence[str], priority: Priority) -> Embedding:
        """Tokenize and embed reports in calls of at most the model's largest batch."""
        served = self._of(model)
        tokens = served.tokenizer.encode(texts)
        return self._embed(served, TEXT_ENCODER, {TEXT_INPUT: tokens}, priority)

    def match(
        self,
        model: ModelInfo,
        images: Image,
        reports: Sequence[Sequence[str]],
        priority: Priority,
    ) -> list[NDArray[np.float32]]:
        """Match each image with its own reports, one call per image: report counts may differ."""
        served = self._of(model)
        found = []
        for image, texts in zip(images, reports, strict=True):
            tokens = served.tokenizer.encode(texts)
            call = InferenceRequest(
                MATCHER,
                model.triton_version,
                {IMAGE_INPUT: image[None], TEXT_INPUT: tokens[None]},
                MATCH_OUTPUT,
                _LEVEL[priority],
            )
            (match_logits,) = self._server.infer(call)  # (1, reports)
            found.append(match_logits)
        return found

    def _of(self, model: ModelInfo) -> ServedModel:
        served = self._served.get(model.triton_version)
        if served is None or served.info.version != model.version:
            raise Unavailable(
                f"Triton serves {model.version} no more", reason="MODEL_GONE", retry_after_s=1.0
            )
        return served

    def _embed(
        self,
        served: ServedModel,
        model: str,
        tensor: Mapping[str, NDArray[Any]],
        priority: Priority,
    ) -> Embedding:
        ((name, rows),) = tensor.items()
        largest = served.largest[model]
        # The STAT instance has no priority levels, for which 0 stands.
        level = 0 if model == STAT_INSTANCE else _LEVEL[priority]
        parts = [
            self._server.infer(
                InferenceRequest(model, served.info.triton_version, {name: part}, OUTPUT, level)
            )
            for part in np.array_split(rows, range(largest, len(rows), largest))
        ]
        return np.concatenate(parts)

    def _look(self) -> dict[int, ServedModel]:
        """Read, check and probe each version; one that does not fit is left out, with a warning."""
        ready = self._server.ready_versions()
        triton_versions = sorted(ready[IMAGE_ENCODER] & ready[TEXT_ENCODER])
        configs = {model: self._server.config(model) for model in MODELS if ready[model]}
        found: dict[int, ServedModel] = {}
        errors: list[CardexError] = []
        for triton_version in triton_versions:
            of_version = {
                model: config for model, config in configs.items() if triton_version in ready[model]
            }
            try:
                found[triton_version] = self._checked(triton_version, of_version)
            except CardexError as error:
                if isinstance(error, Unavailable) and triton_version in self._served:
                    raise  # The server is busy or down: the version may still be good.
                logger.warning("version %d is not used: %s", triton_version, error.message)
                errors.append(error)
        if errors and not found:
            raise errors[0]
        if not found:
            raise Unavailable(
                f"Triton has no version of {IMAGE_ENCODER} and {TEXT_ENCODER} ready",
                reason="TRITON_UNAVAILABLE",
                retry_after_s=2.0,
            )
        return found

    def _checked(self, triton_version: int, configs: Configs) -> ServedModel:
        """Return a version; it is checked again only if its configuration or the server changed."""
        if triton_version in self._served and self._read_from.get(triton_version) == configs:
            return self._served[triton_version]
        served = read_served(ModelVersion(self._repository, triton_version), configs)
        self._probe(served)
        self._read_from[triton_version] = configs
        return served

    def _probe(self, served: ServedModel) -> None:
        """Send each encoder its known input and compare the answers; raises ConfigurationError."""
        image = probe_image(served.info.image_spec.shape)
        for model in (IMAGE_ENCODER, STAT_INSTANCE):
            if served.has(model):
                embedding = self._embed(served, model, {IMAGE_INPUT: image}, Priority.STAT)
                check_probe(model, embedding, served.probes[IMAGE_ENCODER])
        tokens = probe_tokens(served.tokenizer.length)
        embedding = self._embed(served, TEXT_ENCODER, {TEXT_INPUT: tokens}, Priority.STAT)
        check_probe(TEXT_ENCODER, embedding, served.probes[TEXT_ENCODER])
