import numpy as np
import pytest

from cardex.evaluation.retrieval import Gallery, interval, measure

ECGS, ENTRIES, TEXTS = 40, 100, 50


@pytest.fixture
def random():
    return np.random.default_rng(3)


@pytest.fixture
def gallery(random) -> Gallery:
    """100 entries of 50 texts; the first 40 entries are the ECGs' own, with a text each."""
    columns = np.concatenate([np.arange(ECGS), random.integers(0, TEXTS, ENTRIES - ECGS)])
    statements = np.eye(TEXTS, dtype=bool)[columns]  # equal texts, equal statements
    return Gallery([f"text {n}" for n in range(TEXTS)], columns, statements, np.zeros(TEXTS))


def test_a_perfect_model_finds_every_text(gallery):
    scores = np.eye(TEXTS, dtype=np.float32)[:ECGS]
    found = measure(scores, gallery, np.arange(ECGS))
    assert found["distinct"]["model"]["R@1"] == [100.0, 100.0, 100.0]
    assert found["distinct"]["model"]["median rank"] == 1
    assert found["strict back"]["model"]["R@1"][0] == 100.0
    assert found["clinical"]["model"]["nDCG@10"] == [1.0, 1.0, 1.0]


def test_even_a_perfect_model_cannot_tell_entries_of_one_text_apart(gallery):
    found = measure(np.eye(TEXTS, dtype=np.float32)[:ECGS], gallery, np.arange(ECGS))
    same = np.array([(gallery.columns == row).sum() for row in range(ECGS)])
    assert same.max() > 1
    assert found["strict"]["model"]["R@1"][0] == pytest.approx(100 * (1 / same).mean(), abs=0.01)


def test_a_random_model_is_no_better_than_chance(gallery, random):
    runs = [
        measure(random.standard_normal((ECGS, TEXTS)), gallery, np.arange(ECGS), seed)
        for seed in range(10)
    ]
    for method in ("model", "chance"):
        strict = np.mean([found["strict"][method]["R@10"][0] for found in runs])
        distinct = np.mean([found["distinct"][method]["R@10"][0] for found in runs])
        assert strict == pytest.approx(100 * 10 / ENTRIES, abs=4)
        assert distinct == pytest.approx(100 * 10 / TEXTS, abs=6)


def test_the_majority_baseline_answers_the_commonest_reports_of_the_training(gallery):
    common = Gallery(
        gallery.texts, gallery.columns, gallery.statements, np.arange(TEXTS)[::-1].astype(float)
    )
    found = measure(np.zeros((ECGS, TEXTS)), common, np.arange(ECGS))
    # Every ECG is answered texts 0 to k - 1, which are the texts of the first k ECGs.
    for k in (1, 5, 10):
        assert found["distinct"]["majority"][f"R@{k}"][0] == pytest.approx(100 * k / ECGS)
    # It tells no ECG from another, so that an ECG is found as by drawing one.
    assert found["strict back"]["majority"]["R@10"][0] == pytest.approx(100 * 10 / ECGS)


def test_back_the_gallery_is_of_the_folds_own_ecgs(gallery):
    found = measure(np.zeros((ECGS, TEXTS)), gallery, np.arange(ECGS))
    assert found["strict"]["model"]["R@10"][0] == pytest.approx(100 * 10 / ENTRIES)
    assert found["strict back"]["model"]["R@10"][0] == pytest.approx(100 * 10 / ECGS)


def test_rsum_is_the_sum_of_both_ways(gallery, random):
    found = measure(random.standard_normal((ECGS, TEXTS)), gallery, np.arange(ECGS))
    parts = [
        found[way]["model"][f"R@{k}"][0] for way in ("strict", "strict back") for k in (1, 5, 10)
    ]
    assert found["RSUM"]["model"] == pytest.approx(sum(parts), abs=0.01)


def test_an_interval_holds_the_mean_and_is_wider_where_patients_repeat(random):
    values = np.repeat(random.random(50), 4)
    alone = [random.integers(0, 200, 200) for _ in range(500)]
    patients = np.arange(200).reshape(50, 4)
    whole = [patients[random.integers(0, 50, 50)].ravel() for _ in range(500)]
    narrow, wide = interval(values, alone), interval(values, whole)
    assert narrow.low < narrow.mean < narrow.high
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_a_fold_without_statements_has_no_clinical_figure_but_zero(gallery):
    bare = Gallery(gallery.texts, gallery.columns, np.zeros((ENTRIES, 0), bool), gallery.commonness)
    found = measure(np.eye(TEXTS)[:ECGS], bare, np.arange(ECGS))
    assert found["clinical"]["model"]["nDCG@10"] == [0.0, 0.0, 0.0]
