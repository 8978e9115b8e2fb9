"""The encoders, a ViT for ECG images and a BERT-style transformer for reports, and their space."""

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardex.domain.errors import CardexError


class TowerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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


PRESETS = {
    "cpu": TowerConfig(width=192, depth=4, heads=6),
    "tiny": TowerConfig(width=192, depth=12, heads=3),
    "small": TowerConfig(width=384, depth=12, heads=6),
    "base": TowerConfig(width=768, depth=12, heads=12),
}
"""ViT-Ti, ViT-S and ViT-B (Touvron 2021, Dosovitskiy 2021), and "cpu", a size that two cores can
train and serve. Qiu et al. (ML4H 2023) have "base" with patches of 16 at 384 pixels."""


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
        self.drop = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (B, N, D) to (B, N, D); `mask` (B, 1, 1, N) is True for tokens to attend to."""
        return self.feed(self.attend(tokens, mask))

    def attend(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Add multi-head self-attention to (B, N, D) tokens; `mask` as for `forward`."""
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, N, D/H)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return tokens + self.drop(self.out(seen.transpose(1, 2).reshape(batch, count, width)))

    def feed(self, tokens: Tensor) -> Tensor:
        """Add the feed-forward network's output to (B, N, D) tokens."""
        return tokens + self.drop(self.down(F.gelu(self.up(self.norm2(tokens)))))


class StatementSpace(nn.Module):
    """The shared space: one axis for each statement, the others for the wording.

    On the statement axes an ECG's vector u has the log-odds of its statements, minus a share of the
    prior log-odds; a report's vector y has the probabilities that it states them. So u . y sums the
    ECG's evidence for the report's statements. The other axes add `WORDING_WEIGHT` times the cosine
    of the wordings. The last two axes fill vectors up to one length for all ECGs and one for all
    reports, so that cosines order like these sums, for ECGs and for reports.
    """

    FILLING = 2

    def __init__(self, config: TowerConfig, statements: int) -> None:
        """Build both projections from a token of `config.width`.

        Raises:
            CardexError: if `config.embedding` leaves no axis for the wording.
        """
        super().__init__()
        words = config.embedding - statements - self.FILLING
        if words < 1:
            raise CardexError(
                f"an embedding of {config.embedding} has no room for {statements} statements, the"
                " wording and two more: choose a larger one"
            )
        self.norm = nn.LayerNorm(config.width)
        self.statements = nn.Linear(config.width, statements)
        self.wording = nn.Linear(config.width, words)

    def forward(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, D) to statement log-odds (B, S) and unit wording vectors (B, W)."""
        token = self.norm(token)
        return self.statements(token), F.normalize(self.wording(token), dim=-1)


WORDING_WEIGHT = 20.0
PRIOR_SHARE = 0.8
ECG_LENGTH = 3600.0
"""Squared length of an ECG's vector with its filling axis; without, it is about 1000."""
REPORT_LENGTH = 10.0
"""Squared length of a report's vector: up to nine certain statements, and the wording."""


def ecg_embedding(log_odds: Tensor, wording: Tensor) -> Tensor:
    """Join (B, S) log-odds and (B, W) wording: (B, S + W + 2) unit vectors."""
    vector = torch.cat([log_odds, WORDING_WEIGHT * wording], dim=-1)
    rest = _rest(ECG_LENGTH, vector)
    return F.normalize(torch.cat([vector, rest, torch.zeros_like(rest)], dim=-1), dim=-1)


def report_embedding(probabilities: Tensor, wording: Tensor) -> Tensor:
    """Join (B, S) probabilities and (B, W) wording: (B, S + W + 2) unit vectors."""
    vector = torch.cat([probabilities, wording], dim=-1)
    rest = _rest(REPORT_LENGTH, vector)
    return F.normalize(torch.cat([vector, torch.zeros_like(rest), rest], dim=-1), dim=-1)


