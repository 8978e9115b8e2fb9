"""The optimisation loop of every stage; an interrupted one continues to the same result.

No random state is kept between steps: batches follow from seed and epoch, augmentation and dropout
from seed and step. A checkpoint therefore needs only weights, optimiser and step number.
"""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cardex.domain.errors import CardexError
from cardex.training import checkpoint
from cardex.training.distributed import DistributedContext
from cardex.training.metric_logger import MetricLogger
from cardex.training.weight_average import WeightAverage

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 60.0
Prepared = tuple[Tensor, ...]


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long and how fast a stage trains.

    Attributes:
        epochs: passes over the samples.
        batch: samples of one step, over all processes.
        rate: peak learning rate of AdamW; it is reached linearly over the warm-up, and falls to
            zero by a cosine.
        decay: weight decay.
        warmup: share of all steps that are warm-up.
        average: decay of the moving average of the weights, which is kept in their place; where it
            is not given, the last weights are.
    """

    epochs: Annotated[int, msgspec.Meta(ge=1)]
    batch: Annotated[int, msgspec.Meta(ge=1)] = 32
    rate: float = 1e-3
    decay: float = 0.05
    warmup: float = 0.05
    average: Annotated[float, msgspec.Meta(gt=0, lt=1)] | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's samples and its random generator.

    Attributes:
        samples: (batch,) int64 row numbers.
        random: generator, seeded by the training's seed and the step.
    """

    samples: NDArray[np.int64]
    random: np.random.Generator


class Stopped(CardexError):
    """The training was interrupted; its checkpoint is on disk."""


