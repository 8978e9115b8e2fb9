import numpy as np
import pytest

from cardex.evaluation.prevalence import bounded, corrected, estimated_shares


@pytest.fixture
def random():
    return np.random.default_rng(11)


def seen(random: np.random.Generator, share: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw truths, and a finding that is one higher where the statement holds: each (count,)."""
    true = random.random(count) < share
    return true, random.standard_normal(count) + true


def probability(finding: np.ndarray, share: float) -> np.ndarray:
    """Return the probability by Bayes' rule where the statement has a share."""
    odds = share / (1.0 - share) * np.exp(finding - 0.5)
    return np.asarray(odds / (1.0 + odds))


def test_a_correction_is_what_bayes_rule_gives_for_the_other_share(random):
    _, finding = seen(random, 0.5, 200)
    found = corrected(probability(finding, 0.2)[:, None], np.array([0.2]), np.array([0.6]))
    np.testing.assert_allclose(found[:, 0], probability(finding, 0.6))
    again = corrected(found, np.array([0.6]), np.array([0.2]))
    np.testing.assert_allclose(again[:, 0], probability(finding, 0.2))


def test_shares_are_estimated_from_probabilities_that_assume_others(random):
    training, own = np.array([0.1, 0.3, 0.5]), np.array([0.4, 0.3, 0.05])
    columns = [
        probability(seen(random, share, 20_000)[1], assumed)
        for share, assumed in zip(own, training, strict=True)
    ]
    found = estimated_shares(np.stack(columns, axis=1), training)
    np.testing.assert_allclose(found, own, atol=0.02)


def test_a_prior_holds_the_shares_of_few_ecgs_back(random):
    few = probability(seen(random, 0.02, 40)[1] + 0.5, 0.02)[:, None]
    training = np.array([0.02])
    plain, held = (estimated_shares(few, training, prior)[0] for prior in (0.0, 500.0))
    assert plain > 0.2
    assert 0.02 < held < 0.03


def test_no_share_is_estimated_as_none_or_all():
    extreme = np.repeat([[1e-9, 1.0 - 1e-9]], 49, axis=0)
    found = estimated_shares(extreme, np.array([0.5, 0.5]))
    np.testing.assert_allclose(found, [0.01, 0.99])
    np.testing.assert_allclose(bounded(np.array([0.0, 0.3, 1.0]), 49), [0.01, 0.3, 0.99])
