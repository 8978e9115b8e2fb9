"""Measures probabilities at each site of PTB-XL by a model that was trained without the site."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cardex.domain.errors import InvalidReport
from cardex.evaluation.dataset import Dataset, open_dataset
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embeddings import embed_ecgs
from cardex.evaluation.evaluate import TRAINING_FOLDS
from cardex.evaluation.intervals import Subset
from cardex.evaluation.manifest import CALIBRATION_FOLD
from cardex.evaluation.probabilities import FEWEST, Detector, at_one_site, probabilities_of
from cardex.evaluation.provenance import provenance
from cardex.models.files import replace as replace_file
from cardex.reports.ptbxl import Record
from cardex.training.commands import TEST_FOLD, calibrate
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.members import Training
from cardex.training.processes import Job, run_jobs
from cardex.training.recipe import Recipe, read_recipe
from cardex.training.run import ImageStage, Trained
from cardex.training.stage import RunContext
from cardex.training.text_stage import Reports, reports_of

UNSEEN_FOLDS = (CALIBRATION_FOLD, TEST_FOLD)
"""Folds that no image encoder here is trained on."""
ENOUGH = 100
"""A site with fewer ECGs in `UNSEEN_FOLDS` is measured on those of all folds."""


@dataclass(frozen=True, slots=True)
class Split:
    """The ECGs of a data set, as one site is held out.

    Attributes:
        training: ECGs of other sites that the image encoder is trained on.
        calibration: ECGs of other sites that the curves are fitted to.
        measured: ECGs of the site, of patients who have none among the others.
        folds: the folds of the measured ones, in words.
    """

    training: Ecgs
    calibration: Ecgs
    measured: Ecgs
    folds: str

    @classmethod
    def of(cls, ecgs: Ecgs, site: str) -> "Split":
        """Hold out a site."""
        seen = [fold for fold in TRAINING_FOLDS if fold != CALIBRATION_FOLD]
        others = ecgs.rows([i for i, each in enumerate(ecgs.records) if each.site != site])
        training, calibration = others.of_folds(seen), others.of_folds([CALIBRATION_FOLD])
        known = {each.patient_id for part in (training, calibration) for each in part.records}
        own = ecgs.rows(
            [
                i
                for i, each in enumerate(ecgs.records)
                if each.site == site and each.patient_id not in known
            ]
        )
        unseen = own.of_folds(UNSEEN_FOLDS)
        if len(unseen.records) >= ENOUGH:
            return cls(training, calibration, unseen, " and ".join(map(str, UNSEEN_FOLDS)))
        return cls(training, calibration, own, "all")


def sites_of(ecgs: Ecgs) -> list[str]:
    """Return the sites that have ECGs enough to be measured alone, the largest first.

    Those of patients whom the others' models have seen do not count, since they are not measured.
    """
    counts = Counter(record.site for record in ecgs.records if record.site)
    large = [site for site, count in counts.most_common() if count >= FEWEST]
    return [site for site in large if len(Split.of(ecgs, site).measured.records) >= FEWEST]


def train_without(training: Training, site: str) -> None:
    """Train the image encoder without a site; arguments as for `measure_site`."""
    dataset = open_dataset(training.data, training.context.work)
    _stage(dataset, Split.of(dataset.ecgs, site), training, site).train_encoder()


def measure_site(training: Training, site: str) -> dict[str, Any]:
    """Measure the ECGs of a site by the finished stages of a training without it.

    The text stage has read the reports of all sites.

    Args:
        training: data, recipe and work folder.
        site: the site.

    Returns:
        Numbers of ECGs, and what `at_one_site` returns.
    """
    dataset = open_dataset(training.data, training.context.work)
    recipe, distributed = training.recipe, training.context.distributed
    split = Split.of(dataset.ecgs, site)
    stage = _stage(dataset, split, training, site)
    image, _ = stage.train_encoder()
    text, reports = stage.fit_margins(image), stage.text
    model = Trained(recipe, reports.tokenizer, text, image, None, reports.corpus.codes)
    curves = calibrate(model, replace(dataset, ecgs=split.calibration), distributed)
    detectors = {
        code: Detector(dataset.kinds[code].description, curve) for code, curve in curves.items()
    }
    patients = np.array([each.patient_id for each in split.measured.records], dtype=np.int64)
    embedder, records = TorchEmbedder(model, distributed), split.measured.records
    found = probabilities_of(embed_ecgs(embedder, split.measured), records, detectors, embedder)
    return {
        "ecgs": len(records),
        "folds": split.folds,
        "trained on": len(stage.ecgs.records),
        "calibrated on": len(split.calibration.records),
        **at_one_site(found, Subset.of(site, np.arange(len(records)), patients)),
    }


def run_held_out_sites(data: Path, work: Path, recipe_file: Path, results: Path, jobs: int) -> None:
    """Measure every site by a model that was trained without it, and print the figures.

    Each model is a stage of the work folder, so an interrupted call goes on where it was.

    Args:
        data: PTB-XL's folder.
        work: folder of stages that are finished.
        recipe_file: the recipe of the image encoders; its matcher, if any, is not trained.
        results: JSON file to write.
        jobs: number of sites that are trained side by side, in processes of one thread each.

    Raises:
        CardexError: if the recipe or the data cannot be used, or the training was interrupted.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    context = RunContext(work, DistributedContext.here())
    training = Training(data, read_recipe(recipe_file), context)
    dataset = open_dataset(data, work)
    sites = sites_of(dataset.ecgs)
    if len(sites) < 2:
        raise InvalidReport(
            f"{data} has not two sites with {FEWEST} ECGs of patients who are at no other site:"
            " none can be held out"
        )
    _require_calibration(dataset.ecgs.records, sites)
    _reports(dataset, training)
    found: dict[str, Any] = {
        "name": recipe_file.stem,
        "recipe": key_of(training.recipe),
        **provenance(context.distributed.device.type),
        "sites": {},
    }
    run_jobs([Job(f"without site {site}", train_without, (training, site)) for site in sites], jobs)
    found["sites"] = {site: measure_site(training, site) for site in sorted(sites)}
    results.parent.mkdir(parents=True, exist_ok=True)
    replace_file(results, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


def _require_calibration(records: Sequence[Record], sites: Sequence[str]) -> None:
    """Refuse, before hours of training, sites without which nothing is left to calibrate with."""
    calibrating = {record.site for record in records if record.fold == CALIBRATION_FOLD}
    for site in sites:
        if not calibrating - {site}:
            raise InvalidReport(
                f"no ECG of fold {CALIBRATION_FOLD} is of another site than {site}, so without it"
                " no probability can be calibrated: put ECGs of other sites into that fold"
            )


def _stage(dataset: Dataset, split: Split, training: Training, site: str) -> ImageStage:
    reports = _reports(dataset, training)
    return ImageStage(
        reports, split.training, training.recipe, training.context, prefix=f"site-{site}-"
    )


def _reports(dataset: Dataset, training: Training) -> Reports:
    return reports_of(dataset, TRAINING_FOLDS, training.recipe, training.context)


def key_of(recipe: Recipe) -> str:
    """Return a hash of a recipe."""
    content = msgspec.json.encode(recipe, order="sorted")
    return hashlib.sha256(content).hexdigest()[:12]
