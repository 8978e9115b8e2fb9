"""The image encoder: one ViT or several over the image of an ECG, whose answers are averaged."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardex.domain.errors import CardexError
from cardex.training.blocks import Block, TowerConfig
from cardex.training.space import (
    PRIOR_SHARE,
    Margin,
    StatementSpace,
    content_of_ecgs,
    ecg_embedding,
)


class RasterStem(nn.Module):
    """Convolutions in time over the leads (early convolutions, Xiao 2021): a token every 0.32 s."""

    STRIDE = 32

    def __init__(self, width: int, leads: int, channels: int) -> None:
        """Build for `leads` rows of `channels`, and tokens of `width`."""
        super().__init__()
        widths = (leads * channels, 64, 96, 128, 160, width)
        kernels = (7, 5, 5, 5, 3)
        layers: list[nn.Module] = []
        for before, after, kernel in zip(widths[:-1], widths[1:], kernels, strict=True):
            layers += [
                nn.Conv1d(before, after, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(after),
                nn.GELU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, leads, samples, channels) to tokens (B, N, D)."""
        series = pixels.transpose(2, 3).flatten(1, 2)  # (B, leads * channels, samples)
        tokens: Tensor = self.layers(series).transpose(1, 2)
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


class Vit(nn.Module):
    """A ViT over an image: a raster by convolutions, any other image in square patches."""

    def __init__(
        self, config: TowerConfig, shape: tuple[int, int, int], patch: int, statements: int
    ) -> None:
        """Build for uint8 images of `shape` (height, width, channels).

        Args:
            config: size of the tower.
            shape: height, width and channels of an image.
            patch: side of a patch in pixels; 0 for a raster, whose rows are leads.
            statements: number of statement axes of the space.

        Raises:
            CardexError: if `patch` does not divide height and width.
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
        else:
            self.stem = RasterStem(config.width, height, channels)
            count = -(-width // RasterStem.STRIDE)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.width))
        self.position = nn.Parameter(0.02 * torch.randn(1, count + 1, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.space = StatementSpace(config, statements)

    @property
    def width(self) -> int:
        """Dimension of the tokens."""
        return int(self.cls.shape[-1])

    def tokens(self, image: Tensor) -> Tensor:
        """Map (B, height, width, channels), 0 to 255, to tokens (B, 1 + N, D), [CLS] first."""
        pixels = image.to(self.cls.dtype) / 127.5 - 1.0
        tokens = self.stem(pixels)  # (B, N, D)
        first = self.cls.expand(tokens.shape[0], -1, -1).to(tokens.dtype)
        tokens = torch.cat([first, tokens], dim=1) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, height, width, channels), 0 to 255, to statement log-odds and wording."""
        log_odds, wording = self.space(pooled(self.tokens(image)))
        return log_odds, wording


def pooled(tokens: Tensor) -> Tensor:
    """Return [CLS] plus the mean of the other tokens of (B, 1 + N, D): (B, D)."""
    return tokens[:, 0] + tokens[:, 1:].mean(dim=1)


class ImageEncoder(nn.Module):
    """What is served: ViTs that were trained apart, whose log-odds and wordings are averaged.

    Attributes:
        members: the ViTs.
        offset: (S,) what is usual of each statement's log-odds, as much as is taken off.
        partition: the partition of each ECG; 0 until it was fitted.
    """

    offset: Tensor

    def __init__(self, members: Sequence[Vit], prior: Tensor, prototypes: int = 0) -> None:
        """Average `members`.

        Args:
            members: ViTs over the same image, with the same axes.
            prior: (S,) log-odds of each statement among the training ECGs. `PRIOR_SHARE` of it is
                subtracted for retrieval, so that the commonest statements do not decide it.
            prototypes: number of reports that stand for all training reports in the partition.
        """
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("offset", PRIOR_SHARE * prior)
        axes = len(prior) + members[0].space.wording.out_features
        self.partition = Margin(axes, prototypes)

    def tokens(self, image: Tensor) -> Tensor:
        """Return the first member's tokens of (B, height, width, channels): (B, 1 + N, D)."""
        return self._first.tokens(image)

    @property
    def width(self) -> int:
        """Dimension of the tokens."""
        return self._first.width

    @property
    def _first(self) -> Vit:
        first = self.members[0]
        assert isinstance(first, Vit)
        return first

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, height, width, channels), 0 to 255, to statement log-odds and wording."""
        return mean_of([member.read(image) for member in self.members])

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, height, width, channels) uint8 to (B, embedding) unit vectors."""
        return self.join(*self.read(image))

    def join(self, log_odds: Tensor, wording: Tensor) -> Tensor:
        """Make embeddings from the outputs of `read`: (B, embedding) unit vectors."""
        odds = log_odds - self.offset
        return ecg_embedding(odds, wording, self.partition(content_of_ecgs(odds, wording)))


def mean_of(outputs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the mean log-odds (B, S), and the direction of the mean wording (B, W)."""
    if len(outputs) == 1:
        return outputs[0]
    log_odds = torch.stack([odds for odds, _ in outputs]).mean(dim=0)
    wording = torch.stack([words for _, words in outputs]).mean(dim=0)
    return log_odds, F.normalize(wording, dim=-1)
