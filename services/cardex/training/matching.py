"""The matcher's tower: match or no match, and the words masked in a report (P1)."""

import torch
from torch import Tensor, nn

from cardex.training import losses
from cardex.training.matcher import Matcher
from cardex.training.models import ImageEncoder
from cardex.training.tokens import PIECES


def fused_losses(
    matcher: Matcher, tokens: Tensor, ids: Tensor, own: Tensor, similarity: Tensor
) -> dict[str, Tensor]:
    """Return matching and language losses of a batch.

    Args:
        matcher: the multimodal encoder.
        tokens: (B, 1 + N, D) of the image encoder.
        ids: (B, M) int32, each ECG's own report.
        own: (B,) int64, which report that is: equal ones are no negatives.
        similarity: (B, B) of ECGs and reports, by which hard negatives are drawn.
    """
    seen = matcher.bridge(tokens)
    same = own[:, None] == own[None]
    reports, valid = losses.hard_negatives(similarity.detach().float(), same, None)
    ecgs, reverse_valid = losses.hard_negatives(similarity.detach().float().T, same.T, None)
    logits = torch.cat(
        [
            matcher.score(seen, ids),
            matcher.score(seen, ids[reports])[valid],
            matcher.score(seen[ecgs], ids)[reverse_valid],
        ]
    )
    labels = torch.zeros_like(logits)
    labels[: len(ids)] = 1.0
    count = matcher.embed.num_embeddings
    masked, wanted = losses.mask_tokens(ids, count, PIECES.mask, None)
    words = matcher.language(matcher.fuse(seen, masked))
    return {"matching": losses.matching(logits, labels), "language": losses.language(words, wanted)}


class MatcherTower(nn.Module):
    """The matcher over a locked image encoder."""

    def __init__(
        self, matcher: Matcher, own: Tensor, bank: Tensor, bank_ids: Tensor, language: float
    ) -> None:
        """Train `matcher` on ECGs whose reports are `own` of the bank.

        Args:
            matcher: its image encoder is locked here.
            own: (ECGs,) int64.
            bank: (reports, E) embeddings, by which hard negatives are drawn from all reports.
            bank_ids: (reports, M) int32.
            language: weight of the masked words.
        """
        super().__init__()
        self.matcher = matcher
        self.matcher.image.requires_grad_(False)
        self.weight = language
        self.register_buffer("own", own, persistent=False)
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("bank_ids", bank_ids, persistent=False)

    def forward(
        self, images: Tensor, rows: Tensor, partner: Tensor, share: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of (B, H, W, C) uint8 images of the ECGs `rows`; nothing is mixed."""
        encoder: ImageEncoder = self.matcher.image.eval()
        with torch.no_grad():
            tokens = encoder.tokens(images)
            similarity = encoder(images) @ self.bank.T  # (B, reports)
        own = self.own[rows]
        seen = self.matcher.bridge(tokens)
        drawn = self._negatives(similarity, own)  # (B, NEGATIVES)
        candidates = torch.cat([own[:, None], drawn], dim=1)  # (B, 1 + NEGATIVES)
        count = candidates.shape[1]
        ids = trimmed(self.bank_ids[candidates.reshape(-1)])
        logits = self.matcher.score(seen.repeat_interleave(count, dim=0), ids).view(-1, count)
        masked, wanted = losses.mask_tokens(
            trimmed(self.bank_ids[own]), self.matcher.embed.num_embeddings, PIECES.mask, None
        )
        words = self.matcher.language(self.matcher.fuse(seen, masked))
        labels = torch.zeros_like(logits)
        labels[:, 0] = 1.0
        return {
            "matching": losses.contrast(logits.float(), labels) + losses.matching(logits, labels),
            "language": self.weight * losses.language(words, wanted),
        }

    def _negatives(self, similarity: Tensor, own: Tensor) -> Tensor:
        """Draw for each ECG other reports from its nearest."""
        similarity = similarity.scatter(1, own[:, None], -torch.inf)
        nearest = similarity.topk(min(POOL, similarity.shape[1] - 1), dim=1).indices
        count = min(NEGATIVES, nearest.shape[1])
        chosen = torch.rand(nearest.shape, device=nearest.device).topk(count, dim=1).indices
        return nearest.gather(1, chosen)


POOL = 128
"""The candidates that are re-ranked (P1's k)."""
NEGATIVES = 5


def trimmed(ids: Tensor) -> Tensor:
    """Cut (B, M) ids to their longest."""
    return ids[:, : max(1, int((ids != PIECES.pad).sum(dim=1).max()))]
