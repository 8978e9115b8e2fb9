"""Implements `cardex train` and `cardex table`."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cardex.domain.errors import InvalidReport
from cardex.evaluation.calibration import Curve, fit
from cardex.evaluation.dataset import Dataset, carried, open_dataset
from cardex.evaluation.embeddings import embed_ecgs
from cardex.evaluation.evaluate import TRAINING_FOLDS, evaluate, task_of
from cardex.evaluation.manifest import CALIBRATION_FOLD
from cardex.evaluation.novelty import fit_novelty
from cardex.evaluation.probabilities import Detector, similarity_with
from cardex.evaluation.protocols import ECGS, chosen
from cardex.inference.novelty import Novelty
from cardex.reports.ptbxl import Record
from cardex.training.card import Card, agreement_of
from cardex.training.corpora import MIN_RECORDS, Corpus
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.experiments import require_all, run_all, runs_of, table
from cardex.training.export import check_exportable, export
from cardex.training.members import Training, train_members
from cardex.training.recipe import Recipe, read_recipe
from cardex.training.run import (
    Part,
    Trained,
    train,
    train_calibration_model,
)
from cardex.training.stage import RunContext
from cardex.training.text_stage import Reports

logger = logging.getLogger(__name__)

TEST_FOLD = 9
NEEDED = {
    "folds 1 to 7, which train": range(1, CALIBRATION_FOLD),
    f"fold {CALIBRATION_FOLD}, which calibrates": (CALIBRATION_FOLD,),
    f"fold {TEST_FOLD}, which measures": (TEST_FOLD,),
}
"""The parts of a data set that a training needs ECGs of."""
MATCH_WEIGHT = 0.001
"""Factor of the match logit, at which it is of the order of the similarities' differences."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `cardex train`.

    Attributes:
        bf16: whether matrix products are computed in bfloat16; None for where the CPU has units
            for it.
        compiled: whether models go through `torch.compile`.
        tensorboard: whether TensorBoard's event files are written.
        jobs: number of processes that train the members of an encoder side by side.
    """

    bf16: bool | None = None
    compiled: bool = False
    tensorboard: bool = False
    jobs: int = 1


def run_train(
    data: Path, work: Path, repository: Path, recipe_file: Path, options: Options
) -> None:
    """Train a recipe, measure it on the test fold, export it, and print the figures.

    Raises:
        CardexError: if the recipe or the data cannot be used, the recipe cannot be exported, a loss
            is not finite, the training was interrupted, or the exported graphs differ from torch.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = read_recipe(recipe_file)
    if options.jobs > 1:
        torch.set_num_threads(1)  # threads that wait for a core slow each other down many times
    check_exportable(recipe)
    distributed = DistributedContext.here(bf16=options.bf16, compiled=options.compiled)
    context = RunContext(work, distributed, options.tensorboard)
    dataset = open_dataset(data, work)
    refuse_empty_parts(data, dataset)
    corpus = Corpus.of([r for r in dataset.records if r.fold in TRAINING_FOLDS])
    warn_of_unused_weights(recipe, corpus)
    ecgs = dataset.ecgs.of_folds(TRAINING_FOLDS)
    logger.info("%d reports and %d waveforms to train on", len(corpus.records), len(ecgs.records))
    reports = Reports(corpus, dataset.descriptions, recipe, context)
    if options.jobs > 1:
        train_members(Training(data, recipe, context), list(Part), options.jobs)
    trained = train(reports, ecgs, recipe, context)
    image, text = train_calibration_model(reports, ecgs, recipe, context)
    calibration_model = replace(trained, image=image, text=text)
    distributed.leave()
    if not distributed.first:
        return
    curves = calibrate(calibration_model, dataset, distributed)
    task = task_of(dataset, TEST_FOLD)
    embedder = TorchEmbedder(trained, distributed)
    detectors = {
        code: Detector(dataset.kinds[code].description, curve) for code, curve in curves.items()
    }
    agreement = agreement_of(trained.codes, recipe.image.size.embedding)
    figures = evaluate(embedder, task, detectors, agreement=agreement)
    novelty = novelty_of(trained, calibration_model, dataset, distributed)
    described = _described(data, corpus, ecgs.records)
    card = Card(dataset.kinds, curves, MATCH_WEIGHT, figures, described, novelty, agreement)
    version = export(trained, repository, card)
    print(json.dumps({"model_version": version, "figures": figures}, indent=1))


