import numpy as np
import pytest

from cardex.evaluation.calibration import Curve, brier, calibration_error, fit


@pytest.fixture
def random():
    return np.random.default_rng(5)


def drawn(random: np.random.Generator, curve: Curve, count: int) -> tuple[np.ndarray, np.ndarray]:
    similarity = random.normal(0.1, 0.15, count).astype(np.float32)
    return similarity, random.random(count) < curve(similarity)


def test_a_known_curve_is_found_again(random):
    curve = Curve(12.0, -2.5)
    similarity, true = drawn(random, curve, 5000)
    (found,) = fit(similarity[:, None], true[:, None])
    assert found.slope == pytest.approx(curve.slope, rel=0.1)
    assert found.intercept == pytest.approx(curve.intercept, abs=0.25)
    assert found.share == pytest.approx(true.mean(), abs=1e-3)
    grid = np.linspace(-0.3, 0.5, 50, dtype=np.float32)
    np.testing.assert_allclose(found(grid), curve(grid), atol=0.04)


def test_few_positives_stay_near_the_common_slope(random):
    columns = [drawn(random, Curve(12.0, -2.5), 2000) for _ in range(5)]
    rare = random.normal(0.1, 0.15, 2000).astype(np.float32)
    true = np.zeros(2000, bool)
    true[np.argsort(rare)[:2]] = True  # two positives, and at the wrong end
    similarity = np.stack([*(values for values, _ in columns), rare], axis=1)
    curves = fit(similarity, np.stack([*(labels for _, labels in columns), true], axis=1))
    common = np.median([curve.slope for curve in curves[:5]])
    assert 0.0 < curves[5].slope < common
    alone = fit(rare[:, None], true[:, None])[0]
    assert abs(curves[5].slope - common) < common
    assert curves[5](np.array([0.1], np.float32))[0] < 0.02
    assert np.isfinite([alone.slope, alone.intercept]).all()


def test_a_statement_that_no_ecg_has_is_improbable(random):
    similarity = random.normal(0.1, 0.1, (300, 2)).astype(np.float32)
    true = np.stack([random.random(300) < 0.4, np.zeros(300, bool)], axis=1)
    never = fit(similarity, true)[1]
    assert never(similarity[:, 1]).max() < 0.1


@pytest.mark.parametrize("slope", [-1e6, -3.0, 0.0, 3.0, 1e6])
def test_probabilities_stay_probabilities_at_extreme_similarity(slope):
    similarity = np.array([-1.0, -1e-6, 0.0, 1e-6, 1.0, -1e30, 1e30], dtype=np.float32)
    with np.errstate(over="raise", invalid="raise"):
        found = Curve(slope, 0.5)(similarity)
    assert ((found >= 0.0) & (found <= 1.0)).all()


def test_the_slope_is_per_unit_of_similarity():
    assert Curve(10.0, -1.0)(np.array([0.1], np.float32))[0] == pytest.approx(0.5)


def test_brier_by_hand():
    assert brier(np.array([0.2, 1.0]), np.array([False, True])) == pytest.approx(0.02)


def test_calibration_error_by_hand():
    probability = np.array([[0.05, 0.05], [0.95, 1.0]])
    true = np.array([[False, True], [True, True]])
    # Of the first bin, half is true where 5 % was said; of the last, all where 97.5 % was.
    assert calibration_error(probability, true) == pytest.approx(0.5 * 0.45 + 0.5 * 0.025)


def test_calibrated_probabilities_have_little_error(random):
    curve = Curve(12.0, -2.5)
    similarity, true = drawn(random, curve, 20_000)
    assert calibration_error(curve(similarity), true) < 0.015
    assert calibration_error(Curve(0.0, 3.0)(similarity), true) > 0.5
