"""The two encoders: a ViT for ECG images and a BERT-style transformer for reports."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class TowerConfig:
    """Size of one transformer tower.

    Attributes:
        width: token dimension D.
        depth: number of blocks.
        heads: attention heads, a divisor of `width`.
        embedding: dimension of the shared space.
        dropout: in attention output and feed-forward.
    """

    width: int
    depth: int
    heads: int
    embedding: int = 256
    dropout: float = 0.1


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: TowerConfig) -> None:
        """Build the block of one tower."""
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, 4 * config.width)
        self.down = nn.Linear(4 * config.width, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (B, N, D) to (B, N, D); `mask` (B, 1, 1, N) is True where a token may be seen."""
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, N, D/H)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        tokens = tokens + self.drop(self.out(seen.transpose(1, 2).reshape(batch, count, width)))
        return tokens + self.drop(self.down(F.gelu(self.up(self.norm2(tokens)))))


class Head(nn.Module):
    """[CLS] to a unit vector of the shared space."""

    def __init__(self, config: TowerConfig) -> None:
        """Build the projection of one tower."""
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.embedding)

    def forward(self, cls: Tensor) -> Tensor:
        """Map (B, D) to (B, embedding), L2-normalised."""
        return F.normalize(self.project(self.norm(cls)), dim=-1)


class ImageEncoder(nn.Module):
    """ViT (Dosovitskiy 2021) over the uint8 ECG image."""

    def __init__(self, config: TowerConfig, height: int, width: int, patch: int) -> None:
        """Build for images of `height` x `width` in patches of `patch` pixels."""
        super().__init__()
        self.patch = patch
        count = (height // patch) * (width // patch)
        self.embed = nn.Linear(3 * patch * patch, config.width)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.width))
        self.position = nn.Parameter(0.02 * torch.randn(1, count + 1, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.head = Head(config)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, height, width, 3) uint8 to (B, embedding) unit vectors."""
        patch = self.patch
        batch, height, width, channels = image.shape
        pixels = image.to(self.embed.weight.dtype) / 127.5 - 1.0
        grid = pixels.view(batch, height // patch, patch, width // patch, patch * channels)
        tokens = grid.transpose(2, 3).reshape(batch, -1, patch * patch * channels)  # (B, N, P)
        tokens = torch.cat([self.cls.expand(batch, -1, -1), self.embed(tokens)], dim=1)
        tokens = tokens + self.position
        for block in self.blocks:
            tokens = block(tokens)
        embedding: Tensor = self.head(tokens[:, 0])
        return embedding


class TextEncoder(nn.Module):
    """BERT-style encoder (Devlin 2019) over WordPiece ids; id 0 is padding, the first is [CLS]."""

    def __init__(self, config: TowerConfig, vocabulary: int, length: int) -> None:
        """Build for `vocabulary` ids and reports of `length` tokens."""
        super().__init__()
        self.embed = nn.Embedding(vocabulary, config.width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.position = nn.Parameter(0.02 * torch.randn(1, length, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.head = Head(config)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Map (B, length) int32 to (B, embedding) unit vectors."""
        mask = (token_ids != 0)[:, None, None, :]
        tokens = self.embed(token_ids) + self.position
        for block in self.blocks:
            tokens = block(tokens, mask)
        embedding: Tensor = self.head(tokens[:, 0])
        return embedding
