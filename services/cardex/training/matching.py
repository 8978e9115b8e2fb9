"""Trains the matcher: match or no match, and masked words of the report (Qiu et al. 2023)."""

import torch
from torch import Tensor, nn

from cardex.training import losses
from cardex.training.image_encoder import ImageEncoder
from cardex.training.matcher import Matcher
from cardex.training.tokens import PIECES


def fused_losses(
    matcher: Matcher, tokens: Tensor, ids: Tensor, own: Tensor, similarity: Tensor
) -> dict[str, Tensor]:
    """Return matching and language losses of a batch.

    Args:
        matcher: the multimodal encoder.
        tokens: (B, 1 + N, D) of the image encoder.
        ids: (B, M) int32, each ECG's own report.
        own: (B,) int64, row of that report in the bank; equal rows are not negatives.
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
    """The matcher over an image encoder that is not trained."""

    def __init__(
        self, matcher: Matcher, own: Tensor, bank: Tensor, bank_ids: Tensor, language: float
    ) -> None:
        """Train `matcher` on ECGs whose reports are `own` of the bank.

        Args:
            matcher: the model; its image encoder is frozen here.
            own: (ECGs,) int64, row of each ECG's report in the bank.
            bank: (reports, E) embeddings, by which hard negatives are drawn from all reports.
            bank_ids: (reports, M) int32.
            language: weight of the masked words' loss.
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
        """Return the losses by name; arguments as for `ImageTower.forward`, without mixup."""
        encoder = self.matcher.image.eval()
        assert isinstance(encoder, ImageEncoder)
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
        """Draw `NEGATIVES` other reports from the `POOL` nearest of each ECG: (B, NEGATIVES)."""
        similarity = similarity.scatter(1, own[:, None], -torch.inf)
        nearest = similarity.topk(min(POOL, similarity.shape[1] - 1), dim=1).indices
        count = min(NEGATIVES, nearest.shape[1])
        chosen = torch.rand(nearest.shape, device=nearest.device).topk(count, dim=1).indices
        return nearest.gather(1, chosen)


POOL = 128
"""Number of candidate reports that are re-ranked (k in Qiu et al. 2023)."""
NEGATIVES = 5


def trimmed(ids: Tensor) -> Tensor:
    """Cut (B, M) token ids, padded with 0, to the longest report's length."""
    return ids[:, : max(1, int((ids != PIECES.pad).sum(dim=1).max()))]
