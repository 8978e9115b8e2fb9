"""Trains the members of encoders side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cardex.evaluation.dataset import open_dataset
from cardex.evaluation.evaluate import TRAINING_FOLDS
from cardex.training.processes import Job, run_jobs
from cardex.training.recipe import Recipe
from cardex.training.run import Part, image_stage, member_seed
from cardex.training.stage import RunContext
from cardex.training.text_stage import reports_of


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


def train_members(training: Training, parts: Sequence[Part], at_once: int) -> None:
    """Train all members of the encoders of `parts`; their stages are found finished afterwards.

    The text stage must have been run.

    Args:
        training: data, recipe and work folder.
        parts: the encoders.
        at_once: number of processes.

    Raises:
        Stopped: if it was interrupted; every member's checkpoint is on disk.
        CardexError: if a stage fails.
    """
    jobs = [
        Job(f"member {place + 1}, {part.value}", _train_member, (training, part, place))
        for place in range(training.recipe.image.members)
        for part in parts
    ]
    run_jobs(jobs, at_once)


def _train_member(training: Training, part: Part, place: int) -> None:
    dataset = open_dataset(training.data, training.context.work)
    reports = reports_of(dataset, TRAINING_FOLDS, training.recipe, training.context)
    ecgs = dataset.ecgs.of_folds(TRAINING_FOLDS)
    stage = image_stage(part, reports, ecgs, training.recipe, training.context)
    stage.train_member(member_seed(stage.recipe.seed, place))
