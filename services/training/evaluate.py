"""Retrieval figures on a held-out fold, chance and the majority baseline beside each."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from services.signals.windows import centre_window
from services.training.data import Ecgs, statement_matrix
from services.training.image import embed_images
from services.training.run import Trained, embed_texts

RANKS = (1, 5, 10)
MIN_POSITIVE = 5


def evaluate(trained: Trained, ecgs: Ecgs, majority: Sequence[str]) -> dict[str, object]:
    """Measure ECG-to-report retrieval in the gallery of the fold's distinct reports.

    Args:
        trained: the towers.
        ecgs: the fold.
        majority: reports of the training folds, the commonest first: the baseline answers those.

    Returns:
        R@k ("distinct": a hit is the same text) and mean Jaccard index of the statements of the first
        five, each beside chance and the majority baseline, and the macro AUROC of the statement head.
    """
    spec = trained.recipe.spec
    windows = np.stack([centre_window(signal, spec.window) for signal in ecgs.signals])
    embeddings = embed_images(trained.image.encoder, windows, spec)
    gallery = sorted({record.text for record in ecgs.records})
    reports = embed_texts(trained.text, trained.tokenizer, gallery)
    scores: NDArray[np.float32] = (embeddings @ reports.T).numpy()
    place = {text: i for i, text in enumerate(gallery)}
    own = np.array([place[record.text] for record in ecgs.records])
    statements = statement_matrix(ecgs.records, trained.codes)
    behind = np.stack([(statements[own == i] > 0).mean(axis=0) >= 0.5 for i in range(len(gallery))])
    random = np.random.default_rng(0)
    commonest = np.array([place[text] for text in majority if text in place][: RANKS[-1]])
    orders = {
        "model": np.argsort(-scores, axis=1)[:, : RANKS[-1]],
        "chance": np.stack([random.permutation(len(gallery))[: RANKS[-1]] for _ in own]),
        "majority": np.tile(commonest, (len(own), 1)),
    }
    with torch.no_grad():
        logits = trained.image.statements(embeddings * trained.image.scale).numpy()
    return {
        "ecgs": len(own),
        "gallery": len(gallery),
        "recall": {name: recall(order, own) for name, order in orders.items()},
        "jaccard@5": {
            name: jaccard(behind[order[:, :5]], statements > 0) for name, order in orders.items()
        },
        "macro_auroc": macro_auroc(logits, statements > 0),
    }


def recall(order: NDArray[np.int64], own: NDArray[np.int64]) -> dict[str, float]:
    """Return R@k in per cent of (ECGs, ranks) gallery places against each ECG's own."""
    hits = order == own[:, None]
    return {f"R@{k}": round(100.0 * float(hits[:, :k].any(axis=1).mean()), 2) for k in RANKS}


def jaccard(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Return the mean Jaccard index of (ECGs, hits, codes) against (ECGs, codes)."""
    shared = (found & true[:, None]).sum(axis=-1)
    either = (found | true[:, None]).sum(axis=-1)
    return round(float((shared / np.maximum(either, 1)).mean()), 4)


def macro_auroc(scores: NDArray[np.float32], true: NDArray[np.bool_]) -> float:
    """Return the mean AUROC of the columns that have `MIN_POSITIVE` of both kinds."""
    areas = []
    for column, labels in zip(scores.T, true.T, strict=True):
        positive, negative = int(labels.sum()), int((~labels).sum())
        if min(positive, negative) >= MIN_POSITIVE:
            ranks = rankdata(column)[labels].sum()
            areas.append((ranks - positive * (positive + 1) / 2) / (positive * negative))
    return round(float(np.mean(areas)), 4)
