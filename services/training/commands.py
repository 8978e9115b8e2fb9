"""What `cardex train` does."""

import json
import logging
from collections import Counter
from pathlib import Path

from services.retrieval.ptbxl import read_records
from services.training.data import load
from services.training.evaluate import evaluate
from services.training.export import export
from services.training.run import TEST_FOLD, TRAINING_FOLDS, Recipe, train


def run_train(ptbxl: Path, work: Path, repository: Path) -> None:
    """Train, measure on the test fold, export, and print the figures.

    Raises:
        CardexError: if the folder holds no data, the loss is not finite, or the export differs.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    trained = train(ptbxl, work, Recipe())
    counts = Counter(r.text for r in read_records(ptbxl) if r.fold in TRAINING_FOLDS)
    majority = [text for text, _ in counts.most_common()]
    figures = evaluate(trained, load(ptbxl, work).of_folds([TEST_FOLD]), majority)
    version = export(trained, repository, figures)
    print(json.dumps({"model_version": version, **figures}, indent=2))
