"""The interface to the models that the rest of Cardex uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding, Image
from cardex.domain.jobs import Priority
from cardex.signals.image_spec import ImageSpec


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One served version of the models.

    Attributes:
        version: name of the version, the same for all models; embeddings of different versions must
            not be compared.
        image_spec: the image that the image encoder takes.
        dimension: E, the length of an embedding.
        matcher: whether the version has a matcher, for re-ranking.
        triton_version: the version number in Triton.
    """

    version: str
    image_spec: ImageSpec
    dimension: int
    matcher: bool = False
    triton_version: int = 1


class Encoder(Protocol):
    """Embeds ECG images and reports in one space, and matches reports with an image."""

    def models(self, *, fresh: bool = False) -> tuple[ModelInfo, ...]:
        """Return the served versions that were checked and probed, the newest first; at least one.

        Args:
            fresh: whether to ask the server even if no call has failed since the last time.

        Raises:
            Unavailable: if the server is down, or no version is ready.
            VersionMismatch: if models and tokenizer belong to different versions, in every version.
            ConfigurationError: if tensors or answers differ from what this process expects, in
                every version.
        """

    def embed_images(self, model: ModelInfo, images: Image, priority: Priority) -> Embedding:
        """Embed (B, H, W, C) uint8 images: (B, dimension) float32, L2-normalised.

        Raises:
            Unavailable: if the server is down, full or too slow, or no longer serves this version.
        """

    def embed_texts(self, model: ModelInfo, texts: Sequence[str], priority: Priority) -> Embedding:
        """Embed reports: (B, dimension) float32, L2-normalised; raises as `embed_images`."""

    def match(
        self,
        model: ModelInfo,
        images: Image,
        reports: Sequence[Sequence[str]],
        priority: Priority,
    ) -> list[NDArray[np.float32]]:
        """Match each of (B, H, W, C) uint8 images with its own reports; raises as `embed_images`.

        Returns:
            For each image (reports,) float32 match logits: the log-odds that the report belongs to
            the ECG.
        """


def served_model(encoder: Encoder, version: str) -> ModelInfo | None:
    """Return the served model of a version, or None; asks the server again before saying None."""
    for fresh in (False, True):
        for model in encoder.models(fresh=fresh):
            if model.version == version:
                return model
    return None
