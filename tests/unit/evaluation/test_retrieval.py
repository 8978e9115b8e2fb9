import numpy as np
import pytest

from cardex.evaluation import retrieval
from cardex.evaluation.intervals import Subset
from cardex.evaluation.retrieval import Gallery, measure_abnormal, summary

ECGS, ENTRIES, TEXTS = 40, 100, 50
PROTOCOLS = ("strict", "distinct", "clinical")
EVERY = Subset.of("all", np.arange(ECGS), np.arange(ECGS))


def measure(scores, gallery, seed=0):
    """Measure all protocols, and take the figures over all ECGs."""
    return summary(retrieval.measure(scores, scores, gallery, PROTOCOLS, seed), EVERY)


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
    found = measure(scores, gallery)
    assert found["distinct"]["model"]["R@1"] == [100.0, 100.0, 100.0]
    assert found["distinct"]["model"]["median rank"] == 1
    assert found["strict back"]["model"]["R@1"][0] == 100.0
    assert found["clinical"]["model"]["nDCG@10"] == [1.0, 1.0, 1.0]


def test_even_a_perfect_model_cannot_tell_entries_of_one_text_apart(gallery):
    found = measure(np.eye(TEXTS, dtype=np.float32)[:ECGS], gallery)
    same = np.array([(gallery.columns == row).sum() for row in range(ECGS)])
    assert same.max() > 1
    assert found["strict"]["model"]["R@1"][0] == pytest.approx(100 * (1 / same).mean(), abs=0.01)


def test_a_random_model_is_no_better_than_chance(gallery, random):
    runs = [measure(random.standard_normal((ECGS, TEXTS)), gallery, seed) for seed in range(10)]
    for method in ("model", "chance"):
        strict = np.mean([found["strict"][method]["R@10"][0] for found in runs])
        distinct = np.mean([found["distinct"][method]["R@10"][0] for found in runs])
        assert strict == pytest.approx(100 * 10 / ENTRIES, abs=4)
        assert distinct == pytest.approx(100 * 10 / TEXTS, abs=6)


def test_the_majority_baseline_answers_the_commonest_reports_of_the_training(gallery):
    common = Gallery(
        gallery.texts, gallery.columns, gallery.statements, np.arange(TEXTS)[::-1].astype(float)
    )
    found = measure(np.zeros((ECGS, TEXTS)), common)
    # Every ECG is answered texts 0 to k - 1, which are the texts of the first k ECGs.
    for k in (1, 5, 10):
        assert found["distinct"]["majority"][f"R@{k}"][0] == pytest.approx(100 * k / ECGS)
    # It tells no ECG from another, so that an ECG is found as by drawing one.
    assert found["strict back"]["majority"]["R@10"][0] == pytest.approx(100 * 10 / ECGS)


def test_back_the_gallery_is_of_the_folds_own_ecgs(gallery):
    found = measure(np.zeros((ECGS, TEXTS)), gallery)
    assert found["strict"]["model"]["R@10"][0] == pytest.approx(100 * 10 / ENTRIES)
    assert found["strict back"]["model"]["R@10"][0] == pytest.approx(100 * 10 / ECGS)


def test_rsum_is_the_sum_of_both_ways(gallery, random):
    found = measure(random.standard_normal((ECGS, TEXTS)), gallery)
    parts = [
        found[way]["model"][f"R@{k}"][0] for way in ("strict", "strict back") for k in (1, 5, 10)
    ]
    total, low, high = found["strict"]["model"]["RSUM"]
    assert total == pytest.approx(sum(parts), abs=0.03)
    assert low < total < high


def test_the_ecgs_of_a_report_are_ranked_by_scores_of_their_own(gallery, random):
    there = np.eye(TEXTS, dtype=np.float32)[:ECGS]
    answers = retrieval.measure(there, -there, gallery, ("strict",))
    found = summary(answers, EVERY)
    assert found["strict"]["model"]["R@10"][0] > 90.0
    assert found["strict back"]["model"]["R@10"][0] == 0.0


def test_the_paper_s_protocol_asks_abnormal_ecgs_alone(gallery, random):
    abnormal = random.random(ECGS) < 0.5
    count = int(abnormal.sum())
    some = Gallery(
        gallery.texts, gallery.columns[:count], gallery.statements[:count], gallery.commonness
    )
    scores = np.zeros((ECGS, TEXTS), dtype=np.float32)
    scores[abnormal] = np.eye(TEXTS, dtype=np.float32)[:count]
    answers = measure_abnormal(scores, scores, some, abnormal)
    assert set(answers) == {"paper", "paper back"}
    values = answers["paper"]["model"]["R@1"]
    np.testing.assert_array_equal(np.isnan(values), ~abnormal)
    assert summary(answers, EVERY)["paper"]["model"]["RSUM"] == [600.0, 600.0, 600.0]
    normal = Subset.of("normal", np.flatnonzero(~abnormal), np.arange(ECGS))
    assert summary(answers, normal) == {}


def test_a_subset_s_figures_are_the_means_of_its_ecgs(gallery, random):
    scores = random.standard_normal((ECGS, TEXTS))
    answers = retrieval.measure(scores, scores, gallery, PROTOCOLS)
    half = Subset.of("half", np.arange(ECGS // 2), np.arange(ECGS))
    found = summary(answers, half)
    values = answers["distinct"]["model"]["R@10"][: ECGS // 2]
    assert found["distinct"]["model"]["R@10"][0] == pytest.approx(values.mean(), abs=0.01)


def test_differences_are_paired(gallery, random):
    scores = random.standard_normal((ECGS, TEXTS)).astype(np.float32)
    better = scores + 0.5 * np.eye(TEXTS, dtype=np.float32)[:ECGS]
    one, other = (retrieval.measure(each, each, gallery, PROTOCOLS) for each in (better, scores))
    same = retrieval.differences(one, one, EVERY)
    assert set(same) == {"strict", "strict back", "distinct", "clinical"}
    assert all(value == [0.0, 0.0, 0.0] for each in same.values() for value in each.values())
    mean, low, high = retrieval.differences(one, other, EVERY)["distinct"]["R@10"]
    assert 0.0 <= low <= mean <= high
    apart = [summary(each, EVERY)["distinct"]["model"]["R@10"] for each in (one, other)]
    assert mean == pytest.approx(apart[0][0] - apart[1][0], abs=0.02)
    assert high - low < apart[0][2] - apart[0][1]  # each alone is less certain


def test_a_fold_without_statements_has_no_clinical_figure(gallery):
    bare = Gallery(gallery.texts, gallery.columns, np.zeros((ENTRIES, 0), bool), gallery.commonness)
    assert set(measure(np.eye(TEXTS)[:ECGS], bare)) == {"strict", "strict back", "distinct"}


def test_what_has_no_codes_is_neither_asked_nor_found_by_statements(gallery, random):
    coded = np.arange(ENTRIES) % 2 == 0
    partly = Gallery(
        gallery.texts, gallery.columns, gallery.statements & coded[:, None], gallery.commonness
    )
    alone = Gallery(
        gallery.texts, gallery.columns[coded], gallery.statements[coded], gallery.commonness
    )
    scores = random.standard_normal((ECGS, TEXTS))
    own = scores[coded[:ECGS]]
    found = retrieval.measure(scores, scores, partly, ("clinical",))["clinical"]
    expected = retrieval.measure(own, own, alone, ("clinical",))["clinical"]
    for name, values in found["model"].items():
        np.testing.assert_array_equal(np.isnan(values), ~coded[:ECGS])
        np.testing.assert_array_equal(values[coded[:ECGS]], expected["model"][name])
