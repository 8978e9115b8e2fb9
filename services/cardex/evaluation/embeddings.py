"""Embeds cleaned ECGs and descriptions of statements."""

from collections.abc import Iterator, Mapping

import numpy as np

from cardex.domain.ecg import Embedding, Image
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embedder import Embedder
from cardex.reports.ptbxl import StatementKind
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw, window_of

AT_ONCE = 64


def embed_ecgs(embedder: Embedder, ecgs: Ecgs) -> Embedding:
    """Draw the ECGs' windows and embed them: (ECGs, E)."""
    return np.concatenate([embedder.images(some) for some in images_of(ecgs, embedder.spec)])


def images_of(ecgs: Ecgs, spec: ImageSpec) -> Iterator[Image]:
    """Draw the ECGs as the service would, some at a time: (B, height, width, channels) each."""
    signals = ecgs.filtered_for(spec)
    for first in range(0, len(signals), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        windows = np.stack([window_of(signal, spec) for signal in signals[some]])
        yield draw(windows, spec, ecgs.calibrated[some])


def embed_prompts(embedder: Embedder, kinds: Mapping[str, StatementKind]) -> dict[str, Embedding]:
    """Embed the description of every statement: code to (E,) embedding."""
    codes = sorted(kinds)
    if not codes:
        return {}
    return dict(
        zip(codes, embedder.texts([kinds[code].description for code in codes]), strict=True)
    )