class Trainer:
    """Trains one model, which maps a prepared batch to its losses by name."""

    def __init__(
        self, name: str, plan: Plan, *, seed: int, distributed: DistributedContext,
        folder: Path | None = None, tensorboard: bool = False, stop_after: int | None = None,
    ) -> None:  # fmt: skip
        """Prepare a training.

        Args:
            name: of the checkpoint and the log.
            plan: length and rate of the training.
            seed: of batches, augmentation and dropout.
            distributed: device and processes that compute.
            folder: for checkpoint and log; None to write neither.
            tensorboard: whether TensorBoard's event files are written too.
            stop_after: number of steps after which the call is interrupted; None for no limit.
        """
        self._name, self._plan, self._seed, self._distributed = name, plan, seed, distributed
        self._folder = folder
        self._tensorboard = tensorboard
        self._stop_after = stop_after

    def train(
        self,
        model: nn.Module,
        prepare: Callable[[Batch], Prepared],
        lengths: Sequence[int] | int,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Train `model` in place.

        Args:
            model: maps the tensors of `prepare` to losses by name; their sum is minimised.
            prepare: makes the inputs of a step; runs in a thread, one step ahead.
            lengths: number of samples, or the length of each; a batch has samples of like length.
            after_step: called after every step of the optimiser.

        Raises:
            CardexError: if a loss is not finite; the message names it and the last checkpoint.
            Stopped: if SIGINT or SIGTERM arrived; the checkpoint holds the last step.
        """
        if self._plan.batch % self._distributed.world:
            raise CardexError(
                f"a batch of {self._plan.batch} cannot be shared equally by"
                f" {self._distributed.world} processes: choose a multiple"
            )
        sizes = np.zeros(lengths) if isinstance(lengths, int) else np.asarray(lengths)
        if len(sizes) < self._plan.batch:
            raise CardexError(
                f"{len(sizes)} samples are fewer than a batch of {self._plan.batch}: give more, or"
                " a smaller batch"
            )
        wrapped = self._distributed.wrap(model)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=self._plan.rate, weight_decay=self._plan.decay, fused=True
        )
        average = WeightAverage(model, self._plan.average) if self._plan.average else None
        whole = _Whole(model, optimizer, average)
        fingerprint = self._fingerprint(len(sizes))
        begun = self._restore(whole, fingerprint)
        metrics = MetricLogger(
            self._folder, self._name, self._distributed.first, begun, self._tensorboard
        )
        total = self._steps(len(sizes))
        saved = time.monotonic()
        with metrics, _interruption() as interrupted:
            for step, inputs in self._inputs(sizes, prepare, begun, total):
                model.train()
                losses = self._step(step, wrapped, optimizer, inputs, total)
                after_step()
                if average:
                    average.update(step)
                metrics.write(step + 1, total, self._rate(step, total), losses)
                enough = self._stop_after is not None and step + 1 - begun >= self._stop_after
                # Also at the last step, so that a signal that arrived during it has its effect.
                stop = self._distributed.any(interrupted.is_set()) or (enough and step + 1 < total)
                if stop or time.monotonic() - saved > SAVE_EVERY_S:
                    self._save(whole, fingerprint, step + 1)
                    saved = time.monotonic()
                if stop:
                    raise Stopped(
                        f"{self._name} stopped after step {step + 1} of {total}: the same command"
                        " goes on from there"
                    )
        if average:
            average.apply()
        model.eval()

    def _inputs(
        self,
        sizes: NDArray[np.float64],
        prepare: Callable[[Batch], Prepared],
        begun: int,
        total: int,
    ) -> Iterator[tuple[int, Prepared]]:
        each = total // self._plan.epochs

        @lru_cache(1)
        def of_epoch(epoch: int) -> NDArray[np.int64]:
            return batches(sizes, self._plan.batch, self._seed, epoch)

        def ready(step: int) -> Prepared:
            samples = of_epoch(step // each)[step % each]
            random = np.random.default_rng([self._seed, step, 1 + self._distributed.rank])
            mine = samples[self._distributed.share(len(samples))]
            return prepare(Batch(mine, random))

        with ThreadPoolExecutor(1) as ahead:
            waiting: Future[Prepared] | None = ahead.submit(ready, begun) if begun < total else None
            for step in range(begun, total):
                assert waiting is not None
                inputs = tuple(self._distributed.put(tensor) for tensor in waiting.result())
                waiting = ahead.submit(ready, step + 1) if step + 1 < total else None
                yield step, inputs

    def _step(
        self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Prepared,
        total: int,
    ) -> dict[str, Tensor]:  # fmt: skip
        torch.manual_seed(hash((self._seed, step, self._distributed.rank)) & 0x7FFFFFFF)
        for group in optimizer.param_groups:
            group["lr"] = self._rate(step, total)
        with self._distributed.autocast():
            losses: dict[str, Tensor] = model(*inputs)
        loss = torch.stack([value.float() for value in losses.values()]).sum()
        if self._distributed.any(not torch.isfinite(loss)):
            self._refuse(step + 1, losses)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return losses

    def _refuse(self, step: int, losses: dict[str, Tensor]) -> None:
        bad = [name for name, value in losses.items() if not torch.isfinite(value)]
        stands = self._path
        where = f"the last good checkpoint is {stands}" if stands and stands.is_file() else (
            "no checkpoint was written yet"
        )  # fmt: skip
        raise CardexError(
            f"{self._name}, step {step}: the loss {', '.join(bad) or 'of another process'} is not"
            f" finite: lower the learning rate; {where}"
        )

    def _rate(self, step: int, total: int) -> float:
        warm = max(1, round(total * self._plan.warmup))
        return (
            self._plan.rate
            * min(1.0, (step + 1) / warm)
            * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / total)))
        )

    def _steps(self, samples: int) -> int:
        return self._plan.epochs * (samples // self._plan.batch)

    def _fingerprint(self, samples: int) -> str:
        plan = msgspec.json.encode(self._plan).decode()
        return f"{self._name} {self._seed} {samples} {self._distributed.world} {plan}"

    @property
    def _path(self) -> Path | None:
        return self._folder / f"{self._name}.checkpoint" if self._folder else None

    def _restore(self, whole: "_Whole", fingerprint: str) -> int:
        state = checkpoint.load(self._path, fingerprint) if self._path else None
        if state is None:
            return 0
        whole.restore(state)
        logger.info("%s goes on after step %d", self._name, state["step"])
        return int(state["step"])

    def _save(self, whole: "_Whole", fingerprint: str, step: int) -> None:
        if self._path and self._distributed.first:
            state = {"fingerprint": fingerprint, "step": step, **whole.state()}
            checkpoint.save(self._path, state)


@dataclass(frozen=True, slots=True)
class _Whole:
    """All that changes in a training."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        found = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        return found | ({"average": self.average.state()} if self.average else {})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.restore(state["average"])


def batches(sizes: NDArray[np.float64], batch: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return an epoch's batches in random order, each of samples of like size.

    Args:
        sizes: (samples,) length of each sample, all 0 to ignore lengths.
        batch: samples of a batch; a last batch that is not full is left out.
        seed: of the training.
        epoch: number of the epoch.

    Returns:
        (steps, batch) int64 row numbers.
    """
    random = np.random.default_rng([seed, epoch, 0])
    order = random.permutation(len(sizes))[: len(sizes) // batch * batch]
    if sizes.any():
        order = order[np.argsort(sizes[order], kind="stable")]
    return np.asarray(random.permutation(order.reshape(-1, batch), axis=0), dtype=np.int64)


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Set an event on SIGINT and SIGTERM; outside the main thread, which gets no signals, never."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: FrameType | None) -> None:
        event.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
