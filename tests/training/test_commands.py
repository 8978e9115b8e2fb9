from dataclasses import replace

import msgspec
import numpy as np
import pytest

from cardex.domain.errors import InvalidReport
from cardex.evaluation.dataset import Dataset
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embeddings import embed_ecgs
from cardex.evaluation.evaluate import TRAINING_FOLDS
from cardex.evaluation.novelty import fit_space
from cardex.reports.ptbxl import StatementKind
from cardex.training import commands
from cardex.training.commands import (
    Options,
    calibrate,
    novelty_of,
    run_train,
    warn_of_unused_weights,
)
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.run import train, train_calibration_model
from tests.training.conftest import DESCRIPTIONS

HERE = DistributedContext()


@pytest.fixture
def dataset(ecgs) -> Dataset:
    kinds = {
        code: StatementKind(words, "", "", False, True) for code, words in DESCRIPTIONS.items()
    }
    return Dataset(ecgs.records, ecgs, kinds)


@pytest.fixture
def seen(ecgs) -> Ecgs:
    return ecgs.of_folds(TRAINING_FOLDS)


@pytest.fixture
def models(reports, seen, recipe, context):
    """The served model, and the one that has not seen the calibration fold."""
    bare = msgspec.structs.replace(recipe, matcher=None)
    served = train(reports, seen, bare, context)
    image, text = train_calibration_model(reports, seen, bare, context)
    return served, replace(served, image=image, text=text)


def test_novelty_is_of_the_served_model_with_the_other_one_s_thresholds(models, dataset, seen):
    served, other = models
    found = novelty_of(served, other, dataset, HERE)
    vectors = embed_ecgs(TorchEmbedder(served, HERE), seen)
    np.testing.assert_allclose(found.space.mean, fit_space(vectors).mean, atol=1e-6)
    own = fit_space(embed_ecgs(TorchEmbedder(other, HERE), dataset.ecgs.of_folds(range(1, 8))))
    unseen = embed_ecgs(TorchEmbedder(other, HERE), dataset.ecgs.of_folds([8]))
    expected = np.quantile(own.distances(unseen), 0.99, axis=0)
    np.testing.assert_allclose(found.thresholds, expected, rtol=1e-5)


def test_curves_tell_the_share_that_they_were_fitted_with(models, dataset):
    curves = calibrate(models[1], dataset, HERE)
    fold = dataset.ecgs.of_folds([8]).records
    for code, curve in curves.items():
        positive = sum(code in record.codes for record in fold)
        assert curve.share == (positive + 0.5) / (len(fold) + 1.0)


def test_a_calibration_fold_without_waveforms_is_named(models, dataset):
    bare = replace(dataset, ecgs=dataset.ecgs.of_folds([1, 2]))
    with pytest.raises(InvalidReport, match="fold 8"):
        calibrate(models[1], bare, HERE)


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        ([1], "in fold 8, which calibrates, nor in fold 9, which measures; it has folds 1:"),
        ([2, 3, 8], "in fold 9, which measures; it has folds 2, 3, 8:"),
        ([8, 9], "in folds 1 to 7, which train; it"),
    ],
)
def test_a_part_without_ecgs_is_named_before_anything_is_trained(
    dataset, monkeypatch, tmp_path, folds, words
):
    (tmp_path / "small.toml").write_text("[matcher]\n")
    few = replace(dataset, ecgs=dataset.ecgs.of_folds(folds))
    monkeypatch.setattr(commands, "open_dataset", lambda *_: few)
    monkeypatch.setattr(commands, "Reports", None)  # the first stage
    with pytest.raises(InvalidReport, match=words):
        run_train(tmp_path, tmp_path, tmp_path, tmp_path / "small.toml", Options())


def test_a_weight_of_a_statement_that_the_data_lacks_is_told(recipe, reports, caplog):
    image = msgspec.structs.replace(recipe.image, voltages_of={"SLOW": 1.0, "VCLHV": 1.0})
    warn_of_unused_weights(msgspec.structs.replace(recipe, image=image), reports.corpus)
    (message,) = caplog.messages
    assert "image.voltages_of" in message and "VCLHV" in message and "SLOW" not in message
    caplog.clear()
    warn_of_unused_weights(recipe, reports.corpus)
    assert not caplog.messages


def test_an_ecg_without_a_report_does_not_fill_its_fold(dataset, tmp_path):
    ecgs = dataset.ecgs
    records = [replace(each, text="") if each.fold == 9 else each for each in ecgs.records]
    with pytest.raises(InvalidReport, match="fold 9, which measures"):
        commands.refuse_empty_parts(tmp_path, replace(dataset, ecgs=replace(ecgs, records=records)))
