"""An encoder that keeps what it is given and can be made to fail."""

from collections.abc import Sequence

import numpy as np

from cardex.domain.errors import CardexError, Unavailable
from cardex.domain.jobs import Priority
from cardex.inference.encoder import ModelInfo
from tests.helpers.embeddings import text_vector, unit
from tests.helpers.fake_model import DIMENSION, VERSION, model_info


class FakeEncoder:
    """The Encoder; `images` and `texts` keep each batch that it was given, `asked` who was asked.

    A version in `arriving` is served from the next fresh look on.
    """

    def __init__(self, *versions: str) -> None:
        self.served = tuple(model_info(version) for version in versions or (VERSION,))
        self.arriving: tuple[ModelInfo, ...] = ()
        self.error: CardexError | None = None
        self.looks = 0
        self.asked: list[str] = []
        self.images: list[np.ndarray] = []
        self.priorities: list[Priority] = []
        self.texts: list[list[str]] = []
        self.matched: list[list[list[str]]] = []

    def ping(self) -> None:
        self.models()

    def models(self, *, fresh: bool = False) -> tuple[ModelInfo, ...]:
        if self.error is not None:
            raise self.error
        if fresh:
            self.looks += 1
            self.served, self.arriving = self.arriving + self.served, ()
        return self.served

    def _ask(self, model: ModelInfo) -> None:
        if model not in self.models():
            raise Unavailable(f"{model.version} is served no more", reason="MODEL_GONE")
        self.asked.append(model.version)

    def embed_images(self, model: ModelInfo, images: np.ndarray, priority: Priority) -> np.ndarray:
        self._ask(model)
        self.images.append(images)
        self.priorities.append(priority)
        means = images.reshape(len(images), DIMENSION, -1).mean(axis=-1)
        return unit(means - means.mean(axis=1, keepdims=True))

    def embed_texts(self, model: ModelInfo, texts: Sequence[str], priority: Priority) -> np.ndarray:
        self._ask(model)
        self.texts.append(list(texts))
        self.priorities.append(priority)
        return np.stack([text_vector(text, model.version) for text in texts])

    def match(
        self,
        model: ModelInfo,
        images: np.ndarray,
        reports: Sequence[Sequence[str]],
        priority: Priority,
    ) -> list[np.ndarray]:
        """Match by the length of the text: the longer, the better."""
        self._ask(model)
        assert len(images) == len(reports)
        self.matched.append([list(texts) for texts in reports])
        return [np.array([len(text) for text in texts], dtype=np.float32) for texts in reports]
