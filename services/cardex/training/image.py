"""Trains image encoders: towards reports by the losses of a recipe, or towards teachers."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardex.domain.ecg import Image
from cardex.evaluation.embeddings import join_images
from cardex.signals.images import draw
from cardex.training import losses
from cardex.training.augment import augment
from cardex.training.image_encoder import TwoImageVit, Vit, mean_of, pooled
from cardex.training.matcher import Matcher
from cardex.training.matching import fused_losses
from cardex.training.recipe import Augmentation, Losses, Recipe
from cardex.training.recordings import Recordings
from cardex.training.space import PRIOR_SHARE, content_of_ecgs
from cardex.training.text_encoder import ReportEncoder, TextEncoder
from cardex.training.trainer import Batch, Prepared

SMOOTHING = 0.1
MOMENTUM = 0.995
STUDENT_WORDING = 0.05
"""Weight of the wording's distance, at which it is about as large as the cross-entropy."""


@dataclass(frozen=True, slots=True)
class ReportTargets:
    """What the ECGs are trained towards, taken from their records and reports.

    The bank is the list of all distinct training reports.

    Attributes:
        statements: (ECGs, S) float32, probability of each statement by the record.
        words: (ECGs, T) float32, 1 where the ECG's report has the term, else 0.
        own: (ECGs,) int64, row of the ECG's own report in the bank.
        prior: (S,) float32 log-odds of each statement among the ECGs.
        bank: (reports, W) float32 wording vectors of the report encoder.
        bank_content: (reports, S + W) float32, what the reports are scored by.
        bank_statements: (reports, S) float32, mean statements of the records with that report.
        bank_ids: (reports, length) int32 token ids.
    """

    statements: Tensor
    words: Tensor
    own: Tensor
    prior: Tensor
    bank: Tensor
    bank_content: Tensor
    bank_statements: Tensor
    bank_ids: Tensor


