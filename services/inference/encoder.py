"""What the rest of Cardex knows of the models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.domain.ecg import Embedding, Image
from services.domain.jobs import Priority
from services.signals.spec import ImageSpec


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The models that are being served.

    Attributes:
        version: one version over all; embeddings of different versions must not be compared.
        image_spec: the image that the image encoder takes.
        dimension: length of an embedding.
        matcher: whether reports can be matched with an ECG, for re-ranking.
    """

    version: str
    image_spec: ImageSpec
    dimension: int
    matcher: bool = False


class Encoder(Protocol):
    """ECG images and reports to unit vectors of one space, and how well one fits the other."""

    def model(self) -> ModelInfo:
        """Return what is being served, checked and probed.

        Raises:
            Unavailable: if the server is down.
            VersionMismatch: if the models or the tokenizer do not belong together.
        """

    def embed_images(self, images: Image, priority: Priority) -> Embedding:
        """Embed (B, H, W, 3) uint8 images: (B, dimension) float32, L2-normalised.

        Raises:
            Unavailable: if the server is down, full or too slow.
        """

    def embed_texts(self, texts: Sequence[str]) -> Embedding:
        """Embed reports: (B, dimension) float32, L2-normalised; raises as `embed_images`."""

    def match(
        self, images: Image, reports: Sequence[Sequence[str]], priority: Priority
    ) -> list[NDArray[np.float32]]:
        """Match each of (B, H, W, 3) uint8 images with its own reports; raises as `embed_images`.

        Returns:
            For each image (reports,) float32: the log-odds that report and ECG belong together.
        """
