import numpy as np
import pytest

from cardex.evaluation.intervals import Subset, interval


@pytest.fixture
def random():
    return np.random.default_rng(3)


def test_an_interval_holds_the_mean_and_is_wider_where_patients_repeat(random):
    values = np.repeat(random.random(50), 4)
    alone = [random.integers(0, 200, 200) for _ in range(500)]
    patients = np.arange(200).reshape(50, 4)
    whole = [patients[random.integers(0, 50, 50)].ravel() for _ in range(500)]
    narrow, wide = interval(values, alone), interval(values, whole)
    assert narrow is not None
    assert wide is not None
    assert narrow.low < narrow.mean < narrow.high
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_ecgs_without_a_value_do_not_count():
    values = np.array([1.0, np.nan, 3.0, np.nan])
    found = interval(values, [np.array([0, 1]), np.array([1, 3]), np.array([2, 2])])
    assert found is not None
    assert found.mean == 2.0
    assert (found.low, found.high) == pytest.approx((1.05, 2.95))
    assert interval(np.full(4, np.nan), [np.arange(4)]) is None


def test_a_subset_draws_its_own_patients_together():
    patients = np.repeat(np.arange(15), 2)
    subset = Subset.of("some", np.arange(4, 28), patients)
    for rows in subset.samples[:20]:
        drawn = np.bincount(rows, minlength=24)
        np.testing.assert_array_equal(drawn[::2], drawn[1::2])
        assert drawn[::2].sum() == 12
    values = np.where(patients < 8, 1.0, 3.0)
    values[[*range(4), 28, 29]] = 99.0
    found = subset.interval(values)
    assert found is not None
    mean, low, high = found.rounded(1, factor=10.0)
    assert mean == 20.0
    assert 10.0 < low < mean < high < 30.0


def test_few_patients_have_no_interval():
    def of(values):
        found = Subset.of("some", np.arange(20), np.arange(20) // 2).interval(values)
        assert found is not None
        return found.rounded(1)

    values = np.arange(20.0)
    assert len(of(values)) == 3
    values[:2] = np.nan  # the patient's ECGs have no value, so that nine remain
    assert of(values) == [10.5]
