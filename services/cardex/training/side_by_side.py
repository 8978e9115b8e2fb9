"""Trains the members of an encoder side by side, in processes of one thread each.

Two processes of one thread train two small encoders in two thirds of the time that one process of
two threads takes for both.
"""

import logging
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import torch

from cardex.domain.errors import CardexError
from cardex.evaluation.dataset import open_dataset
from cardex.evaluation.evaluate import TRAINING_FOLDS
from cardex.training.corpora import Corpus
from cardex.training.recipe import Recipe
from cardex.training.run import Part, image_stage, member_seed
from cardex.training.stage import RunContext
from cardex.training.text_stage import Reports
from cardex.training.trainer import Stopped

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """One ViT that is to be trained.

    Attributes:
        part: whether it sees all training ECGs, or those without the calibration fold.
        place: its number among the members.
    """

    part: Part
    place: int

    def __str__(self) -> str:
        """Name it in messages."""
        return f"member {self.place + 1}, {self.part.value}"


@dataclass(frozen=True, slots=True)
class Training:
    """What all members have in common.

    Attributes:
        data: PTB-XL's folder, or a manifest.
        recipe: the recipe.
        context: work folder and device.
    """

    data: Path
    recipe: Recipe
    context: RunContext


def train_members(training: Training, parts: Sequence[Part], jobs: int) -> None:
    """Train all members of the encoders of `parts`; their stages are found finished afterwards.

    The text stage must have been run.

    Args:
        training: data, recipe and work folder.
        parts: the encoders.
        jobs: number of processes.

    Raises:
        Stopped: if it was interrupted; every member's checkpoint is on disk.
        CardexError: if a stage fails.
    """
    count = training.recipe.image.members
    waiting = [Member(part, place) for place in range(count) for part in parts]
    running: list[_Running] = []
    with _interruptible():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_Running.begin(training, waiting.pop(0)))
                wait([each.process.sentinel for each in running])
                for each in [one for one in running if not one.process.is_alive()]:
                    running.remove(each)
                    each.check()
        finally:
            for each in running:
                each.process.terminate()  # it writes its checkpoint and ends
            for each in running:
                each.process.join()


@dataclass(frozen=True, slots=True)
class _Running:
    """A member, and the process that trains it."""

    member: Member
    process: BaseProcess

    @classmethod
    def begin(cls, training: Training, member: Member) -> "_Running":
        """Start the process."""
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=_train_member, args=(training, member))
        process.start()
        return cls(member, process)

    def check(self) -> None:
        """Raise CardexError if the process did not end well; it has said why."""
        if self.process.exitcode:
            raise CardexError(
                f"the training of {self.member} ended with {self.process.exitcode}: see above; the"
                " same command goes on from the last checkpoint"
            )
        logger.info("%s is trained", self.member)


def _train_member(training: Training, member: Member) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    try:
        _train(training, member)
    except CardexError as error:
        sys.exit(f"{member}: {error}")


def _train(training: Training, member: Member) -> None:
    dataset = open_dataset(training.data, training.context.work)
    corpus = Corpus.of([r for r in dataset.records if r.fold in TRAINING_FOLDS])
    reports = Reports(corpus, dataset.descriptions, training.recipe, training.context)
    ecgs = dataset.ecgs.of_folds(TRAINING_FOLDS)
    stage = image_stage(member.part, reports, ecgs, training.recipe, training.context)
    stage.train_member(member_seed(stage.recipe.seed, member.place))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM stop the processes too, each of which writes its checkpoint."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped("the training stopped: the same command goes on from there") from None
    finally:
        signal.signal(signal.SIGTERM, before)
