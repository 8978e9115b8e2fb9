"""The optimisation loop that both towers share."""

import logging
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from services.domain.errors import CardexError

logger = logging.getLogger(__name__)


class Trainer:
    """AdamW with warm-up and cosine decay, gradient clipping and a log line per epoch."""

    def __init__(
        self, model: nn.Module, *, rate: float, epochs: int, batch: int, samples: int
    ) -> None:
        """Prepare `epochs` passes over `samples` samples in batches of `batch`."""
        self.model = model
        self.epochs = epochs
        self.batch = batch
        self.samples = samples
        self.steps = epochs * max(1, samples // batch)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
        warm = max(1, self.steps // 20)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: (
                min(1.0, (step + 1) / warm)
                * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / self.steps)))
            ),
        )
        self.losses: list[float] = []

    def batches(self) -> Iterator[Tensor]:
        """Yield index batches, shuffled anew each epoch."""
        start = time.monotonic()
        for epoch in range(self.epochs):
            self.model.train()
            order = torch.randperm(self.samples)
            for first in range(0, self.samples - self.batch + 1, self.batch):
                yield order[first : first + self.batch]
            done = time.monotonic() - start
            left = done / (epoch + 1) * (self.epochs - epoch - 1)
            logger.info(
                "%s epoch %d/%d loss %.4f, %.0f s left",
                type(self.model).__name__, epoch + 1, self.epochs,
                sum(self.losses) / max(1, len(self.losses)), left,
            )  # fmt: skip
            self.losses.clear()

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of `loss`.

        Raises:
            CardexError: if the loss is not finite.
        """
        if not torch.isfinite(loss):
            raise CardexError("the loss is not finite: lower the learning rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(float(loss.detach()))
