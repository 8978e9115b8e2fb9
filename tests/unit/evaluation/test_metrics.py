import itertools

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from cardex.evaluation.metrics import (
    RANKS,
    agreement,
    aurocs,
    expected_ranks,
    mean_gain,
    ndcg,
    nearest,
    recalls,
    resamples,
)


def random(seed=0):
    return np.random.default_rng(seed)


def test_recall_is_the_mean_over_all_orders_of_equal_scores():
    scores = random().integers(0, 3, (6, 7)).astype(np.float32)  # many ties
    own = random(1).integers(0, 7, 6)
    counts = np.zeros((6, len(RANKS)))
    every = [np.array(order) for order in itertools.permutations(range(7))]
    for breaker in every:
        order = np.lexsort((np.broadcast_to(breaker, scores.shape), -scores), axis=1)
        rank = (order == own[:, None]).argmax(axis=1)
        counts += rank[:, None] < np.array(RANKS)
    np.testing.assert_allclose(recalls(scores, own), counts / len(every))


def test_what_is_no_number_comes_last():
    scores = np.array([[np.nan, np.nan], [np.nan, 0.5], [0.5, np.nan]])
    found = recalls(scores, np.array([0, 0, 0]))[:, 0]
    assert found.tolist() == [0.5, 0.0, 1.0]


def test_expected_ranks_count_from_one_and_halve_ties():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [0.0, 5.0, 1.0]], dtype=np.float32)
    assert expected_ranks(scores, np.array([0, 0, 0])).tolist() == [1.0, 2.0, 3.0]


def test_the_nearest_stand_first_and_equal_ones_in_any_order():
    scores = np.array([[1.0, 3.0, 3.0, 2.0]], dtype=np.float32)
    firsts = {int(nearest(scores, 3, random(seed))[0, 0]) for seed in range(30)}
    assert firsts == {1, 2}
    assert nearest(scores, 3, random())[0, 2] == 3


def test_agreement_is_the_jaccard_index():
    true = np.array([[1, 1, 0], [0, 0, 0]], dtype=bool)
    gallery = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0]], dtype=bool)
    np.testing.assert_allclose(agreement(true, gallery), [[1.0, 1 / 3, 0.0], [0.0, 0.0, 0.0]])


def test_gains_by_hand():
    gains = np.array([[1.0, 0.5, 0.0]])
    order = np.array([[2, 0]])
    assert mean_gain(gains, order)[0] == 0.5
    ideal = 1.0 + 0.5 / np.log2(3)
    assert ndcg(gains, order)[0] == pytest.approx((1.0 / np.log2(3)) / ideal)
    assert ndcg(gains, np.array([[0, 1]]))[0] == pytest.approx(1.0)
    assert ndcg(np.zeros((1, 3)), order)[0] == 0.0


def test_auroc_is_the_share_of_pairs_in_order():
    scores = random().integers(0, 9, (60, 3)).astype(np.float32)
    true = random(1).random((60, 3)) < 0.3
    true[:, 2] = False
    true[:4, 2] = True  # too few
    found = aurocs(scores, true)
    for column in range(2):
        own, other = scores[true[:, column], column], scores[~true[:, column], column]
        pairs = own[:, None] - other[None]
        assert found[column] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert np.isnan(found[2])


def test_resamples_keep_a_patients_records_together():
    groups = np.array([7, 7, 1, 2, 2, 2])
    for rows in resamples(groups, 50, 0):
        drawn = np.bincount(rows, minlength=6)
        assert drawn[0] == drawn[1]
        assert drawn[3] == drawn[4] == drawn[5]
        assert len({groups[row] for row in rows}) <= 3
    first, second = resamples(groups, 2, 0)
    assert not np.array_equal(first, second)


def test_auroc_and_ndcg_are_those_of_scikit_learn():
    scores = random().integers(0, 20, (60, 4)).astype(np.float32)  # with ties
    true = random(1).random((60, 4)) < 0.3
    np.testing.assert_allclose(aurocs(scores, true), roc_auc_score(true, scores, average=None))
    gains, distinct = (
        random(2).random((5, 30)),
        random(3).permuted(np.tile(np.arange(30.0), (5, 1)), axis=1),
    )
    expected = [ndcg_score([own], [row], k=10) for own, row in zip(gains, distinct, strict=True)]
    np.testing.assert_allclose(ndcg(gains, nearest(distinct, 10, random())), expected)
