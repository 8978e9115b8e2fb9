"""An embedder that keeps embeddings, and shows its progress."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from cardex.domain.ecg import Embedding, Image
from cardex.evaluation.embedder import Embedder

CHUNK = 64

Track = Callable[[Sequence[int], str], Iterable[int]]
"""Iterates over numbers, and shows the progress under a title."""


def untracked(numbers: Sequence[int], _title: str) -> Iterable[int]:
    """Return the numbers, without showing progress."""
    return numbers


class CachingEmbedder:
    """Wraps an embedder, so that no image and no text is embedded twice.

    Attributes:
        specs: the images that the image encoder takes of each ECG.
    """

    def __init__(self, embedder: Embedder, track: Track) -> None:
        """Wrap `embedder`; `track` shows the progress of long lists of reports."""
        self.specs = embedder.specs
        self._embedder, self._track = embedder, track
        self._images: dict[bytes, Embedding] = {}
        self._texts: dict[str, Embedding] = {}

    def images(self, images: Image) -> Embedding:
        """Embed (B, H, W, C) uint8 images: (B, E) float32."""
        key = hashlib.sha256(images.tobytes()).digest()
        if key not in self._images:
            self._images[key] = self._embedder.images(images)
        return self._images[key]

    def texts(self, texts: Sequence[str]) -> Embedding:
        """Embed reports: (B, E) float32."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for first in self._track(range(0, len(new), CHUNK), f"reading {len(new)} reports"):
            some = new[first : first + CHUNK]
            self._texts.update(zip(some, self._embedder.texts(some), strict=True))
        return np.stack([self._texts[text] for text in texts])
