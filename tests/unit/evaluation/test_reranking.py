import numpy as np
import pytest

from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.reranking import ask, combined, compare
from cardex.evaluation.retrieval import Gallery
from cardex.reports.ptbxl import Record
from cardex.signals.image_spec import ImageSpec

TEXTS = ["none", "one i", "two ii", "three iii"]


class Counting:
    """Matches by the length of the text; keeps what it was asked."""

    spec = ImageSpec(layout="raster", scaling="deviation", window_s=1.0)

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def match(self, image, texts):
        assert image.shape == self.spec.shape
        self.asked.append(list(texts))
        return np.array([len(text) for text in texts], dtype=np.float32)


@pytest.fixture
def scores():
    return np.array([[0.9, 0.5, 0.4, 0.1], [0.1, 0.2, 0.3, 0.4]], dtype=np.float32)


@pytest.fixture
def ecgs():
    signals = np.random.default_rng(0).standard_normal((2, 12, 100)).astype(np.float32)
    records = [Record(number, number, 9, "x", {}, "") for number in range(2)]
    return Ecgs(records, signals, np.ones(2, dtype=bool))


def test_only_the_nearest_are_matched_the_nearest_first(scores, ecgs):
    matcher = Counting()
    match_logits, cost = ask(matcher, ecgs, TEXTS, scores, 2)
    assert matcher.asked == [["none", "one i"], ["three iii", "two ii"]]
    np.testing.assert_array_equal(match_logits, [[4, 5, np.nan, np.nan], [np.nan, np.nan, 6, 9]])
    assert cost >= 0.0


def test_more_than_there_are_is_all(scores, ecgs):
    match_logits, _ = ask(Counting(), ecgs, TEXTS, scores, 99)
    assert np.isfinite(match_logits).all()


def test_the_order_is_by_similarity_plus_weighted_match_logits_and_the_rest_stays_below(scores):
    match_logits = np.array([[4, 5, np.nan, np.nan], [np.nan, np.nan, 9, 6]], dtype=np.float32)
    found = combined(scores, match_logits, 1.0)
    assert (-found).argsort(axis=1).tolist() == [[1, 0, 2, 3], [2, 3, 1, 0]]
    np.testing.assert_allclose(found[0, :2], [4.9, 5.5], rtol=1e-6)


def test_what_is_not_matched_stays_below_even_where_the_matcher_says_no(scores):
    match_logits = np.array(
        [[-50, -60, np.nan, np.nan], [np.nan, np.nan, -70, -80]], dtype=np.float32
    )
    found = combined(scores, match_logits, 1.0)
    assert (-found).argsort(axis=1).tolist() == [[0, 1, 2, 3], [2, 3, 1, 0]]


def test_no_two_scores_become_equal_that_were_not():
    scores = np.array([[1.0, 0.5, np.nextafter(np.float32(0.5), 0)]], dtype=np.float32)
    found = combined(scores, np.array([[-900.0, np.nan, np.nan]], dtype=np.float32), 1.0)
    assert found[0, 1] > found[0, 2]


@pytest.mark.parametrize("known", [True, False])
def test_all_or_none_matched(scores, known):
    match_logits = np.full(scores.shape, 1.0 if known else np.nan, dtype=np.float32)
    np.testing.assert_allclose(combined(scores, match_logits, 2.0), scores + 2.0 * known, atol=1e-6)


def test_weights_are_measured_side_by_side():
    scores = (np.full((4, 4), 0.5) - 0.4 * np.eye(4)).astype(np.float32)  # the own text is the last
    gallery = Gallery(TEXTS, np.arange(4), np.eye(4, dtype=bool), np.zeros(4))
    by_weight = compare(scores, np.eye(4, dtype=np.float32), scores, gallery, (0.0, 1.0))
    recall = [answers["distinct"]["model"]["R@1"].mean() for answers in by_weight]
    assert recall == [0.0, 100.0]


def test_entries_of_one_text_have_one_score(scores):
    columns = np.array([0, 1, 1, 1])  # three entries share the second text
    gallery = Gallery(TEXTS, columns, np.zeros((4, 1), bool), np.zeros(4))
    match_logits = np.array([[0, 9, np.nan, np.nan]] * 2, dtype=np.float32)
    (answers,) = compare(scores, match_logits, scores, gallery, (1.0,), ("strict",))
    # The first ECG's own stands behind those three; the second's is one of the three.
    assert answers["strict"]["model"]["R@1"] == pytest.approx([0.0, 100 / 3])
