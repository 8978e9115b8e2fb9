"""Embeds cleaned ECGs and descriptions of statements."""

from collections.abc import Mapping

import numpy as np

from cardex.domain.ecg import Embedding, Signal
from cardex.evaluation.embedder import Embedder
from cardex.reports.ptbxl import StatementKind
from cardex.signals.images import draw, window_of

AT_ONCE = 64


def embed_ecgs(embedder: Embedder, signals: Signal) -> Embedding:
    """Cut windows from cleaned (ECGs, 12, samples) signals, draw and embed them: (ECGs, E)."""
    windows = np.stack([window_of(signal, embedder.spec) for signal in signals])
    parts = [
        embedder.images(draw(windows[first : first + AT_ONCE], embedder.spec))
        for first in range(0, len(windows), AT_ONCE)
    ]
    return np.concatenate(parts)


def embed_prompts(embedder: Embedder, kinds: Mapping[str, StatementKind]) -> dict[str, Embedding]:
    """Embed the description of every statement: code to (E,) embedding."""
    codes = sorted(kinds)
    if not codes:
        return {}
    return dict(
        zip(codes, embedder.texts([kinds[code].description for code in codes]), strict=True)
    )
