"""Fits what tells ECGs that a model has seen nothing like, and measures how well it does."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cardex.domain.ecg import Embedding, Signal
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embedder import Embedder
from cardex.evaluation.embeddings import embed_ecgs
from cardex.evaluation.intervals import Subset
from cardex.evaluation.metrics import Values
from cardex.inference.novelty import WIDE, EmbeddingSpace, Novelty

QUANTILE = 0.99
"""Share of unseen ECGs that each of the two distances lets pass."""
LEAST = 1e-9
"""A smaller variance counts as none: an axis of it tells nothing."""
AS_RECORDED = "as recorded"


def fit_space(embeddings: Embedding) -> EmbeddingSpace:
    """Fit mean and principal axes to (ECGs, E) embeddings; at least two must differ."""
    values = embeddings.astype(np.float64)
    mean = values.mean(axis=0)
    _, lengths, axes = np.linalg.svd(values - mean, full_matrices=False)
    variances = lengths**2 / len(values)
    count = max(1, min(WIDE, int((variances > LEAST).sum())))
    return EmbeddingSpace(
        mean=mean,
        axes=axes[:count],
        scales=np.sqrt(np.maximum(variances[:count], LEAST)),
        residual=max(float(variances[count:].sum()), LEAST),
    )


def fit_novelty(training: Embedding, others: Embedding, unseen: Embedding) -> Novelty:
    """Fit the space of a model, and the distances from which on an ECG is unlike its training.

    The model has seen all ECGs at hand. So the thresholds come from another one that was trained
    alike without some ECGs: from the distances of these in its own space.

    Args:
        training: (ECGs, E) embeddings by the model of the ECGs that it was trained on.
        others: (ECGs, E) embeddings by the other model of the ECGs that it was trained on.
        unseen: (ECGs, E) embeddings by the other model of the ECGs that it has not seen.

    Returns:
        What is exported; it has no model version before.
    """
    distances = fit_space(others).distances(unseen)
    return Novelty("", fit_space(training), np.quantile(distances, QUANTILE, axis=0))


def changes(signals: Signal) -> dict[str, Callable[[], Signal]]:
    """Return what makes changed copies of (ECGs, 12, samples) signals, by the change's name."""
    random = np.random.default_rng(0)
    deviations = signals.std(axis=-1, keepdims=True)

    def noise() -> Signal:
        drawn = deviations * random.standard_normal(signals.shape)
        return np.asarray(drawn, dtype=np.float32)

    return {
        "white noise": noise,
        "inverted": lambda: -signals,
        "time-reversed": lambda: np.ascontiguousarray(signals[..., ::-1]),
        "half speed": lambda: _slower(signals),
        "ten times the amplitude": lambda: 10.0 * signals,
        "noise of the signal's own deviation": lambda: signals + noise(),
    }


def _slower(signals: Signal) -> Signal:
    """Return the first half of each signal, stretched to the length of the whole."""
    places = np.arange(signals.shape[-1]) / 2.0
    before = places.astype(np.int64)
    part = (places - before).astype(np.float32)
    slower = (1.0 - part) * signals[..., before] + part * signals[..., before + 1]
    return np.asarray(slower, dtype=np.float32)


def alarms(embedder: Embedder, novelty: Novelty, ecgs: Ecgs, own: Embedding) -> dict[str, Values]:
    """Return which ECGs are called unlike the training ECGs, as they are and changed.

    Args:
        embedder: the model.
        novelty: of that model.
        ecgs: ECGs that it has not seen.
        own: (ECGs, E) their embeddings.

    Returns:
        By `AS_RECORDED` and the name of each change (ECGs,) float64, 1 where there is an alarm.
    """
    found = {AS_RECORDED: novelty.unlike(own).astype(np.float64)}
    for name, change in changes(ecgs.signals).items():
        vectors = embed_ecgs(embedder, replace(ecgs, signals=change()))
        found[name] = novelty.unlike(vectors).astype(np.float64)
    return found


def summary(found: Mapping[str, Values], subset: Subset) -> dict[str, Any]:
    """Return the share of alarms on a subset's ECGs by change, per cent, as [mean, low, high]."""
    return {
        name: each.rounded(2, 100.0)
        for name, values in found.items()
        if (each := subset.interval(values))
    }
