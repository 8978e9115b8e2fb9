"""What the matcher's second look at the nearest reports is worth, and what it costs."""

import time
from typing import Any

import numpy as np

from services.domain.ecg import Embedding, Signal
from services.evaluation.embedder import OnnxEmbedder
from services.evaluation.metrics import Scores
from services.signals.images import draw, window_of


def rerank(
    embedder: OnnxEmbedder, signals: Signal, texts: list[str], scores: Scores, count: int
) -> tuple[Scores, float]:
    """Ask the matcher about each ECG's `count` nearest texts.

    Args:
        embedder: has the matcher.
        signals: (ECGs, 12, samples), cleaned.
        texts: the gallery's distinct texts.
        scores: (ECGs, texts) cosine similarities.
        count: texts that are looked at.

    Returns:
        (ECGs, texts) log-odds, NaN where the matcher was not asked, and the seconds an ECG took.
    """
    count = min(count, len(texts))
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    found = np.full(scores.shape, np.nan, dtype=np.float32)
    start = time.perf_counter()
    for row, (signal, places) in enumerate(zip(signals, nearest, strict=True)):
        (image,) = draw(window_of(signal, embedder.spec)[None], embedder.spec)
        found[row, places] = embedder.match(image, [texts[place] for place in places])
    return found, (time.perf_counter() - start) / max(1, len(signals))


def combined(scores: Scores, log_odds: Scores, weight: float) -> Scores:
    """Return `scores + weight * log-odds`; what the matcher did not see stays below, in its order."""
    unseen = np.isnan(log_odds)
    judged = scores + weight * np.nan_to_num(log_odds)
    below = float(judged[~unseen].min() - scores[unseen].max()) - 1.0 if unseen.any() else 0.0
    return np.asarray(np.where(unseen, scores + below, judged), dtype=np.float32)


def measured(
    embedder: OnnxEmbedder, ecgs: Embedding, signals: Signal, texts: list[str], count: int
) -> tuple[Scores, dict[str, Any]]:
    """Return the scores after re-ranking with the repository's weight, and what it cost."""
    scores = np.asarray(ecgs @ embedder.texts(texts).T, dtype=np.float32)
    log_odds, seconds = rerank(embedder, signals, texts, scores, count)
    weight = embedder.match_weight
    return combined(scores, log_odds, weight), {
        "reranked": count,
        "match_weight": weight,
        "ms_per_ecg": round(1e3 * seconds, 1),
    }
