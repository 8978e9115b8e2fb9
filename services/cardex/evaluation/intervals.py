"""Means over ECGs with 95 % bootstrap intervals, in which whole patients are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardex.evaluation.metrics import Values, resamples

RESAMPLES = 1000
BOUNDS = (0.025, 0.975)
FEWEST_PATIENTS = 10
"""Of fewer patients no interval is given: it would be narrower than what they can tell."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the bounds of its 95 % bootstrap interval; NaN where they are not known."""

    mean: float
    low: float
    high: float

    def rounded(self, digits: int, factor: float = 1.0) -> list[float]:
        """Return mean, low and high, times `factor`; the mean alone where these are not known."""
        values = (self.mean, self.low, self.high)
        return [round(factor * value, digits) for value in values if not np.isnan(value)]


@dataclass(frozen=True, slots=True)
class Subset:
    """Some of the ECGs of a measurement, with the bootstrap samples that are drawn from them.

    Attributes:
        name: what the ECGs are called in the figures.
        rows: (ECGs,) int64, their rows in the measurement.
        patients: (ECGs,) patient of each.
        samples: row numbers within `rows`, `RESAMPLES` times.
    """

    name: str
    rows: NDArray[np.int64]
    patients: NDArray[np.int64]
    samples: Sequence[NDArray[np.int64]]

    @classmethod
    def of(cls, name: str, rows: NDArray[np.int64], patients: NDArray[np.int64]) -> "Subset":
        """Draw the samples.

        Args:
            name: of the subset.
            rows: (ECGs,) its rows in the measurement.
            patients: patient of each ECG of the measurement; all ECGs of a patient are drawn
                together.
        """
        own = patients[rows]
        return cls(name, rows, own, resamples(own, RESAMPLES, 0))

    def interval(self, values: Values) -> Interval | None:
        """Return the mean of those ECGs of the subset that have a value, and its interval.

        Args:
            values: a value of each ECG of the measurement, NaN where it has none.

        Returns:
            None if no ECG of the subset has a value. Without bounds if the ECGs that have one are
            of fewer than `FEWEST_PATIENTS`.
        """
        own = values[self.rows]
        found = interval(own, self.samples)
        if found is None or are_enough(self.patients[~np.isnan(own)]):
            return found
        return Interval(found.mean, np.nan, np.nan)


def are_enough(patients: NDArray[np.int64]) -> bool:
    """Return whether ECGs of these (ECGs,) patients can tell an interval."""
    return len(np.unique(patients)) >= FEWEST_PATIENTS


def interval(values: Values, samples: Sequence[NDArray[np.int64]]) -> Interval | None:
    """Return the mean of (ECGs,) values that are not NaN, and its 95 % bootstrap interval.

    Returns:
        None if all values are NaN.
    """
    known = ~np.isnan(values)
    if not known.any():
        return None
    filled = np.where(known, values, 0.0)
    means = [filled[rows].sum() / count for rows in samples if (count := known[rows].sum())]
    low, high = np.quantile(means, BOUNDS)
    return Interval(float(filled.sum() / known.sum()), float(low), float(high))
