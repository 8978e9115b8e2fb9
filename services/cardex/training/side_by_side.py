"""Trains the members of an encoder side by side, in processes of one thread each.

Two processes of one thread train two small encoders in two thirds of the time that one process of
two threads takes for both.
"""

import logging
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

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
    members = [Member(part, place) for place in range(count) for part in parts]
    spawn = multiprocessing.get_context("spawn")
    with interruptible(), spawn.Pool(jobs, initializer=begin_process) as pool:
        tasks = [(training, member) for member in members]
        for done, member in enumerate(pool.imap_unordered(_train_member, tasks), start=1):
            logger.info("%d of %d members: %s", done, len(members), member)


def begin_process() -> None:
    """Prepare a process that computes beside others: its log, and one thread."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)


def _train_member(task: tuple[Training, Member]) -> Member:
    training, member = task
    dataset = open_dataset(training.data, training.context.work)
    corpus = Corpus.of([r for r in dataset.records if r.fold in TRAINING_FOLDS])
    reports = Reports(corpus, dataset.descriptions, training.recipe, training.context)
    ecgs = dataset.ecgs.of_folds(TRAINING_FOLDS)
    stage = image_stage(member.part, reports, ecgs, training.recipe, training.context)
    stage.train_member(member_seed(stage.recipe.seed, member.place))
    return member


@contextmanager
def interruptible() -> Iterator[None]:
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
