"""The two encoders, a ViT for ECG images and a BERT-style transformer for reports, and their space."""

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


class StatementSpace(nn.Module):
    """The shared space: one axis for each statement, the others for the wording.

    An ECG's vector u on the statement axes holds the log-odds of its statements, a report's y their
    probabilities, so that u . y is what the ECG says for the report's statements; the wordings add
    `WORDING_WEIGHT` times their cosine. A report's last axis fills its length up to a constant, which
    makes the cosine of two unit vectors order reports as that sum does.
    """

    def __init__(self, config: TowerConfig, statements: int) -> None:
        """Build both projections from a token of `config.width`."""
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.statements = nn.Linear(config.width, statements)
        self.wording = nn.Linear(config.width, config.embedding - statements - 1)

    def forward(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, D) to statement log-odds (B, S) and a unit wording vector (B, embedding - S - 1)."""
        token = self.norm(token)
        return self.statements(token), F.normalize(self.wording(token), dim=-1)


WORDING_WEIGHT = 5.0
REPORT_LENGTH = 10.0
"""Squared length of every report before it is made a unit vector: nine sure statements, one wording."""


def ecg_embedding(log_odds: Tensor, wording: Tensor) -> Tensor:
    """Join (B, S) log-odds and (B, W) wording: (B, S + W + 1) unit vectors."""
    blank = torch.zeros_like(log_odds[:, :1])
    return F.normalize(torch.cat([log_odds, WORDING_WEIGHT * wording, blank], dim=-1), dim=-1)


def report_embedding(probabilities: Tensor, wording: Tensor) -> Tensor:
    """Join (B, S) probabilities and (B, W) wording: (B, S + W + 1) unit vectors."""
    stated = probabilities.square().sum(dim=-1, keepdim=True)
    rest = (REPORT_LENGTH - 1.0 - stated).clamp(min=0.0).sqrt()
    return F.normalize(torch.cat([probabilities, wording, rest], dim=-1), dim=-1)


class RasterStem(nn.Module):
    """Convolutions in time over the leads (early convolutions, Xiao 2021): a token every 0.16 s."""

    STRIDE = 16

    def __init__(self, width: int, leads: int) -> None:
        """Build for `leads` rows and tokens of `width`."""
        super().__init__()
        widths = (leads, 64, 96, 128, width)
        kernels = (7, 5, 5, 3)
        layers: list[nn.Module] = []
        for before, after, kernel in zip(widths[:-1], widths[1:], kernels, strict=True):
            layers += [
                nn.Conv1d(before, after, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(after),
                nn.GELU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, leads, samples, 1) to tokens (B, N, D)."""
        tokens: Tensor = self.layers(pixels.squeeze(-1)).transpose(1, 2)
        return tokens


class PatchStem(nn.Module):
    """Square patches, each projected to a token (Dosovitskiy 2021)."""

    def __init__(self, width: int, patch: int, channels: int) -> None:
        """Build for patches of `patch` pixels and tokens of `width`."""
        super().__init__()
        self.patch = patch
        self.project = nn.Linear(channels * patch * patch, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, height, width, channels) to tokens (B, N, D)."""
        patch = self.patch
        batch, height, width, channels = pixels.shape
        grid = pixels.view(batch, height // patch, patch, width // patch, patch * channels)
        tokens: Tensor = self.project(
            grid.transpose(2, 3).reshape(batch, -1, patch * patch * channels)
        )
        return tokens


class ImageEncoder(nn.Module):
    """ViT over the ECG image: a raster by its stem, any other image in square patches."""

    def __init__(
        self, config: TowerConfig, shape: tuple[int, int, int], patch: int, prior: Tensor
    ) -> None:
        """Build for uint8 images of `shape` (height, width, channels).

        Args:
            config: size of the tower.
            shape: of one image.
            patch: side of a patch in pixels; 0 takes the image as a raster.
            prior: (S,) log-odds of each statement among the training ECGs. Half of it is taken off in
                retrieval, which keeps the commonest statements from deciding every search.
        """
        super().__init__()
        height, width, channels = shape
        self.stem: nn.Module
        if patch:
            self.stem = PatchStem(config.width, patch, channels)
            count = (height // patch) * (width // patch)
        else:
            self.stem = RasterStem(config.width, height)
            count = -(-width // RasterStem.STRIDE)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.width))
        self.position = nn.Parameter(0.02 * torch.randn(1, count + 1, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.space = StatementSpace(config, len(prior))
        self.register_buffer("offset", prior / 2)

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, height, width, channels) uint8 to statement log-odds and wording."""
        pixels = image.to(self.cls.dtype) / 127.5 - 1.0
        tokens = self.stem(pixels)  # (B, N, D)
        tokens = (
            torch.cat([self.cls.expand(tokens.shape[0], -1, -1), tokens], dim=1) + self.position
        )
        for block in self.blocks:
            tokens = block(tokens)
        log_odds, wording = self.space(tokens[:, 0] + tokens[:, 1:].mean(dim=1))
        return log_odds, wording

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, height, width, channels) uint8 to (B, embedding) unit vectors."""
        return self.join(*self.read(image))

    def join(self, log_odds: Tensor, wording: Tensor) -> Tensor:
        """Make the embeddings of what `read` returned: (B, embedding) unit vectors."""
        return ecg_embedding(log_odds - self.offset, wording)


class TextEncoder(nn.Module):
    """BERT-style encoder (Devlin 2019) over WordPiece ids; id 0 is padding, the first is [CLS]."""

    def __init__(self, config: TowerConfig, vocabulary: int, length: int, statements: int) -> None:
        """Build for `vocabulary` ids, reports of `length` tokens and `statements` axes."""
        super().__init__()
        self.embed = nn.Embedding(vocabulary, config.width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.position = nn.Parameter(0.02 * torch.randn(1, length, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.space = StatementSpace(config, statements)

    def read(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, length) int32 to statement log-odds and wording."""
        mask = (token_ids != 0)[:, None, None, :]
        tokens = self.embed(token_ids) + self.position
        for block in self.blocks:
            tokens = block(tokens, mask)
        log_odds, wording = self.space(tokens[:, 0])
        return log_odds, wording

    def forward(self, token_ids: Tensor) -> Tensor:
        """Map (B, length) int32 to (B, embedding) unit vectors."""
        return self.join(*self.read(token_ids))

    def join(self, log_odds: Tensor, wording: Tensor) -> Tensor:
        """Make the embeddings of what `read` returned: (B, embedding) unit vectors."""
        return report_embedding(torch.sigmoid(log_odds), wording)