def refuse_empty_parts(data: Path, dataset: Dataset) -> None:
    """Refuse a data set that the end of a training would miss ECGs of.

    Raises:
        InvalidReport: if a part that a training needs has no ECG with a report.
    """
    have = {record.fold for record in dataset.ecgs.records if record.text}
    missing = [part for part, folds in NEEDED.items() if have.isdisjoint(folds)]
    if missing:
        raise InvalidReport(
            f"{data} has no usable ECG with a report in {', nor in '.join(missing)}; it has folds"
            f" {', '.join(map(str, sorted(have))) or 'none'}: share the patients among these folds",
            field="fold",
        )


def warn_of_unused_weights(recipe: Recipe, corpus: Corpus) -> None:
    """Say which statements have a weight in the recipe, and no axis of the embedding."""
    if absent := sorted(recipe.image.weights_of_voltages.keys() - set(corpus.codes)):
        logger.warning(
            "image.voltages_of: fewer than %d reports of the training folds carry %s, or none; a"
            " weight without a statement is not used",
            MIN_RECORDS,
            ", ".join(absent),
        )


def calibrate(
    model: Trained, dataset: Dataset, distributed: DistributedContext
) -> dict[str, Curve]:
    """Fit each statement's curve on the calibration fold, with a model that has not seen it.

    Raises:
        InvalidReport: if that fold has no waveform.
    """
    fold = dataset.ecgs.of_folds([CALIBRATION_FOLD])
    if not fold.records:
        raise InvalidReport(f"fold {CALIBRATION_FOLD}, which calibrates, has no waveform")
    codes = [code for code in model.codes if code in dataset.kinds]
    embedder = TorchEmbedder(model, distributed)
    prompts = {code: dataset.kinds[code].description for code in codes}
    coded = fold.rows([row for row, record in enumerate(fold.records) if record.coded])
    similarity = similarity_with(embedder, coded, prompts)
    return dict(zip(codes, fit(similarity, carried(coded.records, codes)), strict=True))


def novelty_of(
    trained: Trained, calibration_model: Trained, dataset: Dataset, distributed: DistributedContext
) -> Novelty:
    """Fit what tells ECGs that the trained models have seen nothing like.

    Args:
        trained: the models that are exported.
        calibration_model: models that were trained alike, without the calibration fold.
        dataset: the ECGs.
        distributed: device that computes.
    """
    served = TorchEmbedder(trained, distributed)
    other = TorchEmbedder(calibration_model, distributed)
    seen = [fold for fold in TRAINING_FOLDS if fold != CALIBRATION_FOLD]
    return fit_novelty(
        embed_ecgs(served, dataset.ecgs.of_folds(TRAINING_FOLDS)),
        embed_ecgs(other, dataset.ecgs.of_folds(seen)),
        embed_ecgs(other, dataset.ecgs.of_folds([CALIBRATION_FOLD])),
    )


def _described(data: Path, corpus: Corpus, records: Sequence[Record]) -> str:
    source = (
        "PTB-XL 1.0.1 (Wagner et al. 2020, PhysioNet, CC BY 4.0)" if data.is_dir() else data.name
    )
    return (
        f"{source}, folds 1 to 8: {len(corpus.records)}"
        f" reports ({len(corpus.texts)} distinct) and the {len(records)} ECGs of them that were at"
        f" hand, with {len(corpus.codes)} SCP-ECG statements."
    )


def run_table(
    recipes: Sequence[Path], data: Path, work: Path, results: Path, *, seeds: int, jobs: int,
    compiled: bool, ecgs: str,
) -> None:  # fmt: skip
    """Train and measure recipes alike, and print their table of the figures on some ECGs.

    Raises:
        CardexError: if a recipe or the data cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    runs = runs_of(recipes, range(seeds), TEST_FOLD)
    (ecgs,) = chosen("--ecgs", [ecgs], ECGS)
    known = run_all(runs, data, work, results, jobs, compiled=compiled)
    for row in table(known, runs, ecgs):
        print("| " + " | ".join(row) + " |")
    require_all(known, runs)
