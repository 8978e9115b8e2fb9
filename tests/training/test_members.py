import os
import signal
import threading
import time

import msgspec
import numpy as np
import pytest
import torch

from cardex.evaluation.dataset import open_dataset
from cardex.evaluation.evaluate import TRAINING_FOLDS
from cardex.training.corpora import Corpus
from cardex.training.members import Training, train_members
from cardex.training.run import Part, train
from cardex.training.text_stage import Reports
from cardex.training.trainer import Plan, Stopped
from tests.helpers import formats

RATE = 100


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest of 48 made-up ECGs of ten seconds, slow and fast, folds 1 to 8."""
    random = np.random.default_rng(0)
    times = np.arange(10 * RATE) / RATE
    rows = ["file,report,codes,fold,patient"]
    for number in range(48):
        code, period = (("FAST", 0.4), ("SLOW", 0.9))[number % 2]
        beat = np.exp(-0.5 * ((np.mod(times, period) - 0.2) / 0.02) ** 2)
        leads = beat * random.uniform(0.5, 1.5, (12, 1)) + 0.01 * random.standard_normal((12, 1000))
        head = f"# rate_hz: {RATE}\n# unit: mV\n"
        (tmp_path / f"{number}.csv").write_bytes(formats.table(leads, head=head))
        rows.append(f"{number}.csv,sinus {code.lower()},{code},{1 + number % 8},p{number}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "manifest.csv"


@pytest.fixture
def training(manifest, recipe, context):
    image = msgspec.structs.replace(recipe.image, members=2, plan=Plan(epochs=1, batch=8))
    text = msgspec.structs.replace(recipe.text, plan=Plan(epochs=1, batch=8))
    small = msgspec.structs.replace(recipe, image=image, text=text, matcher=None)
    return Training(manifest, small, context)


def text_stage(training):
    dataset = open_dataset(training.data, training.context.work)
    corpus = Corpus.of([r for r in dataset.records if r.fold in TRAINING_FOLDS])
    reports = Reports(corpus, dataset.descriptions, training.recipe, training.context)
    return reports, dataset.ecgs.of_folds(TRAINING_FOLDS)


def test_members_that_were_trained_side_by_side_are_those_of_one_process(training, monkeypatch):
    reports, ecgs = text_stage(training)
    train_members(training, list(Part), at_once=2)
    assert len(list(training.context.work.glob("image-*.pt"))) == 2
    assert len(list(training.context.work.glob("calibration-image-*.pt"))) == 2
    with monkeypatch.context() as patched:  # all is there: nothing is trained again
        patched.setattr("cardex.training.stage.Trainer", None)
        found = train(reports, ecgs, training.recipe, training.context)
    for path in training.context.work.glob("image-*.pt"):
        path.unlink()
    alone = train(reports, ecgs, training.recipe, training.context)
    for one, other in zip(found.image.parameters(), alone.image.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_a_stop_of_the_command_stops_every_process(training):
    text_stage(training)
    image = msgspec.structs.replace(training.recipe.image, plan=Plan(epochs=100_000, batch=8))
    endless = Training(
        training.data, msgspec.structs.replace(training.recipe, image=image), training.context
    )

    def stop_when_both_have_begun():
        while len(list(training.context.work.glob("*image-*.csv"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_when_both_have_begun).start()
    with pytest.raises(Stopped, match="goes on from there"):
        train_members(endless, list(Part), at_once=2)
    assert len(list(training.context.work.glob("*image-*.checkpoint"))) == 2
