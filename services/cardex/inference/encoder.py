"""What the rest of Cardex knows of the models."""

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
    """One version of the models that is being served.

    Attributes:
        version: one version over all; embeddings of different versions must not be compared.
        image_spec: the image that the image encoder takes.
        dimension: length of an embedding.
        matcher: whether reports can be matched with an ECG, for re-ranking.
        triton_version: what the model server calls this version.
    """

    version: str
    image_spec: ImageSpec
    dimension: int
    matcher: bool = False
    triton_version: int = 1


class Encoder(Protocol):
    """ECG images and reports to unit vectors of one space, and how well one fits the other."""

    def models(self, *, fresh: bool = False) -> tuple[ModelInfo, ...]:
        """Return what is being served, checked and probed, the newest first; at least one.

        Args:
            fresh: ask the server even if nothing is known to have changed.

        Raises:
            Unavailable: if the server is down.
            VersionMismatch: if models or tokenizer do not belong together, in every version there is.
            ConfigurationError: if the server's models are not what this process sends to and reads from.
        """

    def embed_images(self, model: ModelInfo, images: Image, priority: Priority) -> Embedding:
        """Embed (B, H, W, C) uint8 images: (B, dimension) float32, L2-normalised.

        Raises:
            Unavailable: if the server is down, full or too slow, or serves this version no more.
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
            For each image (reports,) float32: the log-odds that report and ECG belong together.
        """


def served_model(encoder: Encoder, version: str) -> ModelInfo | None:
    """Return the served model of a version, None where it is not served."""
    for fresh in (False, True):
        for model in encoder.models(fresh=fresh):
            if model.version == version:
                return model
    return None