def _rest(length: float, vector: Tensor) -> Tensor:
    return (length - vector.square().sum(dim=-1, keepdim=True)).clamp(min=0.0).sqrt()


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
    """ViT over the ECG image: a raster by convolutions, any other image in square patches."""

    def __init__(
        self, config: TowerConfig, shape: tuple[int, int, int], patch: int, prior: Tensor
    ) -> None:
        """Build for uint8 images of `shape` (height, width, channels).

        Args:
            config: size of the tower.
            shape: height, width and channels of an image.
            patch: side of a patch in pixels; 0 for a raster, whose rows are leads.
            prior: (S,) log-odds of each statement among the training ECGs. `PRIOR_SHARE` of it is
                subtracted for retrieval, so that the commonest statements do not decide it.

        Raises:
            CardexError: if `patch` does not divide height and width, or a raster has channels.
        """
        super().__init__()
        height, width, channels = shape
        self.stem: nn.Module
        if patch:
            if height % patch or width % patch:
                raise CardexError(
                    f"patch {patch} does not fill an image of {height} x {width}: choose a divisor"
                )
            self.stem = PatchStem(config.width, patch, channels)
            count = (height // patch) * (width // patch)
        elif channels > 1:
            raise CardexError(f"an image of {channels} channels is no raster: choose a patch")
        else:
            self.stem = RasterStem(config.width, height)
            count = -(-width // RasterStem.STRIDE)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.width))
        self.position = nn.Parameter(0.02 * torch.randn(1, count + 1, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.space = StatementSpace(config, len(prior))
        self.register_buffer("offset", PRIOR_SHARE * prior)

    def tokens(self, image: Tensor) -> Tensor:
        """Map (B, height, width, channels), 0 to 255, to tokens (B, 1 + N, D), [CLS] first."""
        pixels = image.to(self.cls.dtype) / 127.5 - 1.0
        tokens = self.stem(pixels)  # (B, N, D)
        tokens = (
            torch.cat([self.cls.expand(tokens.shape[0], -1, -1), tokens], dim=1) + self.position
        )
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, height, width, channels), 0 to 255, to statement log-odds and wording."""
        log_odds, wording = self.space(pooled(self.tokens(image)))
        return log_odds, wording

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, height, width, channels) uint8 to (B, embedding) unit vectors."""
        return self.join(*self.read(image))

    def join(self, log_odds: Tensor, wording: Tensor) -> Tensor:
        """Make embeddings from the outputs of `read`: (B, embedding) unit vectors."""
        return ecg_embedding(log_odds - self.offset, wording)


def pooled(tokens: Tensor) -> Tensor:
    """Return [CLS] plus the mean of the other tokens of (B, 1 + N, D): (B, D)."""
    return tokens[:, 0] + tokens[:, 1:].mean(dim=1)


class ReportEncoder(nn.Module):
    """Base of the report encoders: the first token's state is projected to the shared space."""

    space: StatementSpace

    def tokens(self, token_ids: Tensor) -> Tensor:
        """Map (B, n) int32, 0 where padded, to tokens (B, n, D), [CLS] first."""
        raise NotImplementedError

    def read(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, n) int32 to statement log-odds and wording."""
        log_odds, wording = self.space(self.tokens(token_ids)[:, 0])
        return log_odds, wording

    def forward(self, token_ids: Tensor) -> Tensor:
        """Map (B, length) int32 to (B, embedding) unit vectors."""
        return self.join(*self.read(token_ids))

    def join(self, log_odds: Tensor, wording: Tensor) -> Tensor:
        """Make embeddings from the outputs of `read`: (B, embedding) unit vectors."""
        return report_embedding(torch.sigmoid(log_odds), wording)


class TextEncoder(ReportEncoder):
    """BERT-style encoder (Devlin 2019) over WordPiece ids; id 0 is padding, the first is [CLS]."""

    def __init__(self, config: TowerConfig, vocabulary: int, length: int, statements: int) -> None:
        """Build for `vocabulary` ids, reports of `length` tokens and `statements` axes."""
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(vocabulary, config.width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.position = nn.Parameter(0.02 * torch.randn(1, length, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.space = StatementSpace(config, statements)

    def tokens(self, token_ids: Tensor) -> Tensor:
        """Map (B, n) int32, n up to `length`, to tokens (B, n, D), [CLS] first."""
        mask = (token_ids != 0)[:, None, None, :]
        tokens = self.embed(token_ids) + self.position[:, : token_ids.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens
