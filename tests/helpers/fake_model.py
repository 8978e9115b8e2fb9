"""What is told of a model that is made up: its space, its statements, its novelty."""

from dataclasses import replace

import numpy as np

from cardex.inference.agreement import Agreement
from cardex.inference.encoder import ModelInfo
from cardex.inference.novelty import EmbeddingSpace, Novelty
from cardex.inference.statements import CalibratedStatement, Calibration
from cardex.signals.image_spec import ImageSpec

DIMENSION = 8
VERSION = "model-1"


def model_info(version: str = VERSION, **changes) -> ModelInfo:
    return replace(ModelInfo(version, ImageSpec(), DIMENSION), **changes)


def calibration(
    *codes: str, version: str = VERSION, match_weight: float = 1.0, slope: float = 0.0
) -> Calibration:
    """Statements whose prompt is their code; without a slope each has a probability of one half."""
    statements = tuple(CalibratedStatement(code, code, code, slope, 0.0, "1") for code in codes)
    return Calibration(version, match_weight, statements, "fingerprint")


def agreement(weight: float, commonness: float = 0.0) -> Agreement:
    """What agreeing with reports weighs, which state AFIB on the first axis."""
    return Agreement(
        weight=weight, report_length=1.0, axes={"AFIB": 0}, commonness_weight=commonness
    )


def novelty(threshold: float, version: str = VERSION) -> Novelty:
    """Distances from the zero vector, over one axis and what is beyond it."""
    axes = np.eye(DIMENSION)[:1]
    space = EmbeddingSpace(np.zeros(DIMENSION), axes, np.ones(1), 1.0)
    return Novelty(version, space, np.array([threshold, threshold]), f"over {threshold}")
