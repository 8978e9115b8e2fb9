from dataclasses import replace

import numpy as np
import pytest

from cardex.domain.errors import InvalidReport
from cardex.evaluation.dataset import Dataset
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.task import abnormal_gallery_of, gallery_of, task_of
from cardex.reports.ptbxl import Record, StatementKind

KINDS = {code: StatementKind(code, "", "", False, False) for code in ("AFIB", "NORM")}


def record(number: int) -> Record:
    code = "NORM" if number % 3 else "AFIB"
    return Record(number, number // 2, 1 + number % 10, f"{code} {number % 20}", {code: 100.0}, "")


@pytest.fixture
def dataset() -> Dataset:
    """300 records of folds 1 to 10; those with an odd number, and fold 9, have a waveform."""
    records = [record(number) for number in range(300)]
    own = [each for each in records if each.ecg_id % 2 or each.fold == 9]
    ecgs = Ecgs(own, np.zeros((len(own), 12, 100), np.float32), np.ones(len(own), dtype=bool))
    return Dataset(records, ecgs, KINDS)


def test_no_training_record_of_the_fold_is_in_the_majority_or_the_index(dataset):
    task = task_of(dataset, 4, size=40)
    assert {r.fold for r in task.training} == {1, 2, 3, 5, 6, 7, 8}
    assert {r.fold for r in task.others} <= {4, 9, 10}
    own = {r.ecg_id for r in task.records}
    assert not own & {r.ecg_id for r in task.others}


def test_a_fold_without_ecgs_is_refused_with_the_folds_there_are(dataset):
    with pytest.raises(InvalidReport, match=r"fold 12 has no waveform.* 2, 4, 6"):
        task_of(dataset, 12)


def test_the_gallery_begins_with_the_ecgs_own_reports(dataset):
    task = task_of(dataset, 9, size=50)
    gallery = gallery_of(task)
    assert len(gallery.columns) == 50
    own = [gallery.texts[column] for column in gallery.columns[: len(task.records)]]
    assert own == [each.text for each in task.records]
    assert gallery.commonness.sum() <= len(task.training)


def test_the_abnormal_gallery_has_abnormal_reports_alone(dataset):
    task = task_of(dataset, 9, size=15)
    gallery = abnormal_gallery_of(task)
    assert len(gallery.columns) == 15
    assert all(text.startswith("AFIB") for text in gallery.texts)
    own = [gallery.texts[column] for column in gallery.columns[: int(task.abnormal.sum())]]
    assert own == [each.text for each in task.records if each.abnormal]
    assert all(each.abnormal and each.fold in (9, 10) for each in task.abnormal_others)


def test_subsets_split_the_fold_where_the_data_set_tells_them_apart(dataset):
    (every,) = task_of(dataset, 9).subsets()
    assert (every.name, len(every.rows)) == ("all", 30)
    listed = frozenset(range(0, 300, 20)) | frozenset({8, 18})
    task = task_of(replace(dataset, representative=listed), 9)
    sizes = {subset.name: len(subset.rows) for subset in task.subsets()}
    assert sizes == {"all": 30, "representative": 2, "other": 28}
    assert [subset.name for subset in task.subsets(["other"])] == ["other"]
    all_of_them = replace(dataset, representative=frozenset(range(300)))
    assert [subset.name for subset in task_of(all_of_them, 9).subsets()] == ["all"]


@pytest.mark.parametrize(("listed", "name"), [((), "other"), ((1,), "representative")])
def test_a_subset_that_has_no_ecg_is_refused(dataset, listed, name):
    task = task_of(replace(dataset, representative=frozenset(listed)), 9)
    with pytest.raises(InvalidReport, match=f"called {name} are not told apart in this fold"):
        task.subsets([name])
