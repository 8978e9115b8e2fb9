"""Measures the statements' probabilities on ECGs that were not used in training."""

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
        embedder: embeds ECGs and prompts.
        task: the ECGs and their statements.
        curves: statement code to its calibration curve.
        prompts: statement code to the text that is embedded for it.
    """
    codes = sorted(curves)
    similarity = similarity_with(embedder, task.signals, {code: prompts[code] for code in codes})
    found = np.stack(
        [curves[code](column) for code, column in zip(codes, similarity.T, strict=True)], axis=1
    )
    true = carried(task.records, codes)
    base_rates = np.broadcast_to(true.mean(axis=0), true.shape)
    return {
        "Brier score": round(brier(found, true), 4),
        "Brier score of the base rates": round(brier(base_rates, true), 4),
        "expected calibration error": round(calibration_error(found, true), 4),
    }


def similarity_with(
    embedder: Embedder, signals: Signal, prompts: Mapping[str, str]
) -> NDArray[np.float32]:
    """Return the cosine similarity of each ECG with each prompt: (ECGs, prompts) float32."""
    vectors = embedder.texts(list(prompts.values()))
    return np.asarray(embed_ecgs(embedder, signals) @ vectors.T, dtype=np.float32)
