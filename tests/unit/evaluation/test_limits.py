from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cardex.evaluation.dataset import Dataset
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.limits import gallery_warnings, obstacles
from cardex.evaluation.protocols import PROTOCOLS, RETRIEVAL
from cardex.evaluation.task import Task, task_of
from cardex.reports.ptbxl import Record, StatementKind
from tests.helpers.fake_model import calibration

KINDS = {code: StatementKind(code, "", "", False, False) for code in ("AFIB", "NORM")}


def record(number: int) -> Record:
    """Every second one is normal; there are eight texts."""
    code = "AFIB" if number % 2 else "NORM"
    return Record(number, number, 9 if number < 30 else 10, f"{number % 8}", {code: 100.0}, "")


def task(ecgs: int, size: int) -> Task:
    """So many ECGs ask; there are 100 reports."""
    records = [record(number) for number in range(100)]
    own = Ecgs(records[:ecgs], np.zeros((ecgs, 12, 100), np.float32), np.ones(ecgs, dtype=bool))
    return task_of(Dataset(records, own, {}), 9, size)


def test_a_gallery_as_asked_for_needs_no_warning():
    assert gallery_warnings(task(30, 40), 40, ("paper", "strict", "clinical")) == []
    assert gallery_warnings(task(30, 20), 40, ("cases", "drafts")) == []


@pytest.mark.parametrize(
    ("protocol", "size", "words"),
    [
        ("strict", 20, "the gallery has 30 reports, not 20: every ECG's own report is searched"),
        ("clinical", 200, "has 100 reports, not 200: the fold and folds 9 and 10 have no more"),
        ("paper", 60, "has 50 abnormal reports, not 60: the fold and folds 9 and 10 have no more"),
        ("paper", 12, "has 15 abnormal reports, not 12: every ECG's own report is searched"),
    ],
)
def test_a_gallery_that_is_not_as_asked_for_is_named(protocol, size, words):
    (found,) = gallery_warnings(task(30, size), size, (protocol,))
    assert words in found


def test_what_is_not_more_than_the_k_of_a_recall_is_named():
    (found,) = gallery_warnings(task(10, 11), 11, RETRIEVAL)
    assert "R@k says nothing" in found
    assert "8 distinct reports, 10 ECGs, 5 abnormal ECGs:" in found


def told(asked: Task, rows: int = 30, **embedder: Any) -> dict[str, str]:
    model = {"version": "m", "novelty": object(), "calibration": calibration("AFIB"), **embedder}
    return obstacles(PROTOCOLS, asked, np.arange(rows), SimpleNamespace(**model))  # type: ignore[arg-type]


@pytest.fixture
def whole() -> Task:
    """Thirty ECGs with codes, which are also those of the training."""
    asked = task(30, 40)
    return replace(asked, training=asked.records, kinds=KINDS)


def test_what_has_all_it_needs_has_no_obstacle(whole):
    assert told(whole) == {}


def test_each_protocol_tells_what_it_lacks(whole):
    assert told(whole, novelty=None) == {"out-of-distribution": "m has no novelty.json"}
    assert told(whole, calibration=None) == {"probabilities": "m has no statements.json"}
    others = told(whole, calibration=calibration("XX"))
    assert others == {"probabilities": "m knows none of the statements"}
    assert set(told(replace(whole, training=[]))) == {"cases", "drafts"}
    assert set(told(replace(whole, kinds={}))) == {"zero-shot", "languages", "probabilities"}
    assert told(whole, rows=8) == {"languages": "no statement has ECGs enough"}
    assert set(told(whole, rows=1)) == {"paper", "languages"}
