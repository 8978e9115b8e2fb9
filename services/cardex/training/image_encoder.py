"""The image encoder: one ViT or several over the image of an ECG, whose answers are averaged."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardex.domain.errors import CardexError
from cardex.signals.image_spec import DEVIATIONS, MARKS_MV, UNKNOWN_MARK, ImageSpec
from cardex.training.blocks import Block, TowerConfig
from cardex.training.space import (
    PRIOR_SHARE,
    Margin,
    StatementSpace,
    content_of_ecgs,
    ecg_embedding,
)
from cardex.training.voltages import Voltages

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""


class PixelReader(nn.Module):
    """Turns pixels into values from -1 to 1, and a raster with marks into shape and millivolts.

    A raster with marks becomes two channels: the shape in `DEVIATIONS` standard deviations of the
    lead, and the same in `full_scale_mv`, 0 where the mark is unknown. The marks' own column is 0.

    Attributes:
        shape: height, width and channels of the values.
    """

    def __init__(self, spec: ImageSpec) -> None:
        """Read the images of `spec`."""
        super().__init__()
        self.marked, self.full_scale_mv = spec.amplitude, spec.full_scale_mv
        height, width, channels = spec.shape
        self.shape = (height, width, 2 if self.marked else channels)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, height, width, channels), 0 to 255, to values of `shape`: (B, *shape)."""
        values = image / 127.5 - 1.0
        if not self.marked:
            return values
        shape = torch.cat([values[:, :, :-1], torch.zeros_like(values[:, :, -1:])], dim=2)
        scale = self._millivolts_at_one(image) / self.full_scale_mv
        return torch.cat([shape, (shape * scale).clamp(-1.0, 1.0)], dim=3)

    def millivolts(self, image: Tensor) -> Tensor:
        """Map (B, leads, width, 1) of a raster with marks to (B, leads, width - 1) mV.

        Leads whose mark is unknown are 0.
        """
        found = (image[:, :, :-1] / 127.5 - 1.0) * self._millivolts_at_one(image)
        return found.squeeze(3)

    def _millivolts_at_one(self, image: Tensor) -> Tensor:
        """Return the millivolts of the value 1 of each lead, (B, leads, 1, 1); 0 for unknown."""
        marks, (lowest, highest) = image[:, :, -1:, :], MARKS_MV
        deviation = lowest * torch.exp((marks - 1.0) / 254.0 * math.log(highest / lowest))
        known = (marks > UNKNOWN_MARK + 0.5).to(image.dtype)
        return known * deviation * DEVIATIONS


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

    def __init__(self, config: TowerConfig, spec: ImageSpec, patch: int, statements: int) -> None:
        """Build for the images of `spec`.

        Args:
            config: size of the tower.
            spec: the image.
            patch: side of a patch in pixels; 0 for a raster, whose rows are leads.
            statements: number of statement axes of the space.

        Raises:
            CardexError: if `patch` does not divide height and width.
        """
        super().__init__()
        self.reader = PixelReader(spec)
        self.stem, count = _stem(config.width, self.reader.shape, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.width))
        self.position = nn.Parameter(0.02 * torch.randn(1, count + 1, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.space = StatementSpace(config, statements)

    @property
    def width(self) -> int:
        """Dimension of the tokens."""
        return int(self.cls.shape[-1])

    def values(self, image: Tensor) -> Tensor:
        """Map (B, height, width, channels), 0 to 255, to what the pixels say; see `PixelReader`."""
        found: Tensor = self.reader(image.to(self.cls.dtype))
        return found

    def tokens(self, values: Tensor) -> Tensor:
        """Map what `values` returns to tokens (B, 1 + N, D), [CLS] first."""
        tokens = self.embed(values)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def embed(self, values: Tensor) -> Tensor:
        """Return the tokens before the blocks, with their positions: (B, 1 + N, D)."""
        tokens = self.stem(values)  # (B, N, D)
        first = self.cls.expand(tokens.shape[0], -1, -1).to(tokens.dtype)
        return torch.cat([first, tokens], dim=1) + self.position

    def read(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Map what `values` returns to statement log-odds and wording."""
        log_odds, wording = self.space(pooled(self.tokens(values)))
        return log_odds, wording


class TwoImageVit(Vit):
    """A ViT over two images of an ECG: each has a stem and positions, the blocks see all tokens.

    It takes both as one row of pixels, so that whatever handles a batch of images (losses, mixup,
    teachers, the matcher) need not know how many there are.
    """

    def __init__(
        self,
        config: TowerConfig,
        specs: tuple[ImageSpec, ImageSpec],
        patches: tuple[int, int],
        statements: int,
    ) -> None:
        """Build for two images; arguments as for `Vit`, for each image."""
        super().__init__(config, specs[0], patches[0], statements)
        self.second_reader = PixelReader(specs[1])
        self.pixels = [spec.shape for spec in specs]
        self.second_stem, count = _stem(config.width, self.second_reader.shape, patches[1])
        self.second_position = nn.Parameter(0.02 * torch.randn(1, count, config.width))

    def values(self, image: Tensor) -> Tensor:
        """Map (B, pixels) of both images side by side to the values of both: (B, values)."""
        parts = image.to(self.cls.dtype).split([math.prod(shape) for shape in self.pixels], dim=1)
        readers = (self.reader, self.second_reader)
        found = [
            reader(part.unflatten(1, shape)).flatten(1)
            for reader, part, shape in zip(readers, parts, self.pixels, strict=True)
        ]
        return torch.cat(found, dim=1)

    def embed(self, values: Tensor) -> Tensor:
        """Map (B, values) to tokens (B, 1 + N1 + N2, D)."""
        shapes = (self.reader.shape, self.second_reader.shape)
        first, second = values.split([math.prod(shape) for shape in shapes], dim=1)
        tokens = super().embed(first.unflatten(1, shapes[0]))
        others = self.second_stem(second.unflatten(1, shapes[1]))
        return torch.cat([tokens, others + self.second_position], dim=1)


def _stem(width: int, shape: Shape, patch: int) -> tuple[nn.Module, int]:
    """Make the stem of an image; returns it with the number of its tokens."""
    height, columns, channels = shape
    if not patch:
        return RasterStem(width, height, channels), -(-columns // RasterStem.STRIDE)
    if height % patch or columns % patch:
        raise CardexError(
            f"patch {patch} does not fill an image of {height} x {columns}: choose a divisor"
        )
    return PatchStem(width, patch, channels), (height // patch) * (columns // patch)


def pooled(tokens: Tensor) -> Tensor:
    """Return [CLS] plus the mean of the other tokens of (B, 1 + N, D): (B, D)."""
    return tokens[:, 0] + tokens[:, 1:].mean(dim=1)


class ImageEncoder(nn.Module):
    """What is served: ViTs that were trained apart, whose log-odds and wordings are averaged.

    To the log-odds is added what the leads' voltages say, where the image tells them.

    Attributes:
        members: the ViTs.
        voltages: log-odds by the voltages alone; None where they are not asked for, or the image
            has no marks of them.
        offset: (S,) what is usual of each statement's log-odds, as much as is taken off.
        partition: the partition of each ECG; 0 until it was fitted.
    """

    offset: Tensor

    def __init__(
        self, members: Sequence[Vit], prior: Tensor, prototypes: int = 0, voltages: bool = False
    ) -> None:
        """Average `members`.

        Args:
            members: ViTs over the same image, with the same axes.
            prior: (S,) log-odds of each statement among the training ECGs. `PRIOR_SHARE` of it is
                subtracted for retrieval, so that the commonest statements do not decide it.
            prototypes: number of reports that stand for all training reports in the partition.
            voltages: whether log-odds by the voltages alone are added.
        """
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("offset", PRIOR_SHARE * prior)
        axes = len(prior) + members[0].space.wording.out_features
        self.partition = Margin(axes, prototypes)
        first, leads = members[0].reader, members[0].reader.shape[0]
        told = voltages and first.marked and not isinstance(members[0], TwoImageVit)
        self.voltages = Voltages(leads, len(prior)) if told else None

    def tokens(self, image: Tensor) -> Tensor:
        """Return the first member's tokens of (B, height, width, channels): (B, 1 + N, D)."""
        return self._first.tokens(self._first.values(image))

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
        values = self._first.values(image)
        log_odds, wording = mean_of([member.read(values) for member in self.members])
        if self.voltages is not None:
            log_odds = log_odds + self.voltages(self.millivolts(image))
        return log_odds, wording

    def millivolts(self, image: Tensor) -> Tensor:
        """Map (B, leads, width, 1), 0 to 255, of a raster with marks to (B, leads, samples) mV."""
        return self._first.reader.millivolts(image.to(self.offset.dtype))

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
