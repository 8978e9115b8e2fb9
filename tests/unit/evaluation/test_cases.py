import numpy as np
import pytest

from cardex.domain.cases import Nearness
from cardex.evaluation import cases
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.intervals import Subset
from cardex.evaluation.task import Task
from cardex.inference.encoder import ModelInfo
from cardex.reports.ptbxl import Record, report_id
from cardex.signals.image_spec import ImageSpec
from tests.helpers.embeddings import text_vector, unit

CODES = ["AFIB", "NORM"]


class Texts:
    """An embedder of texts alone."""

    specs = (ImageSpec(),)

    def texts(self, texts):
        return np.stack([text_vector(text) for text in texts])

    def images(self, images):
        raise AssertionError("no image is embedded here")


def record(number: int, text: str, *codes: str) -> Record:
    return Record(number, number, 1, text, dict.fromkeys(codes, 100.0), "")


ARCHIVE = [
    record(1, "normal", "NORM"),
    record(2, "normal", "NORM"),
    record(3, "normal"),
    record(4, "flutter", "AFIB"),
]


def task_of(*asked: Record) -> Task:
    ecgs = Ecgs(list(asked), np.zeros((len(asked), 12, 1), np.float32), np.ones(len(asked), bool))
    return Task(ecgs, [], [], ARCHIVE, {})


@pytest.fixture
def archive():
    vectors = unit(np.random.default_rng(0).normal(size=(4, 8)))
    return cases.Archive.of(ARCHIVE, vectors, Texts(), CODES), vectors


def test_a_text_has_the_statements_of_most_of_its_records(archive):
    held, _ = archive
    rows = dict(zip(held.texts, held.statements.tolist(), strict=True))
    assert rows == {"normal": [False, True], "flutter": [True, False]}
    assert dict(zip(held.texts, held.commonness, strict=True)) == {"normal": 3, "flutter": 1}


@pytest.fixture
def model():
    return cases.Model(Texts(), ModelInfo("m", ImageSpec(), 8), None)


def test_by_ecg_a_text_scores_as_its_nearest_case(archive, model):
    held, vectors = archive
    asked = vectors[3:]
    (found,) = model.found(held, asked, Nearness.ECG)
    similarities = vectors @ asked[0]
    assert [match.report_id for match in found] == [report_id("flutter"), report_id("normal")]
    scores = [match.score for match in found]
    assert scores == pytest.approx([1.0, similarities[:3].max()], abs=1e-6)


def test_each_way_is_measured_and_what_it_has_more_than_the_reports(archive, model):
    held, vectors = archive
    # By their texts the two are found the wrong way round, by their ECGs the right way.
    asked = task_of(record(10, "flutter", "AFIB"), record(11, "normal", "NORM"))
    wrong = np.stack([text_vector("normal"), text_vector("flutter")])
    found = cases.measure(model, held, asked, wrong, CODES)
    assert found["REPORT"]["R@1"].tolist() == [0.0, 0.0]
    assert found["majority"]["R@1"].tolist() == [0.0, 100.0]
    right = np.stack([vectors[3], vectors[0]])
    found = cases.measure(model, held, asked, right, CODES)
    assert found["ECG"]["R@1"].tolist() == [100.0, 100.0]
    assert found["ECG"]["jaccard@5"].tolist() == [0.5, 0.5]
    every = Subset.of("all", np.arange(2), np.arange(2))
    told = cases.summary(found, held, 4, every)
    assert told["archive"] == {"cases": 4, "texts": 2, "limit": [100.0]}
    gap = found["ECG"]["R@1"].mean() - found["REPORT"]["R@1"].mean()
    assert told["more than REPORT"]["ECG"]["R@1"][0] == gap


def test_a_text_that_the_archive_lacks_is_found_by_nobody(archive, model):
    held, vectors = archive
    found = cases.measure(model, held, task_of(record(10, "new", "NORM")), vectors[:1], CODES)
    assert found.pop("limit") == {"limit": [0.0]}
    for way in found.values():
        assert way["R@10"].tolist() == [0.0]


def test_an_ecg_without_codes_agrees_with_nobody_knows_what(archive, model):
    held, vectors = archive
    asked = task_of(record(10, "normal"), record(11, "normal", "NORM"))
    found = cases.measure(model, held, asked, vectors[:2], CODES)
    every = Subset.of("all", np.arange(2), np.arange(2))
    for name in ("ECG", "majority", "chance"):
        for figure in ("jaccard@5", "nDCG@10"):
            assert np.isnan(found[name][figure]).tolist() == [True, False]
    alone = cases.measure(model, held, task_of(record(10, "normal")), vectors[:1], CODES)
    told = cases.summary(alone, held, 4, Subset.of("all", np.arange(1), np.arange(1)))
    assert set(told["figures"]["ECG"]) == {"R@1", "R@5", "R@10"}
    assert "jaccard@5" in cases.summary(found, held, 4, every)["figures"]["ECG"]


def test_of_a_text_those_records_count_that_have_codes(model):
    records = [record(number, "normal") for number in range(5)] + [record(9, "normal", "NORM")]
    held = cases.Archive.of(records, unit(np.eye(6, 8)), Texts(), CODES)
    assert held.statements.tolist() == [[False, True]]


def test_the_majority_has_the_best_order_for_agreement_too(model):
    """The commonest text may say nothing, and agree with nobody."""
    records = [record(number, "only traced") for number in range(3)]
    records += [record(9, "normal", "NORM"), record(10, "normal ecg", "NORM")]
    held = cases.Archive.of(records, unit(np.eye(5, 8)), Texts(), CODES)
    typical = dict(zip(held.texts, held.typicality, strict=True))
    assert typical == pytest.approx({"only traced": 0.0, "normal": 0.4, "normal ecg": 0.4})
    asked = task_of(record(20, "normal", "NORM"))
    found = cases.measure(model, held, asked, np.eye(1, 8, dtype=np.float32), CODES)["majority"]
    assert found["nDCG@10"].tolist() == [1.0]
    assert found["R@1"].tolist() == [0.0]
