"""What `cardex train` does."""

import json
import logging
from collections import Counter
from pathlib import Path

from services.retrieval.ptbxl import DUPLICATES, read_records
from services.training.data import load
from services.training.evaluate import evaluate, fill_up
from services.training.export import export
from services.training.run import TEST_FOLD, TRAINING_FOLDS, Recipe, train

GALLERY = 1269
"""The size that the first paper's figures come from: they are multiples of 1/1269."""
GALLERY_FOLDS = (9, 10)


def run_train(ptbxl: Path, work: Path, repository: Path) -> None:
    """Train, measure on the test fold, export, and print the figures.

    Raises:
        CardexError: if the folder holds no data, the loss is not finite, or the export differs.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    trained = train(ptbxl, work, Recipe())
    records = [r for r in read_records(ptbxl) if r.ecg_id not in DUPLICATES]
    counts = Counter(r.text for r in records if r.fold in TRAINING_FOLDS)
    majority = [text for text, _ in counts.most_common()]
    fold = load(ptbxl, work).of_folds([TEST_FOLD])
    figures = evaluate(trained, fold, fill_up(records, fold, GALLERY_FOLDS, GALLERY), majority)
    version = export(trained, repository, figures)
    print(json.dumps({"model_version": version, **figures}, indent=2))
