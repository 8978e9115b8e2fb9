"""Embeds cleaned ECGs and descriptions of statements."""

from collections.abc import Mapping

import numpy as np

from cardex.domain.ecg import Embedding
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embedder import Embedder
from cardex.reports.ptbxl import StatementKind
from cardex.signals.images import draw, window_of

AT_ONCE = 64


def embed_ecgs(embedder: Embedder, ecgs: Ecgs) -> Embedding:
    """Draw the ECGs' windows and embed them: (ECGs, E)."""
    parts = []
    for first in range(0, len(ecgs.records), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        windows = np.stack([window_of(signal, embedder.spec) for signal in ecgs.signals[some]])
        parts.append(embedder.images(draw(windows, embedder.spec, ecgs.calibrated[some])))
    return np.concatenate(parts)


def embed_prompts(embedder: Embedder, kinds: Mapping[str, StatementKind]) -> dict[str, Embedding]:
    """Embed the description of every statement: code to (E,) embedding."""
    codes = sorted(kinds)
    if not codes:
        return {}
    return dict(
        zip(codes, embedder.texts([kinds[code].description for code in codes]), strict=True)
    )
