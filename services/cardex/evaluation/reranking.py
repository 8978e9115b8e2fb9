"""Measures re-ranking: the matcher scores the nearest reports of each ECG again."""

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Image
from cardex.evaluation import retrieval
from cardex.evaluation.caching_embedder import Track, untracked
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.metrics import Scores
from cardex.evaluation.retrieval import Answers, Gallery
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw, window_of

PROTOCOLS = ("strict", "distinct", "clinical")
"""What re-ranking is measured by: all protocols that search the same gallery."""


class Matcher(Protocol):
    """Scores how well reports fit an ECG's image."""

    spec: ImageSpec

    def match(self, image: Image, texts: Sequence[str]) -> NDArray[np.float32]:
        """Match one (H, W, C) uint8 image with each report: (reports,) match logits."""


def ask(
    matcher: Matcher, ecgs: Ecgs, texts: Sequence[str], scores: Scores, count: int,
    track: Track = untracked,
) -> tuple[Scores, float]:  # fmt: skip
    """Ask the matcher about each ECG's `count` nearest texts.

    Args:
        matcher: the model.
        ecgs: the ECGs.
        texts: the gallery's distinct texts.
        scores: (ECGs, texts) what the reports are ranked by.
        count: number of texts that are matched with each ECG.
        track: shows the progress.

    Returns:
        (ECGs, texts) match logits, NaN where the matcher was not asked, and the mean milliseconds
        per ECG.
    """
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    found = np.full(scores.shape, np.nan, dtype=np.float32)
    signals, spent = ecgs.filtered_for(matcher.spec), 0.0
    for row in track(range(len(ecgs.records)), f"matching {count} reports with each ECG"):
        window = window_of(signals[row], matcher.spec)
        (image,) = draw(window[None], matcher.spec, ecgs.calibrated[row : row + 1])
        start = time.perf_counter()
        found[row, nearest[row]] = matcher.match(image, [texts[place] for place in nearest[row]])
        spent += time.perf_counter() - start
    return found, 1e3 * spent / max(1, len(ecgs.records))


def combined(scores: Scores, match_logits: Scores, weight: float) -> Scores:
    """Return `scores + weight * match_logits`; unmatched texts follow below, in their order.

    Their scores are shifted by one constant for all ECGs, so that scores of a report with different
    ECGs stay comparable. In double precision the shift makes no two scores equal that were not.
    """
    unseen = np.isnan(match_logits)
    scores = scores.astype(np.float64)
    judged = scores + weight * np.nan_to_num(match_logits)
    if unseen.all() or not unseen.any():
        return judged
    below = judged[~unseen].min() - scores[unseen].max() - 1.0
    return np.where(unseen, scores + below, judged)


def compare(
    scores: Scores,
    match_logits: Scores,
    back: Scores,
    gallery: Gallery,
    weights: Sequence[float],
    protocols: Sequence[str] = PROTOCOLS,
) -> list[Answers]:
    """Measure retrieval with each match weight; the ECGs of a report are ranked by `back`.

    A weight must be chosen on another fold than the one whose figures are reported.

    Returns:
        For each weight the figures of each ECG, as `retrieval.measure` gives them.
    """
    return [
        retrieval.measure(combined(scores, match_logits, weight), back, gallery, protocols)
        for weight in weights
    ]
