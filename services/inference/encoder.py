"""What the rest of Cardex knows of the models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.domain.ecg import Embedding, Image
from services.domain.jobs import Priority
from services.signals.spec import ImageSpec


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The pair of encoders that is being served.

    Attributes:
        version: one version over both; embeddings of different versions must not be compared.
        image_spec: the image that the image encoder takes.
        dimension: length of an embedding.
    """

    version: str
    image_spec: ImageSpec
    dimension: int


class Encoder(Protocol):
    """ECG images and reports to unit vectors of one space."""

    def model(self) -> ModelInfo:
        """Return what is being served, checked and probed.

        Raises:
            Unavailable: if the server is down.
            VersionMismatch: if the encoders or the tokenizer do not belong together.
        """

    def embed_images(self, images: Image, priority: Priority) -> Embedding:
        """Embed (B, H, W, 3) uint8 images: (B, dimension) float32, L2-normalised.

        Raises:
            Unavailable: if the server is down, full or too slow.
        """

    def embed_texts(self, texts: Sequence[str]) -> Embedding:
        """Embed reports: (B, dimension) float32, L2-normalised; raises as `embed_images`."""
