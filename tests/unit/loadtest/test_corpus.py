"""Made reports of any number, and the recall of a search in them."""

import numpy as np
import pytest

from cardex.domain.reports import Report
from loadtest.corpus import NOISE, between, copies, exact_scores, recall
from tests.helpers.embeddings import unit


@pytest.fixture(scope="module")
def base():
    return unit(np.random.default_rng(3).standard_normal((40, 32)))


def test_embeddings_lie_between_real_ones_that_are_alike(base):
    made = between(base, 100, seed=0)
    assert made.shape == (100, 32) and made.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1.0, rtol=1e-5)
    for row, one in enumerate(made):
        own = base[row % 40]
        alike = np.argsort(-(base @ own))[1:17]
        # What is left of it after taking out the plane of the two is the noise.
        planes = (np.linalg.qr(np.stack([own, base[other]]).T)[0] for other in alike)
        assert min(np.linalg.norm(one - plane @ (plane.T @ one)) for plane in planes) < 2 * NOISE
    assert len(np.unique(made, axis=0)) == 100


def test_a_seed_makes_the_same_again(base):
    np.testing.assert_array_equal(between(base, 50, seed=1), between(base, 50, seed=1))
    assert not np.array_equal(between(base, 50, seed=1), between(base, 50, seed=2))


def test_exact_scores_are_the_highest_and_fall(base):
    found = exact_scores(base, base[:5], 3)
    np.testing.assert_allclose(found, -np.sort(-(base[:5] @ base.T), axis=1)[:, :3], rtol=1e-6)


def test_recall_counts_by_score():
    exact = np.array([[0.9, 0.8], [0.7, 0.6]], dtype=np.float32)
    assert recall(exact, exact) == 1.0
    assert recall(np.array([[0.9, 0.7], [0.7, 0.6]], dtype=np.float32), exact) == 0.75


def test_copies_are_numbered_through():
    made = copies([Report("a", "one"), Report("b", "two")], 3, 3)
    assert [(each.report_id, each.text) for each in made] == [
        ("3", "two"), ("4", "one"), ("5", "two"),
    ]  # fmt: skip
