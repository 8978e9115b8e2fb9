"""One stage of a training: it is run once, kept in the work folder, and taken from there again."""

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from cardex.domain.errors import CardexError
from cardex.training import checkpoint
from cardex.training.distributed import DistributedContext
from cardex.training.trainer import Batch, Plan, Prepared, Trainer


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where and how stages are run.

    Attributes:
        work: folder of finished stages, checkpoints and logs.
        distributed: device and processes that compute.
        tensorboard: whether TensorBoard's event files are written too.
        stop_after: number of steps after which a stage is interrupted, to be continued later.
    """

    work: Path
    distributed: DistributedContext
    tensorboard: bool = False
    stop_after: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """What is trained, and how.

    Attributes:
        name: of its files in the work folder.
        key: hash of everything that decides its result; part of the files' names.
        model: what is kept of it.
        build: makes the module that is trained: `model` with the targets and losses of training.
        plan: how long and how fast.
        seed: of batches, augmentation and dropout.
        prepare: makes the inputs of a batch.
        lengths: number of samples, or the length of each, by which batches are formed.
        one_shape: whether all batches have one shape, so that a compiled model suits them all.
    """

    name: str
    key: str
    model: nn.Module
    build: Callable[[], nn.Module]
    plan: Plan
    seed: int
    prepare: Callable[[Batch], Prepared]
    lengths: Sequence[int] | int
    one_shape: bool = False


def run_stage(context: RunContext, stage: Stage) -> None:
    """Train a stage's model in place, or load its weights where that was done before.

    Only the first process writes; all processes load what it wrote. Of several trainings in one
    work folder, one trains a stage that they share, and the others wait for it.

    Raises:
        CardexError: if a loss is not finite, the training is interrupted, or a file is damaged.
    """
    finished = context.work / f"{stage.name}-{stage.key}.pt"
    known = checkpoint.load(finished, stage.key)
    if known is None:
        with _only_one(context, finished.with_suffix(".lock")):
            known = checkpoint.load(finished, stage.key)
            if known is None:
                _train_and_keep(context, stage, finished)
                known = checkpoint.load(finished, stage.key)
    if known is None:
        raise CardexError(f"{finished} is not there: all processes need the same --work folder")
    stage.model.cpu().load_state_dict(known["model"])
    stage.model.eval()


@contextmanager
def _only_one(context: RunContext, lock: Path) -> Iterator[None]:
    """Hold a lock that ends with this process; processes that train together need none."""
    if context.distributed.world > 1:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        lock.unlink(missing_ok=True)


def _train_and_keep(context: RunContext, stage: Stage, finished: Path) -> None:
    _train(context, stage)
    if context.distributed.first:
        weights = stage.model.cpu().state_dict()
        checkpoint.save(finished, {"fingerprint": stage.key, "model": weights})
        finished.with_suffix(".checkpoint").unlink(missing_ok=True)
    context.distributed.wait()


def _train(context: RunContext, stage: Stage) -> None:
    trainer = Trainer(
        f"{stage.name}-{stage.key}",
        stage.plan,
        seed=stage.seed,
        distributed=replace(
            context.distributed, compiled=context.distributed.compiled and stage.one_shape
        ),
        folder=context.work,
        tensorboard=context.tensorboard,
        stop_after=context.stop_after,
    )
    module = stage.build()
    after_step = getattr(module, "after_step", lambda: None)
    trainer.train(module, stage.prepare, stage.lengths, after_step)


def digest_weights(module: nn.Module) -> str:
    """Return a hash of a module's weights, ten hexadecimal digits."""
    return hash_parts(*(value.numpy().tobytes() for value in module.state_dict().values()))


def hash_parts(*parts: str | bytes | int) -> str:
    """Return a hash of everything that decides a stage's result, ten hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:10]
