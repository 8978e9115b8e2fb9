"""Embeds cleaned ECGs and descriptions of statements."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cardex.domain.ecg import Embedding, Image
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embedder import Embedder
from cardex.reports.ptbxl import StatementKind
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw, windows_of

AT_ONCE = 64


def embed_ecgs(embedder: Embedder, ecgs: Ecgs) -> Embedding:
    """Draw the ECGs' windows and embed them: (ECGs, E)."""
    return np.concatenate([embedder.images(some) for some in images_of(ecgs, embedder.specs)])


def images_of(ecgs: Ecgs, specs: Sequence[ImageSpec]) -> Iterator[Image]:
    """Draw the ECGs as the service would, some at a time.

    Args:
        ecgs: cleaned ECGs.
        specs: the images to draw of each.

    Yields:
        (B, height, width, channels) of one image; of more, (B, pixels) with all side by side.
    """
    signals = [ecgs.filtered_for(spec) for spec in specs]
    for first in range(0, len(ecgs.records), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        known = ecgs.calibrated[some]
        yield join_images(
            [
                draw(windows_of(own[some], spec), spec, known)
                for own, spec in zip(signals, specs, strict=True)
            ]
        )


def join_images(images: Sequence[Image]) -> Image:
    """Join images of the same ECGs, (B, height, width, channels) each, to (B, pixels).

    One image stays as it is.
    """
    if len(images) == 1:
        return images[0]
    return np.concatenate([image.reshape(len(image), -1) for image in images], axis=1)


def embed_prompts(embedder: Embedder, kinds: Mapping[str, StatementKind]) -> dict[str, Embedding]:
    """Embed the description of every statement: code to (E,) embedding."""
    codes = sorted(kinds)
    if not codes:
        return {}
    return dict(
        zip(codes, embedder.texts([kinds[code].description for code in codes]), strict=True)
    )
