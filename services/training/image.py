"""The image tower: aligned to the locked report tower."""

import logging

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from services.domain.ecg import Image, Signal
from services.signals.images import draw
from services.signals.spec import ImageSpec
from services.training.models import ImageEncoder, TowerConfig
from services.training.schedule import Trainer

logger = logging.getLogger(__name__)

PATCH = 32
STATEMENT_WEIGHT = 60.0
"""About the number of statements: the head's loss is then a sum over them, as large as the contrast."""


class ImageTower(nn.Module):
    """The encoder with a statement head and a temperature, both used in training only."""

    def __init__(self, config: TowerConfig, spec: ImageSpec, codes: int) -> None:
        """Build for images of `spec` and `codes` statements."""
        super().__init__()
        height, width, _ = spec.shape
        self.encoder = ImageEncoder(config, height, width, PATCH)
        self.statements = nn.Linear(config.embedding, codes)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.temperature = nn.Parameter(torch.tensor(0.07).log())

    def loss(self, images: Tensor, target: Tensor, bank: Tensor, statements: Tensor) -> Tensor:
        """Return the alignment loss of a batch.

        Args:
            images: (B, H, W, 3) uint8.
            target: (B, reports) float32 rows that sum to 1: which reports of the bank are right.
            bank: (reports, embedding) locked embeddings of all training reports.
            statements: (B, codes) float32.
        """
        embedding = self.encoder(images)
        logits = embedding @ bank.T / self.temperature.exp().clamp(0.01, 0.5)
        contrast = -(target * F.log_softmax(logits, dim=-1)).sum(-1).mean()
        stated = F.binary_cross_entropy_with_logits(
            self.statements(embedding * self.scale), statements
        )
        return contrast + STATEMENT_WEIGHT * stated


def soft_targets(
    own: NDArray[np.int64],
    statements: NDArray[np.float32],
    bank_statements: NDArray[np.float32],
    mix: float = 0.5,
) -> NDArray[np.float32]:
    """Return (ECGs, reports) target rows: `1 - mix` on the own report, `mix` on reports like it.

    Reports are alike by the Jaccard index of their statements, sharpened so that only near-equal
    ones count; records with the same statements are no negatives.
    """
    shared = statements @ bank_statements.T
    either = statements.sum(1)[:, None] + bank_statements.sum(1)[None] - shared
    alike = (shared / np.maximum(either, 1e-6)) ** 8
    alike /= np.maximum(alike.sum(1, keepdims=True), 1e-6)
    target = mix * alike
    target[np.arange(len(own)), own] += 1.0 - mix
    return target.astype(np.float32)


def train_image(
    signals: Signal,
    statements: NDArray[np.float32],
    target: NDArray[np.float32],
    bank: Tensor,
    spec: ImageSpec,
    config: TowerConfig,
    epochs: int,
) -> ImageTower:
    """Train the image tower on (ECGs, 12, samples) cleaned signals."""
    tower = ImageTower(config, spec, statements.shape[1])
    trainer = Trainer(tower, rate=6e-4, epochs=epochs, batch=32, samples=len(signals))
    random = np.random.default_rng(0)
    stated, targets = torch.from_numpy(statements), torch.from_numpy(target)
    for batch in trainer.batches():
        images = torch.from_numpy(draw(augment(signals[batch.numpy()], spec, random), spec))
        trainer.step(tower.loss(images, targets[batch], bank, stated[batch]))
    tower.eval()
    return tower


def augment(signals: Signal, spec: ImageSpec, random: np.random.Generator) -> Signal:
    """Cut a random window, add a little noise and drop single leads: (B, 12, window)."""
    slack = signals.shape[-1] - spec.window
    start = int(random.integers(0, slack + 1)) if slack > 0 else 0
    windows = signals[:, :, start : start + spec.window].copy()
    deviation = windows.std(axis=-1, keepdims=True)
    noise = random.standard_normal(windows.shape, dtype=np.float32)
    windows += 0.05 * random.random(dtype=np.float32) * deviation * noise
    windows[random.random(windows.shape[:2]) < 0.05] = 0.0
    return windows


@torch.inference_mode()
def embed_images(encoder: ImageEncoder, windows: Signal, spec: ImageSpec) -> Tensor:
    """Embed (ECGs, 12, window) windows: (ECGs, embedding)."""
    encoder.eval()
    images: list[Image] = [draw(windows[i : i + 64], spec) for i in range(0, len(windows), 64)]
    return torch.cat([encoder(torch.from_numpy(batch)) for batch in images])
