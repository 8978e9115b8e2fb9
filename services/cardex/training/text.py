"""The report encoder's tower: which statements a report makes, and how it is worded.

It learns from the reports of the training folds alone. It is then locked and the image encoder is aligned to
it (LiT, Zhai 2022), which suits 17,000 reports and only 3,000 waveforms.
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
    """The encoder with the targets that only training uses."""

    def __init__(
        self, encoder: ReportEncoder, statements: Tensor, words: Tensor, weight: float
    ) -> None:
        """Train `encoder` towards (reports, S) statements and (reports, W) unit wording vectors."""
        super().__init__()
        self.encoder = encoder
        self.weight = weight
        self.register_buffer("statements", statements, persistent=False)
        self.register_buffer("words", words, persistent=False)

    def forward(self, ids: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return the losses of (B, n) ids, the reports `rows`."""
        log_odds, found = self.encoder.read(ids)
        return {
            "statements": self.weight
            * F.binary_cross_entropy_with_logits(log_odds, self.statements[rows]),
            "wording": (1.0 - (found * self.words[rows]).sum(dim=-1)).mean(),
        }


def prepare_text(ids: NDArray[np.int32], batch: Batch) -> Prepared:
    """Cut a batch of (reports, length) ids to its longest report."""
    own = ids[batch.samples]
    longest = max(1, int((own != PIECES.pad).sum(axis=1).max()))
    return torch.from_numpy(own[:, :longest].copy()), torch.from_numpy(batch.samples)


@torch.no_grad()
def read_texts(
    encoder: ReportEncoder, ids: NDArray[np.int32], distributed: DistributedContext
) -> tuple[Tensor, Tensor]:
    """Return embeddings (reports, embedding) and wordings (reports, W) of ids, on the CPU."""
    encoder.to(distributed.device).eval()
    embeddings, wordings = [], []
    for first in range(0, len(ids), 256):
        part = torch.from_numpy(ids[first : first + 256]).to(distributed.device)
        log_odds, wording = encoder.read(part)
        embeddings.append(encoder.join(log_odds, wording).cpu())
        wordings.append(wording.cpu())
    return torch.cat(embeddings), torch.cat(wordings)


def sizes(ids: NDArray[np.int32]) -> Sequence[int]:
    """Return how many tokens each report has."""
    return [int(count) for count in (ids != PIECES.pad).sum(axis=1)]
