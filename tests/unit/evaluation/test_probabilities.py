from dataclasses import replace

import numpy as np
import pytest

from cardex.evaluation import probabilities
from cardex.evaluation.intervals import Subset
from cardex.evaluation.probabilities import CORRECTIONS, Probabilities
from cardex.reports.ptbxl import Record

PATIENTS = np.arange(100)
EVERY = Subset.of("all", np.arange(100), PATIENTS)


def record(number: int, site: str) -> Record:
    return Record(number, number, 9, "x", {}, "", site)


@pytest.fixture
def known() -> Probabilities:
    """Two statements of 100 ECGs, told with 0.1 of error; the first is commoner in later ECGs."""
    true = np.stack([np.arange(100) >= 60, np.arange(100) % 10 == 0], axis=1)
    return Probabilities(["A", "B"], np.where(true, 0.9, 0.1), true)


def test_scores_stand_beside_those_of_the_base_rates(known):
    found = probabilities.summary(known, EVERY)
    assert found["statements"] == 2
    assert found["Brier score"] == [0.01, 0.01, 0.01]
    assert found["Brier score of the base rates"][0] == pytest.approx((0.24 + 0.09) / 2)
    assert found["expected calibration error"] == pytest.approx(0.1)
    assert found["difference"][2] < 0.0


def test_a_site_is_held_against_its_own_base_rates(known):
    records = [record(n, "10" if n < 60 else "2" if n < 90 else "") for n in range(100)]
    found = probabilities.by_site(known, records, PATIENTS, EVERY)
    assert list(found) == ["2", "10"]
    assert found["2"]["ecgs"] == 30
    # Every ECG of site 2 has the first statement, so its base rate says all there is.
    assert found["2"]["Brier score of the base rates"][0] == pytest.approx(0.09 / 2)
    assert found["10"]["difference"][0] == pytest.approx(0.01 - 0.09 / 2)


def test_a_site_is_also_corrected_to_its_shares(known):
    assumed = replace(known, shares=np.array([0.4, 0.1]))
    records = [record(n, "2" if n >= 60 else "") for n in range(100)]
    found = probabilities.by_site(assumed, records, PATIENTS, EVERY)["2"]
    assert list(found["corrected"]) == list(CORRECTIONS)
    # Of site 2 every ECG has the first statement, so that its share says all.
    right = found["corrected"]["known shares"]
    assert right["Brier score"][0] < found["Brier score"][0]
    assert right["difference"][0] == pytest.approx(
        right["Brier score"][0] - found["Brier score of the base rates"][0], abs=1e-4
    )
    assert "corrected" not in probabilities.by_site(known, records, PATIENTS, EVERY)["2"]


def test_a_site_of_few_ecgs_is_not_measured(known):
    records = [record(n, "1" if n < 29 else "") for n in range(100)]
    assert probabilities.by_site(known, records, PATIENTS, EVERY) == {}


def test_models_are_compared_on_the_statements_of_both(known):
    other = Probabilities(["B", "C"], np.full((100, 2), 0.5), known.true[:, ::-1])
    assert probabilities.difference(known, other, EVERY) == [-0.24, -0.24, -0.24]
    none = Probabilities(["C"], known.found[:, :1], known.true[:, :1])
    assert probabilities.difference(known, none, EVERY) is None
