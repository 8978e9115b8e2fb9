"""Calibrates similarities to probabilities: a logistic curve for each statement (Platt 1999).

Among a few hundred ECGs some statements occur only a few times, so each curve's slope has a normal
prior around the median slope of all statements.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNIT = 100.0
"""Similarities are about 0.01; multiplied by this they are about one, which the solver needs."""
SLOPE_SPREAD = 0.3
"""Standard deviation of the statements' slopes about the common one, as a share of it."""
OFFSET_SPREAD = 3.0
STEPS = 50
FEWEST = 3


@dataclass(frozen=True, slots=True)
class Curve:
    """The probability of a statement: sigmoid(slope * similarity + intercept).

    Attributes:
        slope: change of the log-odds per unit of similarity.
        intercept: log-odds at a similarity of 0.
        share: of the ECGs that it was fitted to, those that have the statement, counted with half
            an ECG more on either side; None where it is not known.
    """

    slope: float
    intercept: float
    share: float | None = None

    def __call__(self, similarity: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities of similarities."""
        odds = np.clip(self.slope * similarity.astype(np.float64) + self.intercept, -30.0, 30.0)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)), dtype=np.float64)


def fit(similarity: NDArray[np.float32], true: NDArray[np.bool_]) -> list[Curve]:
    """Fit a curve to every column of (ECGs, statements) similarities and truths."""
    scaled = similarity.astype(np.float64) * UNIT
    seen = true.sum(axis=0) >= FEWEST
    common = _common_slope(scaled[:, seen], true[:, seen]) if seen.any() else 1.0
    curves = []
    for column in range(scaled.shape[1]):
        slope, intercept = _newton(
            scaled[:, column], true[:, column], common, SLOPE_SPREAD * common
        )
        curves.append(Curve(slope * UNIT, intercept, _share(true[:, column])))
    return curves


def _share(true: NDArray[np.bool_]) -> float:
    return (float(true.sum()) + 0.5) / (len(true) + 1.0)


def _common_slope(scaled: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """Return the median of the slopes that fit each column alone, at least 0.1."""
    slopes = [
        _newton(scaled[:, column], true[:, column], 1.0, 10.0)[0]
        for column in range(scaled.shape[1])
    ]
    return max(0.1, float(np.median(slopes)))


def _newton(
    values: NDArray[np.float64], true: NDArray[np.bool_], slope: float, spread: float
) -> tuple[float, float]:
    """Fit slope and intercept by Newton's method on the cross-entropy with normal priors.

    Args:
        values: (ECGs,) scaled similarities.
        true: (ECGs,) whether the ECG has the statement.
        slope: mean of the slope's prior.
        spread: standard deviation of the slope's prior.

    Returns:
        Slope and intercept.
    """
    centre = values.mean()
    inputs = np.stack([values - centre, np.ones_like(values)], axis=1)
    rate = _share(true)
    usual = np.array([slope, np.log(rate / (1.0 - rate))])
    precision = np.diag([1.0 / spread**2, 1.0 / OFFSET_SPREAD**2])
    found = usual.copy()
    for _ in range(STEPS):
        odds = 1.0 / (1.0 + np.exp(-np.clip(inputs @ found, -30.0, 30.0)))
        gradient = inputs.T @ (odds - true) + precision @ (found - usual)
        curvature = (inputs * (odds * (1.0 - odds))[:, None]).T @ inputs + precision
        step = np.linalg.solve(curvature, gradient)
        found -= np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-8:
            break
    return float(found[0]), float(found[1] - found[0] * centre)


def brier(probability: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """Return the mean squared error of probabilities (Brier 1950)."""
    return float(np.mean((probability - true) ** 2))


def calibration_error(
    probability: NDArray[np.float64], true: NDArray[np.bool_], bins: int = 10
) -> float:
    """Return the expected calibration error over `bins` bins of equal width (Naeini 2015)."""
    places = np.minimum((probability.ravel() * bins).astype(int), bins - 1)
    found = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            gap = abs(probability.ravel()[inside].mean() - true.ravel()[inside].mean())
            found += inside.mean() * gap
    return float(found)
