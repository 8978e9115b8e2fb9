"""Trains the report encoder to predict a report's statements and its wording vector.

It is trained on the reports of the training folds alone. Afterwards it is frozen, and the image
encoder is aligned to it (LiT, Zhai 2022), since there are 17,000 reports but only 4,500 waveforms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cardex.training.distributed import DistributedContext
from cardex.training.space import content_of_reports
from cardex.training.text_encoder import ReportEncoder
from cardex.training.tokens import PIECES
from cardex.training.trainer import Prepared

WHOLE = 0.1
"""Weight of the loss that tells reports from names; it is learned in the first hundred steps."""


@dataclass(frozen=True, slots=True)
class TextTargets:
    """What texts are trained towards.

    Attributes:
        statements: (texts, S) float32 probabilities.
        words: (texts, W) float32 unit wording vectors.
        whole: (texts,) float32, 1 for a whole report, 0 for the name of a statement.
    """

    statements: Tensor
    words: Tensor
    whole: Tensor


class TextTower(nn.Module):
    """A report encoder with the targets that only training needs."""

    def __init__(self, encoder: ReportEncoder, targets: TextTargets, weight: float) -> None:
        """Prepare the training of an encoder.

        Args:
            encoder: the model that is trained.
            targets: what its texts are trained towards.
            weight: of the statements' loss; the wording's is 1.
        """
        super().__init__()
        self.encoder = encoder
        self.weight = weight
        self.register_buffer("statements", targets.statements, persistent=False)
        self.register_buffer("words", targets.words, persistent=False)
        self.register_buffer("whole", targets.whole, persistent=False)

    def forward(self, ids: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return the losses by name of (B, n) int32 token ids, the rows (B,) of the targets."""
        log_odds, found, whole = self.encoder.read(ids)
        return {
            "statements": self.weight
            * F.binary_cross_entropy_with_logits(log_odds, self.statements[rows]),
            "wording": (1.0 - (found * self.words[rows]).sum(dim=-1)).mean(),
            "whole": WHOLE * F.binary_cross_entropy_with_logits(whole, self.whole[rows]),
        }


def prepare_text(ids: NDArray[np.int32], rows: NDArray[np.int64]) -> Prepared:
    """Return a batch's (B, length) token ids, cut to its longest report, and its targets' rows."""
    longest = max(1, int((ids != PIECES.pad).sum(axis=1).max()))
    return torch.from_numpy(ids[:, :longest].copy()), torch.from_numpy(rows)


@torch.no_grad()
def read_texts(
    encoder: ReportEncoder, ids: NDArray[np.int32], distributed: DistributedContext
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what an encoder says of (reports, length) token ids.

    Returns:
        (reports, E) embeddings, (reports, S + W) contents, and (reports, W) wording vectors.
    """
    encoder.to(distributed.device).eval()
    order = np.argsort(sizes(ids), kind="stable")  # reports of like length: hardly any padding
    parts = []
    for first in range(0, len(ids), 256):
        rows = order[first : first + 256]
        (own, _) = prepare_text(ids[rows], rows)
        log_odds, wording, whole = encoder.read(own.to(distributed.device))
        found = (
            encoder.join(log_odds, wording, whole),
            content_of_reports(torch.sigmoid(log_odds), wording),
            wording,
        )
        parts.append([tensor.cpu() for tensor in found])
    back = torch.from_numpy(np.argsort(order))
    embeddings, contents, wordings = (torch.cat(each)[back] for each in zip(*parts, strict=True))
    return embeddings, contents, wordings


def sizes(ids: NDArray[np.int32]) -> Sequence[int]:
    """Return the number of tokens of each report, without padding."""
    return [int(count) for count in (ids != PIECES.pad).sum(axis=1)]
