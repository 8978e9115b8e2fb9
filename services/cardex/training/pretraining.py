"""Self-supervised pretraining: two views of one ECG are to be alike, and unlike those of others.

It is SimCLR (Chen et al. 2020): each ECG is augmented twice, and its two projections are to find
each other among all projections of the batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardex.training.image import draw_augmented
from cardex.training.image_encoder import Vit, pooled
from cardex.training.recipe import Augmentation
from cardex.training.recordings import Recordings
from cardex.training.trainer import Batch, Prepared

PROJECTION = 128
TEMPERATURE = 0.1


class ViewsTower(nn.Module):
    """A ViT with the projection head that only pretraining needs."""

    def __init__(self, encoder: Vit) -> None:
        """Prepare the pretraining of `encoder`."""
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(encoder.width, encoder.width),
            nn.GELU(),
            nn.Linear(encoder.width, PROJECTION),
        )

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Return the contrast of (B, H, W, C) uint8 views, of which equal rows are one ECG."""
        tokens = self.encoder.tokens(self.encoder.values(torch.cat([first, second])))
        views = F.normalize(self.head(pooled(tokens)).float(), dim=-1)  # (2B, P)
        return {"views": contrast_of_views(views, TEMPERATURE)}


def contrast_of_views(views: Tensor, temperature: float) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy (Chen et al. 2020, eq. 1), a scalar.

    Args:
        views: (2B, P) unit vectors; row i and row B + i are views of one ECG.
        temperature: scale of the similarities.
    """
    count = len(views)
    itself = torch.eye(count, dtype=torch.bool, device=views.device)
    logits = (views @ views.T / temperature).masked_fill(itself, -torch.inf)
    partner = (torch.arange(count, device=views.device) + count // 2) % count
    return F.cross_entropy(logits, partner)


def prepare_views(views: Sequence[Recordings], how: Augmentation, batch: Batch) -> Prepared:
    """Augment and draw each ECG of a batch twice: two tensors, as of `draw_augmented`."""
    return (
        torch.from_numpy(draw_augmented(views, how, batch)),
        torch.from_numpy(draw_augmented(views, how, batch)),
    )
