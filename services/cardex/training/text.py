"""Trains the report encoder to predict a report's statements and its wording vector.

It is trained on the reports of the training folds alone. Afterwards it is frozen, and the image
encoder is aligned to it (LiT, Zhai 2022), since there are 17,000 reports but only 3,000 waveforms.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cardex.training.distributed import DistributedContext
from cardex.training.models import ReportEncoder
from cardex.training.tokens import PIECES
from cardex.training.trainer import Batch, Prepared


class TextTower(nn.Module):
    """A report encoder with the targets that only training needs."""

    def __init__(
        self, encoder: ReportEncoder, statements: Tensor, words: Tensor, weight: float
    ) -> None:
        """Prepare the training of an encoder.

        Args:
            encoder: the model that is trained.
            statements: (reports, S) float32 probabilities.
            words: (reports, W) float32 unit wording vectors.
            weight: of the statements' loss; the wording's is 1.
        """
        super().__init__()
        self.encoder = encoder
        self.weight = weight
        self.register_buffer("statements", statements, persistent=False)
        self.register_buffer("words", words, persistent=False)

    def forward(self, ids: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return the losses by name of (B, n) int32 token ids, the rows (B,) of the targets."""
        log_odds, found = self.encoder.read(ids)
        return {
            "statements": self.weight
            * F.binary_cross_entropy_with_logits(log_odds, self.statements[rows]),
            "wording": (1.0 - (found * self.words[rows]).sum(dim=-1)).mean(),
        }


def prepare_text(ids: NDArray[np.int32], batch: Batch) -> Prepared:
    """Return a batch's token ids, cut to its longest report, and their rows."""
    own = ids[batch.samples]
    longest = max(1, int((own != PIECES.pad).sum(axis=1).max()))
    return torch.from_numpy(own[:, :longest].copy()), torch.from_numpy(batch.samples)


@torch.no_grad()
def read_texts(
    encoder: ReportEncoder, ids: NDArray[np.int32], distributed: DistributedContext
) -> tuple[Tensor, Tensor]:
    """Return embeddings (reports, E) and wording vectors (reports, W) of (reports, length) ids."""
    encoder.to(distributed.device).eval()
    embeddings, wordings = [], []
    for first in range(0, len(ids), 256):
        part = torch.from_numpy(ids[first : first + 256]).to(distributed.device)
        log_odds, wording = encoder.read(part)
        embeddings.append(encoder.join(log_odds, wording).cpu())
        wordings.append(wording.cpu())
    return torch.cat(embeddings), torch.cat(wordings)


def sizes(ids: NDArray[np.int32]) -> Sequence[int]:
    """Return the number of tokens of each report, without padding."""
    return [int(count) for count in (ids != PIECES.pad).sum(axis=1)]
