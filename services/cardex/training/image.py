"""The image encoder's tower: aligned to the locked report encoder by the losses that a recipe names."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardex.domain.ecg import Signal
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw, window_of
from cardex.training import losses
from cardex.training.augment import augment
from cardex.training.losses import Queue
from cardex.training.matcher import Matcher
from cardex.training.matching import fused_losses
from cardex.training.models import ImageEncoder, ReportEncoder, TextEncoder, pooled
from cardex.training.recipe import Augmentation, ImageRecipe, Losses
from cardex.training.trainer import Batch, Prepared

SMOOTHING = 0.1
QUEUE = 1024
"""Of a few thousand ECGs a longer queue would hold each one several times."""
MOMENTUM = 0.995
STUDENT_WORDING = 0.05
"""The wording's distance beside the statements' cross-entropy: it makes both weigh alike."""


@dataclass(frozen=True, slots=True)
class ReportTargets:
    """What the ECGs are to be like.

    Attributes:
        statements: (ECGs, S) float32.
        words: (ECGs, T) float32 of 0 and 1, the terms of its report.
        own: (ECGs,) int64, which report of the bank is the ECG's own.
        bank: (reports, W) locked wording vectors.
        bank_statements: (reports, S) float32.
        bank_ids: (reports, length) int32.
    """

    statements: Tensor
    words: Tensor
    own: Tensor
    bank: Tensor
    bank_statements: Tensor
    bank_ids: Tensor


class ImageTower(nn.Module):
    """The encoder with the targets, heads and momentum copies that only training uses."""

    def __init__(
        self, encoder: ImageEncoder, targets: ReportTargets, weights: Losses, text: ReportEncoder
    ) -> None:
        """Train `encoder` on `targets`; `text` is the locked report encoder."""
        super().__init__()
        self.encoder = encoder
        self.weights = weights
        for name in ("statements", "words", "own", "bank", "bank_statements", "bank_ids"):
            self.register_buffer(f"target_{name}", getattr(targets, name), persistent=False)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        width = encoder.cls.shape[-1]
        if self._reads_words:
            self.words = nn.Linear(width, targets.words.shape[1])
        if weights.soft or weights.reverse:
            self.momentum = copy.deepcopy(encoder).requires_grad_(False)
            self.queue = Queue(QUEUE, targets.bank.shape[1])
        if weights.transport or weights.matching or weights.language:
            assert isinstance(text, TextEncoder)
            self.matcher = Matcher(encoder, text, text.config)
            self.text = copy.deepcopy(text).requires_grad_(False)

    def forward(
        self, images: Tensor, rows: Tensor, partner: Tensor, share: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted losses of (B, H, W, C) uint8 images of the ECGs `rows`.

        Each is mixed with its `partner` (B,) of the batch: `share` (1,) of it stays.
        """
        images = share * images.float() + (1.0 - share) * images[partner].float()
        tokens = self.encoder.tokens(images)
        log_odds, wording = self.encoder.space(pooled(tokens))
        mixed = _Mixed(rows, partner, share)
        found = {
            "statements": F.binary_cross_entropy_with_logits(
                log_odds, mixed(self.target_statements)
            )
        }
        if self._reads_words:
            found["words"] = F.binary_cross_entropy_with_logits(
                self.words(pooled(tokens)), mixed(self.target_words)
            )
        if self.weights.contrast:
            found["contrast"] = self._contrast(images, wording, mixed)
        if self.weights.reverse:
            found["reverse"] = self._reverse(wording, rows)
        if self.weights.transport:
            found["transport"] = self._transport(tokens, rows)
        if self.weights.matching or self.weights.language:
            own = self.target_own[rows]
            found |= fused_losses(
                self.matcher,
                tokens,
                self.target_bank_ids[own],
                own,
                wording @ self.target_bank[own].T,
            )
        return {
            name: weight * value
            for name, value in found.items()
            if (weight := getattr(self.weights, name))
        }

    @property
    def _reads_words(self) -> bool:
        return bool(self.weights.words) and self.target_words.shape[1] > 0

    @property
    def _scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=100.0)

    def _contrast(self, images: Tensor, wording: Tensor, mixed: "_Mixed") -> Tensor:
        count = len(self.target_bank)
        targets = mixed.blend(losses.one_hot(self.target_own[mixed.rows], count, SMOOTHING))
        if self.weights.label_aware:
            targets = losses.label_aware(
                targets,
                self.target_statements[mixed.rows],
                self.target_bank_statements,
                self.weights.label_aware,
            )
        if self.weights.soft:
            with torch.no_grad():
                _, steady = self.momentum.read(images)
            targets = losses.soften(
                targets, steady @ self.target_bank.T * self._scale, self.weights.soft
            )
        return losses.contrast(wording @ self.target_bank.T * self._scale, targets)

    def _reverse(self, wording: Tensor, rows: Tensor) -> Tensor:
        """Report to ECG: the batch's and the queue's ECGs are the candidates."""
        own = self.target_own[rows]
        vectors, tags = self.queue.filled()
        candidates = torch.cat([wording, vectors])
        same = (own[:, None] == torch.cat([own, tags])[None]).float()
        logits = self.target_bank[own] @ candidates.T * self._scale
        self._pushed = (wording.detach(), own)
        return losses.contrast(logits, same / same.sum(dim=1, keepdim=True))

    def _transport(self, tokens: Tensor, rows: Tensor) -> Tensor:
        ids = self.target_bank_ids[self.target_own[rows]]
        words = self.text.tokens(ids)
        seen = self.matcher.bridge(tokens)
        return losses.transport(seen, words, ids != 0).mean()

    def after_step(self) -> None:
        """Move the momentum copy and the queue on."""
        if self.weights.soft or self.weights.reverse:
            losses.momentum_update(self.encoder, self.momentum, MOMENTUM)
        if self.weights.reverse:
            self.queue.push(*self._pushed)


