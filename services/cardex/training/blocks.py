"""Transformer blocks, and the sizes of the encoders that are built of them."""

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TowerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size of one transformer tower.

    Attributes:
        width: token dimension D.
        depth: number of blocks.
        heads: attention heads, a divisor of `width`.
        embedding: dimension of the shared space.
        dropout: share of channels that a training step leaves out of each residual branch.
    """

    width: int
    depth: int
    heads: int
    embedding: int = 256
    dropout: float = 0.1


PRESETS = {
    "cpu": TowerConfig(width=192, depth=4, heads=6),
    "tiny": TowerConfig(width=192, depth=12, heads=3),
    "small": TowerConfig(width=384, depth=12, heads=6),
    "base": TowerConfig(width=768, depth=12, heads=12),
}
"""ViT-Ti, ViT-S and ViT-B (Touvron 2021, Dosovitskiy 2021), and "cpu", a size that two cores can
train and serve. Qiu et al. (ML4H 2023) have "base" with patches of 16 at 384 pixels."""


class ChannelDropout(nn.Module):
    """Dropout of whole channels: a channel is left out of all tokens of a sample, or of none.

    It needs one random number for each channel of a sample, where dropout of single values needs
    one for each token too, which took a tenth of a training's time on a CPU.
    """

    def __init__(self, share: float) -> None:
        """Leave out `share` of the channels in training; the others are scaled up for it."""
        super().__init__()
        self.share = share

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        if not self.training or not self.share:
            return tokens
        keep = 1.0 - self.share
        shape = (tokens.shape[0], 1, tokens.shape[2])
        mask = torch.empty(shape, dtype=tokens.dtype, device=tokens.device).bernoulli_(keep)
        return tokens * (mask / keep)


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: TowerConfig) -> None:
        """Build a block of a tower of size `config`."""
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, 4 * config.width)
        self.down = nn.Linear(4 * config.width, config.width)
        self.drop = ChannelDropout(config.dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (B, N, D) to (B, N, D); `mask` (B, 1, 1, N) is True for tokens to attend to."""
        return self.feed(self.attend(tokens, mask))

    def attend(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Add multi-head self-attention to (B, N, D) tokens; `mask` as for `forward`."""
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, N, D/H)
        seen = attention(query, key, value, mask)
        return tokens + self.drop(self.out(seen.transpose(1, 2).reshape(batch, count, width)))

    def feed(self, tokens: Tensor) -> Tensor:
        """Add the feed-forward network's output to (B, N, D) tokens."""
        return tokens + self.drop(self.down(F.gelu(self.up(self.norm2(tokens)))))


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return softmax(q k / sqrt(d)) v for (B, H, N, d) queries and (B, H, M, d) keys and values.

    It is written out because the backward pass of torch's fused kernel is slow in bfloat16 on a
    CPU: for 64 tokens it took half of a training step.

    Args:
        query: (B, H, N, d).
        key: (B, H, M, d).
        value: (B, H, M, d).
        mask: broadcast to (B, H, N, M), True for what may be attended to; None for everything.
    """
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, H, N, M)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1) @ value
