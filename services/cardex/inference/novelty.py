"""How far an ECG's embedding lies from those of the ECGs that the model was trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding
from cardex.domain.quality import SignalWarning
from cardex.inference.encoder import ModelInfo
from cardex.inference.model_file import read_model_file, require_version, wrong_model_file
from cardex.inference.repository import ModelVersion

NEAR, WIDE = 16, 48
"""Numbers of principal axes of the two distances."""
OUT_OF_DISTRIBUTION = SignalWarning(
    "OUT_OF_DISTRIBUTION",
    "unlike every ECG that the model was trained on: its answer may mean nothing",
)


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingSpace:
    """Where the embeddings of a model's training ECGs lie.

    Attributes:
        mean: (E,) their mean.
        axes: (axes, E) their first principal axes, at most `WIDE`, the longest first.
        scales: (axes,) standard deviation along each axis.
        residual: mean squared length of what lies beyond the axes.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    scales: NDArray[np.float64]
    residual: float

    def distances(self, embeddings: Embedding) -> NDArray[np.float64]:
        """Return the two Mahalanobis distances of embeddings from the mean: (..., E) to (..., 2).

        With z_k the coordinate on axis k in standard deviations and r the squared length beyond
        the axes, they are sqrt(mean(z_k^2)) over the first `NEAR` axes, and
        sqrt((sum(z_k^2) + r / residual) / (axes + 1)) over all axes. Both are about 1 for the
        training ECGs, so that those of two models may be compared.
        """
        centred = embeddings.astype(np.float64) - self.mean  # (..., E)
        along = centred @ self.axes.T  # (..., axes)
        squares = (along / self.scales) ** 2
        beyond = np.maximum((centred**2).sum(axis=-1) - (along**2).sum(axis=-1), 0.0)
        near = squares[..., :NEAR].mean(axis=-1)
        wide = (squares.sum(axis=-1) + beyond / self.residual) / (len(self.axes) + 1)
        return np.asarray(np.sqrt(np.stack([near, wide], axis=-1)), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """Tells which ECGs are unlike those that one model version was trained on.

    Attributes:
        model_version: the model version that it belongs to.
        space: where the training ECGs lie.
        thresholds: (2,) the distances from which on an ECG is unlike them.
        fingerprint: SHA-256 of the file, part of the answer cache's key.
    """

    model_version: str
    space: EmbeddingSpace
    thresholds: NDArray[np.float64]
    fingerprint: str = ""

    def unlike(self, embeddings: Embedding) -> NDArray[np.bool_]:
        """Return whether either distance is over its threshold: (..., E) to (...) bool."""
        over = self.space.distances(embeddings) > self.thresholds
        return np.asarray(over.any(axis=-1), dtype=np.bool_)


_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class _File(msgspec.Struct, frozen=True):
    """Content of `novelty.json`; the fields are those of `Novelty` and `EmbeddingSpace`."""

    model_version: _Text
    mean: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)]
    axes: Annotated[tuple[tuple[float, ...], ...], msgspec.Meta(min_length=1)]
    scales: tuple[_Positive, ...]
    residual: _Positive
    thresholds: tuple[_Positive, _Positive]


def load_novelty(path: Path) -> Novelty | None:
    """Load `novelty.json`; None, with a warning in the log, if the file does not exist.

    Raises:
        ConfigurationError: if the file cannot be read, or the lengths of its arrays do not fit.
    """
    read = read_model_file(path, _File, "no answer is marked OUT_OF_DISTRIBUTION")
    if read is None:
        return None
    file, fingerprint = read
    if len(file.scales) != len(file.axes) or {len(axis) for axis in file.axes} != {len(file.mean)}:
        raise wrong_model_file(path, "its mean, axes and scales do not have the same lengths")
    space = EmbeddingSpace(
        np.array(file.mean), np.array(file.axes), np.array(file.scales), file.residual
    )
    return Novelty(file.model_version, space, np.array(file.thresholds), fingerprint)


def write_novelty(path: Path, version: str, found: Novelty) -> None:
    """Write `novelty.json` of a model version, with six digits of each number."""
    space = found.space
    near, wide = found.thresholds
    content = _File(
        version,
        tuple(map(_rounded, space.mean)),
        tuple(tuple(map(_rounded, axis)) for axis in space.axes),
        tuple(map(_rounded, space.scales)),
        _rounded(space.residual),
        (_rounded(near), _rounded(wide)),
    )
    path.write_bytes(msgspec.json.encode(content) + b"\n")


def served_novelty(repository: Path, model: ModelInfo) -> Novelty | None:
    """Return the novelty of a served model, None if the model has none.

    Raises:
        ConfigurationError: if its file cannot be read, or is of embeddings of another length.
        VersionMismatch: if it belongs to another model version; the message names both.
    """
    path = ModelVersion(repository, model.triton_version).novelty
    found = load_novelty(path)
    if found is None:
        return None
    require_version(path, found.model_version, model.version)
    if len(found.space.mean) != model.dimension:
        raise wrong_model_file(
            path, f"embeddings have {model.dimension} components, its mean has others"
        )
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