class ImageTower(nn.Module):
    """An image encoder with the targets, heads and momentum copies that only training needs."""

    def __init__(
        self, encoder: Vit, targets: ReportTargets, weights: Losses, text: ReportEncoder
    ) -> None:
        """Prepare the training of an encoder.

        Args:
            encoder: the model that is trained.
            targets: what its ECGs are trained towards.
            weights: weight of each loss; 0 leaves a loss out.
            text: the report encoder, which is not changed.
        """
        super().__init__()
        self.encoder = encoder
        self.weights = weights
        for field in fields(targets):
            self.register_buffer(
                f"target_{field.name}", getattr(targets, field.name), persistent=False
            )
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        if self._reads_words:
            self.words = nn.Linear(encoder.width, targets.words.shape[1])
        if weights.soft:
            self.momentum = copy.deepcopy(encoder).requires_grad_(False)
        if weights.transport or weights.matching or weights.language:
            assert isinstance(text, TextEncoder)
            self.matcher = Matcher(encoder, text)
            self.text = copy.deepcopy(text).requires_grad_(False)

    def forward(
        self, images: Tensor, rows: Tensor, partner: Tensor, share: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name.

        Args:
            images: (B, H, W, C) uint8, or (B, pixels) of two images side by side.
            rows: (B,) int64, the ECGs' rows in the targets.
            partner: (B,) int64, the image of the batch that each one is mixed with (mixup).
            share: (1,) float32, weight of the image itself in the mixture.
        """
        values = _mixed(self.encoder.values(images), partner, share)
        tokens = self.encoder.tokens(values)
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
            found["contrast"] = self._contrast(values, wording, mixed)
        if self.weights.score or self.weights.reverse:
            content = content_of_ecgs(log_odds - PRIOR_SHARE * self.target_prior, wording)
            found["score"] = losses.contrast(
                content @ self.target_bank_content.T, self._own_reports(mixed)
            )
            found["reverse"] = self._reverse(content, mixed)
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

    def _own_reports(self, mixed: "_Mixed") -> Tensor:
        count = len(self.target_bank)
        return mixed.blend(losses.one_hot(self.target_own[mixed.rows], count, SMOOTHING))

    def _contrast(self, values: Tensor, wording: Tensor, mixed: "_Mixed") -> Tensor:
        targets = self._own_reports(mixed)
        if self.weights.label_aware:
            targets = losses.label_aware(
                targets,
                self.target_statements[mixed.rows],
                self.target_bank_statements,
                self.weights.label_aware,
            )
        if self.weights.soft:
            with torch.no_grad():
                _, steady = self.momentum.read(values)
            targets = losses.soften(
                targets, steady @ self.target_bank.T * self._scale, self.weights.soft
            )
        return losses.contrast(wording @ self.target_bank.T * self._scale, targets)

    def _reverse(self, content: Tensor, mixed: "_Mixed") -> Tensor:
        """Contrast each report of the batch with the batch's ECGs."""
        own = self.target_own[mixed.rows]
        logits = self.target_bank_content[own] @ content.T  # (B reports, B ECGs)
        same = (own[:, None] == own[None]).float()
        targets = mixed.blend(same).T  # an ECG that is mixed belongs to two reports, in parts
        return losses.contrast(logits, targets / targets.sum(dim=1, keepdim=True).clamp(min=1e-6))

    def _transport(self, tokens: Tensor, rows: Tensor) -> Tensor:
        ids = self.target_bank_ids[self.target_own[rows]]
        words = self.text.tokens(ids)
        seen = self.matcher.bridge(tokens)
        return losses.transport(seen, words, ids != 0).mean()

    def after_step(self) -> None:
        """Update the momentum copy; called after each step of the optimiser."""
        if self.weights.soft:
            losses.momentum_update(self.encoder, self.momentum, MOMENTUM)


class StudentTower(nn.Module):
    """An image encoder that is trained towards the mean of its teachers' outputs."""

    def __init__(self, encoder: Vit, teachers: Sequence[Vit]) -> None:
        """Prepare the training of `encoder`; the `teachers` are not changed."""
        super().__init__()
        self.encoder = encoder
        # Not registered as submodules, so that checkpoints do not contain them.
        self.__dict__["teachers"] = [teacher.eval().requires_grad_(False) for teacher in teachers]

    def forward(
        self, images: Tensor, rows: Tensor, partner: Tensor, share: Tensor
    ) -> dict[str, Tensor]:
        """Return the distances from the teachers' mean by name; see `ImageTower.forward`."""
        values = _mixed(self.encoder.values(images), partner, share)
        probabilities, words = self._teacher_targets(values)
        log_odds, wording = self.encoder.read(values)
        return {
            "statements": F.binary_cross_entropy_with_logits(log_odds, probabilities),
            "wording": STUDENT_WORDING * (1.0 - (wording * words).sum(dim=-1)).mean(),
        }

    @torch.no_grad()
    def _teacher_targets(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teachers' mean: (B, S) probabilities and (B, W) unit wording vectors."""
        log_odds, words = mean_of(
            [teacher.to(values.device).read(values) for teacher in self.teachers]
        )
        return torch.sigmoid(log_odds), words


def _mixed(values: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """Mix each image's values with those of its partner (mixup)."""
    return share * values + (1.0 - share) * values[partner]


@dataclass(frozen=True, slots=True)
class _Mixed:
    """Mixes the targets of a batch as its images were mixed."""

    rows: Tensor
    partner: Tensor
    share: Tensor

    def __call__(self, table: Tensor) -> Tensor:
        return self.blend(table[self.rows])

    def blend(self, targets: Tensor) -> Tensor:
        return self.share * targets + (1.0 - self.share) * targets[self.partner]


def prepare_images(views: Sequence[Recordings], how: Augmentation, batch: Batch) -> Prepared:
    """Augment and draw a batch, and choose the partners for mixup.

    Args:
        views: waveforms of all ECGs, for each image that the encoder sees.
        how: strength of the augmentation and of mixup.
        batch: which ECGs, and the random generator.

    Returns:
        Images, rows, partners and share, as `ImageTower.forward` takes them.
    """
    random, count = batch.random, len(batch.samples)
    images = draw_augmented(views, how, batch)
    share = 1.0
    if how.mix and random.random() < how.mix_share:
        share = float(random.beta(how.mix, how.mix))
    return (
        torch.from_numpy(images),
        torch.from_numpy(batch.samples),
        torch.from_numpy(random.permutation(count)),
        torch.tensor([share], dtype=torch.float32),
    )


def draw_augmented(views: Sequence[Recordings], how: Augmentation, batch: Batch) -> Image:
    """Augment and draw a batch: (B, H, W, C) uint8, or (B, pixels) of two images side by side.

    Each image of an ECG has its own random part of the record, and its own changes; amplitudes are
    hidden from both or from none. Arguments as for `prepare_images`.
    """
    random, rows = batch.random, batch.samples
    windows = [augment(view.pick(rows, random), view.spec, how, random) for view in views]
    known = views[0].calibrated[rows] & (random.random(len(rows)) >= how.uncalibrated)
    return join_images(
        [draw(some, view.spec, known) for some, view in zip(windows, views, strict=True)]
    )


def new_vit(recipe: Recipe, prior: Tensor) -> Vit:
    """Make a recipe's ViT with random weights; axes that no loss trains are always 0.

    Args:
        recipe: images, sizes and losses.
        prior: (S,) log-odds of each statement among the training ECGs; their number counts.
    """
    how, specs = recipe.image, recipe.specs
    if recipe.second_image is None:
        encoder = Vit(how.size, specs[0], how.patch, len(prior))
    else:
        patches = (how.patch, recipe.second_image.patch)
        encoder = TwoImageVit(how.size, (specs[0], specs[1]), patches, len(prior))
    weights = how.losses
    if not (weights.statements or weights.score or weights.reverse):
        _silence(encoder.space.statements)
    if not (weights.contrast or weights.score or weights.reverse):
        _silence(encoder.space.wording)
    return encoder


def _silence(layer: nn.Linear) -> None:
    layer.requires_grad_(False)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
