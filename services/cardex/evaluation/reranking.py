"""What the matcher's second look at the nearest reports is worth, and what it costs."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Image, Signal
from cardex.evaluation import retrieval
from cardex.evaluation.caching_embedder import Track, untracked
from cardex.evaluation.metrics import Scores
from cardex.evaluation.retrieval import Gallery
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw, window_of


class Matcher(Protocol):
    """Tells how well reports fit an ECG's image."""

    spec: ImageSpec

    def match(self, image: Image, texts: Sequence[str]) -> NDArray[np.float32]:
        """Match one (H, W, C) uint8 image with each report: (reports,) log-odds."""


def ask(
    matcher: Matcher, signals: Signal, texts: Sequence[str], scores: Scores, count: int,
    track: Track = untracked,
) -> tuple[Scores, float]:  # fmt: skip
    """Ask the matcher about each ECG's `count` nearest texts.

    Args:
        matcher: what to ask.
        signals: (ECGs, 12, samples) float32, cleaned.
        texts: the gallery's distinct texts.
        scores: (ECGs, texts) cosine similarities.
        count: texts that are looked at.
        track: shows how far it is.

    Returns:
        (ECGs, texts) log-odds, NaN where the matcher was not asked, and the milliseconds an ECG took.
    """
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    found = np.full(scores.shape, np.nan, dtype=np.float32)
    spent = 0.0
    for row in track(range(len(signals)), f"matching {count} reports with each ECG"):
        (image,) = draw(window_of(signals[row], matcher.spec)[None], matcher.spec)
        start = time.perf_counter()
        found[row, nearest[row]] = matcher.match(image, [texts[place] for place in nearest[row]])
        spent += time.perf_counter() - start
    return found, 1e3 * spent / max(1, len(signals))


def combined(scores: Scores, log_odds: Scores, weight: float) -> Scores:
    """Return `scores + weight * log-odds`; what the matcher did not see stays below, in its order.

    One shift holds for all ECGs, so that the scores of a report with different ECGs stay comparable. In
    double precision it makes no two scores equal that were not.
    """
    unseen = np.isnan(log_odds)
    scores = scores.astype(np.float64)
    judged = scores + weight * np.nan_to_num(log_odds)
    if unseen.all() or not unseen.any():
        return judged
    below = judged[~unseen].min() - scores[unseen].max() - 1.0
    return np.where(unseen, scores + below, judged)


def compare(
    scores: Scores,
    log_odds: Scores,
    gallery: Gallery,
    patients: NDArray[np.int64],
    weights: Sequence[float],
) -> list[dict[str, Any]]:
    """Measure retrieval by each weight of the log-odds; choose one on a fold that reports no figures.

    Returns:
        for each weight "match_weight" and the figures of `retrieval.measure`.
    """
    return [
        {
            "match_weight": weight,
            **retrieval.measure(combined(scores, log_odds, weight), gallery, patients),
        }
        for weight in weights
    ]
