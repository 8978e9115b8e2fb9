"""The interface of models under evaluation, and the one for an exported model repository."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding, Image
from cardex.domain.errors import ConfigurationError, VersionMismatch
from cardex.inference.model_file import require_version
from cardex.inference.novelty import load_novelty
from cardex.inference.repository import IMAGE_ENCODER, MATCHER, TEXT_ENCODER, ModelVersion, newest
from cardex.inference.statements import load_calibration
from cardex.inference.tokenizer import ReportTokenizer
from cardex.signals.image_spec import ImageSpec

BATCH = 32


class Embedder(Protocol):
    """Embeds ECG images and reports as unit vectors of one space."""

    @property
    def specs(self) -> Sequence[ImageSpec]:
        """The images that it takes of each ECG; the service's encoder takes one."""

    def images(self, images: Image) -> Embedding:
        """Embed uint8 images, as `embeddings.images_of` draws them: (B, E)."""

    def texts(self, texts: Sequence[str]) -> Embedding:
        """Embed reports: (B, E)."""


class OnnxEmbedder:
    """Runs the graphs of a model repository in this process, by ONNX Runtime on the CPU.

    Attributes:
        spec: the image that the image encoder takes.
        specs: that image alone.
        version: name of the model version.
        calibration: calibrated statements; None if the version has none.
        novelty: tells ECGs that the model has seen nothing like; None if the version has none.
    """

    def __init__(self, repository: Path) -> None:
        """Open the graphs of the newest version.

        Raises:
            ConfigurationError: if a file is missing or cannot be read.
            VersionMismatch: if tokenizer, statements or novelty belong to another model version.
        """
        release = newest(repository)
        self.version = release.version()
        self.spec = release.spec()
        self.specs = (self.spec,)
        self._tokenizer = ReportTokenizer(release.tokenizer)
        _refuse_other_tokenizer(release, self._tokenizer.fingerprint)
        self.calibration = load_calibration(release.statements)
        self.novelty = load_novelty(release.novelty)
        if self.calibration is not None:
            require_version(release.statements, self.calibration.model_version, self.version)
        if self.novelty is not None:
            require_version(release.novelty, self.novelty.model_version, self.version)
        self._image = _session(release.graph(IMAGE_ENCODER))
        self._text = _session(release.graph(TEXT_ENCODER))
        self._matcher = _session(release.graph(MATCHER)) if release.has_matcher else None

    @property
    def has_matcher(self) -> bool:
        """Whether the version has a matcher, so that `match` may be called."""
        return self._matcher is not None

    def images(self, images: Image) -> Embedding:
        """Embed (B, H, W, C) uint8 images: (B, E) float32."""
        return _run(self._image, "image", images)

    def texts(self, texts: Sequence[str]) -> Embedding:
        """Embed reports: (B, E) float32."""
        return _run(self._text, "token_ids", self._tokenizer.encode(texts))

    def match(self, image: Image, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the match logits of one (H, W, C) image with each report: (reports,) float32.

        Raises:
            ConfigurationError: if the repository has no matcher.
        """
        if self._matcher is None:
            raise ConfigurationError(f"the model repository has no {MATCHER}: export one with it")
        ids = self._tokenizer.encode(texts)
        (found,) = self._matcher.run(None, {"image": image[None], "token_ids": ids[None]})
        return np.asarray(found[0], dtype=np.float32)


def _refuse_other_tokenizer(release: ModelVersion, fingerprint: str) -> None:
    for config in sorted((release.repository / TEXT_ENCODER).glob("**/*.pbtxt")):
        if f'"{fingerprint}"' not in config.read_text():
            raise VersionMismatch(
                f"{release.tokenizer} is of another model: {config} names another"
                " tokenizer_sha256; install the one that came with the model"
            )


def _run(session: Any, name: str, rows: NDArray[Any]) -> Embedding:  # noqa: ANN401
    parts = [
        session.run(None, {name: rows[first : first + BATCH]})[0]
        for first in range(0, len(rows), BATCH)
    ]
    return finite(np.concatenate(parts).astype(np.float32))


def finite(embeddings: Embedding) -> Embedding:
    """Return (B, E) embeddings if all are numbers: no ECG or report is near to others.

    Raises:
        ConfigurationError: naming the first that is not.
    """
    wrong = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if wrong.size:
        raise ConfigurationError(
            f"the model's answer for number {wrong[0] + 1} of {len(embeddings)} is no number:"
            " train it anew with a lower learning rate, or take another version"
        )
    return embeddings


def _session(path: Path) -> Any:  # noqa: ANN401  # onnxruntime has no types
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exception types are not public
        raise ConfigurationError(f"cannot open {path}: {error}") from error
