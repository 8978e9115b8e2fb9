"""The ECGs and reports that graphs in reduced precision are compared on."""

import numpy as np
import pytest

from cardex.domain.errors import InvalidReport
from cardex.evaluation.dataset import Dataset
from cardex.evaluation.ecgs import Ecgs
from cardex.inference.repository import newest
from cardex.models.comparison import sample_of
from cardex.reports.ptbxl import Record


@pytest.fixture
def release(root):
    return newest(root / "model_repository")


def of_texts(count: int) -> Dataset:
    """One ECG of fold 9, and as many distinct reports as are asked for, each twice."""
    records = [Record(n, n, 9, f"report {n % count}", {}, "") for n in range(2 * count)]
    signals = np.random.default_rng(0).normal(size=(1, 12, 1000)).astype(np.float32)
    return Dataset(records, Ecgs(records[:1], signals, np.ones(1, dtype=bool)), {})


def test_a_fold_and_its_distinct_reports_are_compared(release):
    sample = sample_of(release, of_texts(11), 9)
    assert (len(sample.images), len(sample.tokens)) == (1, 11)


def test_too_few_reports_to_differ_are_refused(release):
    with pytest.raises(InvalidReport, match=r"10 distinct reports.* give data with at least 11"):
        sample_of(release, of_texts(10), 9)
