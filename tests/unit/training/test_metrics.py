import numpy as np
import pytest

from services.training.metrics import by_text, jaccard, macro_auroc, ranks, recall


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_the_rank_is_that_of_the_own_entry(random):
    scores = np.array([[0.1, 0.9, 0.5], [0.2, 0.1, 0.3]], dtype=np.float32)
    assert ranks(scores, np.array([2, 2]), random).tolist() == [1, 0]


def test_equal_scores_are_ordered_at_random_and_not_by_place(random):
    scores = np.zeros((2000, 4), dtype=np.float32)
    found = ranks(scores, np.zeros(2000, dtype=np.int64), random)
    np.testing.assert_allclose(np.bincount(found, minlength=4) / 2000, 0.25, atol=0.04)


def test_a_text_has_the_score_of_its_best_entry():
    scores = np.array([[0.1, 0.9, 0.5, 0.7]], dtype=np.float32)
    np.testing.assert_array_equal(
        by_text(scores, np.array([0, 0, 1, 1])), np.array([[0.9, 0.7]], dtype=np.float32)
    )


def test_recall_counts_the_ranks_below_k():
    assert recall(np.array([0, 3, 7, 100])) == {"R@1": 25.0, "R@5": 50.0, "R@10": 75.0}


def test_jaccard_is_shared_over_either_of_the_first_five(random):
    gallery = np.array([[1, 0], [1, 1], [0, 1], [1, 0], [1, 0], [0, 0]], dtype=bool)
    scores = np.array([[6, 5, 4, 3, 2, 1]], dtype=np.float32)
    true = np.array([[True, False]])
    assert jaccard(scores, true, gallery, random) == pytest.approx((1 + 0.5 + 0 + 1 + 1) / 5)


def test_auroc_is_the_share_of_pairs_in_the_right_order(random):
    labels = random.random(400) < 0.3
    scores = (random.random(400) + labels * 0.5).astype(np.float32)
    pairs = scores[labels][:, None] - scores[~labels][None]
    expected = float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())
    assert macro_auroc(scores[:, None], labels[:, None]) == pytest.approx(expected, abs=1e-4)


def test_a_statement_that_hardly_occurs_does_not_count(random):
    labels = np.zeros((100, 2), dtype=bool)
    labels[:50, 0], labels[0, 1] = True, True
    scores = np.stack([labels[:, 0] * 1.0, np.linspace(0, 1, 100)], axis=1).astype(np.float32)
    assert macro_auroc(scores, labels) == 1.0
