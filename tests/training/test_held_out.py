import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from cardex.domain.errors import InvalidReport
from cardex.evaluation.dataset import Dataset
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.probabilities import CORRECTIONS
from cardex.reports.ptbxl import StatementKind
from cardex.training import held_out
from cardex.training.held_out import (
    Split,
    key_of,
    measure_site,
    run_held_out_sites,
    sites_of,
)
from cardex.training.members import Training
from cardex.training.recipe import read_recipe
from cardex.training.trainer import Plan
from tests.training.conftest import DESCRIPTIONS

KINDS = {code: StatementKind(words, "", "", False, True) for code, words in DESCRIPTIONS.items()}


@pytest.fixture
def of_sites(ecgs) -> Ecgs:
    """The made-up ECGs at sites 0 (100), 1 (45) and 2 (15); a patient may be at two."""
    sites = ["0"] * 100 + ["1"] * 45 + ["2"] * 15
    records = [replace(each, site=site) for each, site in zip(ecgs.records, sites, strict=True)]
    return Ecgs(records, ecgs.signals, ecgs.calibrated)


@pytest.fixture
def data(monkeypatch, of_sites, tmp_path):
    """The path of a data set that holds these ECGs."""
    dataset = Dataset(of_sites.records, of_sites, KINDS)
    monkeypatch.setattr(held_out, "open_dataset", lambda *_: dataset)
    return tmp_path


@pytest.fixture
def short(recipe):
    image = msgspec.structs.replace(recipe.image, plan=Plan(epochs=3, batch=16))
    return msgspec.structs.replace(recipe, image=image)


def test_sites_of_few_ecgs_are_not_held_out(of_sites):
    assert sites_of(of_sites) == ["0", "1"]


def test_a_site_whose_patients_are_at_other_sites_too_is_not_held_out(of_sites):
    patient_of = {100 + place: place for place in range(20)}  # of site 1, and of site 0
    records = [
        replace(each, patient_id=of_sites.records[patient_of.get(row, row)].patient_id)
        for row, each in enumerate(of_sites.records)
    ]
    shared = replace(of_sites, records=records)
    assert len(Split.of(shared, "1").measured.records) < 30
    assert sites_of(shared) == ["0"]


def test_neither_the_site_nor_its_patients_are_seen(of_sites):
    split = Split.of(of_sites, "1")
    seen = [*split.training.records, *split.calibration.records]
    assert {each.site for each in seen} == {"0", "2"}
    assert {each.fold for each in split.training.records} == set(range(1, 8))
    assert {each.fold for each in split.calibration.records} == {8}
    assert {each.site for each in split.measured.records} == {"1"}
    patients = {each.patient_id for each in seen}
    assert not patients & {each.patient_id for each in split.measured.records}
    assert len(split.measured.records) < 45  # a patient of site 0 is among them


def test_a_large_site_is_measured_on_folds_that_nobody_trains_on(of_sites, monkeypatch):
    assert Split.of(of_sites, "0").folds == "all"
    monkeypatch.setattr(held_out, "ENOUGH", 20)
    split = Split.of(of_sites, "0")
    assert split.folds == "8 and 9"
    assert {each.fold for each in split.measured.records} == {8, 9}


def test_a_site_is_measured_with_every_correction_and_its_stage_is_kept(
    data, of_sites, short, context
):
    training = Training(data, short, context)
    found = measure_site(training, "1")
    split = Split.of(of_sites, "1")
    assert (found["folds"], found["trained on"]) == ("all", len(split.training.records))
    assert list(found["corrected"]) == list(CORRECTIONS)
    low, high = found["difference"][1:]
    assert low <= found["difference"][0] <= high
    (stage,) = context.work.glob("site-1-image-*.pt")
    written = stage.stat().st_mtime_ns
    assert measure_site(training, "1") == found
    assert stage.stat().st_mtime_ns == written


def test_results_are_written_with_what_made_them(data, short, context, monkeypatch, capsys):
    def here(jobs, _at_once):
        for job in jobs:
            job.work(*job.arguments)

    monkeypatch.setattr(held_out, "run_jobs", here)  # another process would not be patched
    monkeypatch.setattr(held_out, "read_recipe", lambda _: short)
    results = data / "results" / "held-out-sites.json"
    run_held_out_sites(data, context.work, data / "small.toml", results, 1)
    found = json.loads(results.read_bytes())
    assert found == json.loads(capsys.readouterr().out)
    assert (found["name"], list(found["sites"])) == ("small", ["0", "1"])
    assert {"recipe", "date", "machine"} <= set(found)


def test_one_site_alone_cannot_be_held_out(data, of_sites, short, context, monkeypatch):
    few = of_sites.rows(np.arange(100).tolist())
    monkeypatch.setattr(held_out, "open_dataset", lambda *_: Dataset(few.records, few, KINDS))
    monkeypatch.setattr(held_out, "read_recipe", lambda _: short)
    with pytest.raises(InvalidReport, match="has not two sites with 30 ECGs of patients"):
        run_held_out_sites(data, context.work, data / "small.toml", data / "r.json", 1)


def test_a_site_that_has_all_of_the_calibration_fold_is_refused_before_anything_is_trained(
    data, of_sites, short, context, monkeypatch
):
    records = [
        replace(each, fold=7 if each.fold == 8 and each.site != "0" else each.fold)
        for each in of_sites.records
    ]
    ecgs = replace(of_sites, records=records)
    monkeypatch.setattr(held_out, "open_dataset", lambda *_: Dataset(records, ecgs, KINDS))
    monkeypatch.setattr(held_out, "read_recipe", lambda _: short)
    with pytest.raises(InvalidReport, match="no ECG of fold 8 is of another site than 0"):
        run_held_out_sites(data, context.work, data / "small.toml", data / "r.json", 1)
    assert not list(context.work.glob("*.pt"))


def test_the_figures_in_the_repository_are_of_its_recipe(root):
    found = json.loads((root / "experiments/results/held-out-sites.json").read_bytes())
    recipe = read_recipe(root / f"experiments/{found['name']}.toml")
    assert found["recipe"] == key_of(recipe), "run `make held-out`"
