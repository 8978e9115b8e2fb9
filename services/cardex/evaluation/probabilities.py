"""How far the probabilities of statements can be trusted, on held-out ECGs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Signal
from cardex.evaluation.calibration import Curve, brier, calibration_error
from cardex.evaluation.dataset import carried
from cardex.evaluation.embedder import Embedder
from cardex.evaluation.evaluate import Task, embed_ecgs


def calibrated(
    embedder: Embedder, task: Task, curves: Mapping[str, Curve], prompts: Mapping[str, str]
) -> dict[str, float]:
    """Return Brier scores and the expected calibration error over all statements and ECGs.

    Args:
        embedder: of ECGs and prompts.
        task: the held-out ECGs.
        curves: statement code to how its similarity becomes a probability.
        prompts: statement code to the words that stand for it.
    """
    codes = sorted(curves)
    similarity = likeness(embedder, task.signals, {code: prompts[code] for code in codes})
    found = np.stack(
        [curves[code](column) for code, column in zip(codes, similarity.T, strict=True)], axis=1
    )
    true = carried(task.records, codes)
    usual = np.broadcast_to(true.mean(axis=0), true.shape)
    return {
        "Brier score": round(brier(found, true), 4),
        "Brier score of the base rates": round(brier(usual, true), 4),
        "expected calibration error": round(calibration_error(found, true), 4),
    }


def likeness(
    embedder: Embedder, signals: Signal, prompts: Mapping[str, str]
) -> NDArray[np.float32]:
    """Return (ECGs, prompts) cosine similarity, the prompts in their order."""
    vectors = embedder.texts(list(prompts.values()))
    return np.asarray(embed_ecgs(embedder, signals) @ vectors.T, dtype=np.float32)