class StudentTower(nn.Module):
    """An encoder that learns the mean of its teachers."""

    def __init__(self, encoder: ImageEncoder, teachers: list[ImageEncoder]) -> None:
        """Train `encoder` towards locked `teachers`."""
        super().__init__()
        self.encoder = encoder
        # beside the module's own tree: a checkpoint is not to hold them
        self.__dict__["teachers"] = [teacher.eval().requires_grad_(False) for teacher in teachers]

    def forward(
        self, images: Tensor, rows: Tensor, partner: Tensor, share: Tensor
    ) -> dict[str, Tensor]:
        """Return the distances to the teachers' mean on (B, H, W, C) uint8 images."""
        images = share * images.float() + (1.0 - share) * images[partner].float()
        with torch.no_grad():
            taught = [teacher.to(images.device).read(images) for teacher in self.teachers]
            odds = torch.stack([log_odds for log_odds, _ in taught]).mean(dim=0)
            words = F.normalize(torch.stack([wording for _, wording in taught]).mean(dim=0), dim=-1)
        log_odds, wording = self.encoder.read(images)
        return {
            "statements": F.binary_cross_entropy_with_logits(log_odds, torch.sigmoid(odds)),
            "wording": STUDENT_WORDING * (1.0 - (wording * words).sum(dim=-1)).mean(),
        }


@dataclass(frozen=True, slots=True)
class _Mixed:
    """A batch of mixed ECGs: picks their targets."""

    rows: Tensor
    partner: Tensor
    share: Tensor

    def __call__(self, table: Tensor) -> Tensor:
        return self.blend(table[self.rows])

    def blend(self, targets: Tensor) -> Tensor:
        return self.share * targets + (1.0 - self.share) * targets[self.partner]


def prepare_images(signals: Signal, spec: ImageSpec, how: Augmentation, batch: Batch) -> Prepared:
    """Augment and draw a batch of (ECGs, 12, samples), and choose what is mixed with what."""
    random = batch.random
    images = draw(augment(signals[batch.samples], spec, how, random), spec)
    count = len(batch.samples)
    share = 1.0
    if how.mix and random.random() < how.mix_share:
        share = float(random.beta(how.mix, how.mix))
    return (
        torch.from_numpy(images),
        torch.from_numpy(batch.samples),
        torch.from_numpy(random.permutation(count)),
        torch.tensor([share], dtype=torch.float32),
    )


def windows_of(signals: Signal, spec: ImageSpec) -> Signal:
    """Cut (ECGs, 12, samples) as the service does: (ECGs, 12, window)."""
    return np.stack([window_of(signal, spec) for signal in signals])


def new_encoder(recipe: ImageRecipe, spec: ImageSpec, prior: Tensor) -> ImageEncoder:
    """Make the encoder of a recipe with random weights; axes that no loss trains stay silent."""
    encoder = ImageEncoder(recipe.size, spec.shape, recipe.patch, prior)
    if not recipe.losses.statements:
        _silence(encoder.space.statements)
        encoder.offset.zero_()
    if not (recipe.losses.contrast or recipe.losses.reverse):
        _silence(encoder.space.wording)
    return encoder


def _silence(layer: nn.Linear) -> None:
    layer.requires_grad_(False)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
