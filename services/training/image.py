"""The image encoder: aligned to the locked report encoder, statement by statement and in wording."""

import logging

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from services.domain.ecg import Signal
from services.signals.images import draw
from services.signals.spec import ImageSpec
from services.training.models import ImageEncoder, TowerConfig
from services.training.schedule import Trainer

logger = logging.getLogger(__name__)

PATCH = 32
CONTRAST_WEIGHT = 0.02
"""The contrast's loss is a hundred times the statements': it adds detail, and does not decide."""
SMOOTHING = 0.1
SHIFT_S = 1.0


class ImageTower(nn.Module):
    """The encoder with the temperature of its contrast, which only training uses."""

    def __init__(self, config: TowerConfig, spec: ImageSpec, prior: Tensor) -> None:
        """Build for images of `spec` and statements with these prior log-odds."""
        super().__init__()
        patch = 0 if spec.layout == "raster" else PATCH
        self.encoder = ImageEncoder(config, spec.shape, patch, prior)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())

    def loss(self, images: Tensor, own: Tensor, bank: Tensor, statements: Tensor) -> Tensor:
        """Return the alignment loss of a batch.

        Args:
            images: (B, H, W, C) uint8.
            own: (B,) int64, which report of the bank is the ECG's own.
            bank: (reports, wording) locked wording vectors of all training reports.
            statements: (B, codes) float32.
        """
        log_odds, wording = self.encoder.read(images)
        stated = F.binary_cross_entropy_with_logits(log_odds, statements)
        logits = wording @ bank.T * self.log_scale.exp().clamp(max=100.0)
        contrast = F.cross_entropy(logits, own, label_smoothing=SMOOTHING)
        return stated + CONTRAST_WEIGHT * contrast


def train_image(
    signals: Signal,
    statements: NDArray[np.float32],
    own: NDArray[np.int64],
    bank: Tensor,
    spec: ImageSpec,
    config: TowerConfig,
    epochs: int,
) -> ImageTower:
    """Train the image tower on (ECGs, 12, samples) cleaned signals."""
    shares = torch.from_numpy(statements).mean(dim=0).clamp(1e-4, 1 - 1e-4)
    tower = ImageTower(config, spec, shares.logit())
    trainer = Trainer(tower, rate=1e-3, epochs=epochs, batch=32, samples=len(signals))
    random = np.random.default_rng(0)
    stated, reports = torch.from_numpy(statements), torch.from_numpy(own)
    for batch in trainer.batches():
        images = torch.from_numpy(draw(augment(signals[batch.numpy()], spec, random), spec))
        trainer.step(tower.loss(images, reports[batch], bank, stated[batch]))
    return tower.eval()


def augment(signals: Signal, spec: ImageSpec, random: np.random.Generator) -> Signal:
    """Shift in time, add a little noise and drop single leads: (B, 12, window).

    What is shifted in is silence, as in a record that is too short.
    """
    slack = signals.shape[-1] - spec.window
    start = int(random.integers(0, slack + 1)) if slack > 0 else 0
    reach = int(SHIFT_S * spec.rate)
    shift = int(random.integers(-reach, reach + 1))
    windows = np.roll(signals[:, :, start : start + spec.window], shift, axis=-1)
    if shift:
        windows[..., slice(0, shift) if shift > 0 else slice(shift, None)] = 0.0
    deviation = windows.std(axis=-1, keepdims=True)
    noise = random.standard_normal(windows.shape, dtype=np.float32)
    windows += 0.05 * random.random((len(windows), 1, 1), dtype=np.float32) * deviation * noise
    windows[random.random(windows.shape[:2]) < 0.05] = 0.0
    return windows


@torch.inference_mode()
def read_images(encoder: ImageEncoder, windows: Signal, spec: ImageSpec) -> tuple[Tensor, Tensor]:
    """Return embeddings (ECGs, embedding) and statement log-odds (ECGs, codes) of windows."""
    encoder.eval()
    embeddings, odds = [], []
    for first in range(0, len(windows), 64):
        images = torch.from_numpy(draw(windows[first : first + 64], spec))
        log_odds, wording = encoder.read(images)
        embeddings.append(encoder.join(log_odds, wording))
        odds.append(log_odds)
    return torch.cat(embeddings), torch.cat(odds)
