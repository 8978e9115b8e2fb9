"""Statements' log-odds by the voltages of the leads alone, beside what the ViTs say.

The criteria of hypertrophy are sums of a few leads' voltages (Sokolow and Lyon 1949, S in V1 and R
in V5 or V6). A logistic regression on these voltages tells LVH about as well as a ViT that has to
find them out by itself from a few thousand ECGs, and both together tell it better than either.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

PARTS = 5
"""The extremes are means over so many parts of the record, so that one beat does not make them."""
FARTHEST = 4.0
"""Standard deviations beyond which a voltage counts no more."""
FEWEST = 10
"""A statement that fewer training ECGs have is not told by voltages."""
STRENGTH = 0.01
"""scikit-learn's C: the inverse of the regularisation's strength."""


class Voltages(nn.Module):
    """A logistic regression of each statement on the leads' voltages; 0 until it was fitted.

    Attributes:
        middle: (2 * leads,) mean of the voltages among the training ECGs, mV.
        spread: (2 * leads,) their standard deviation, mV.
        weights: (S, 2 * leads) what one standard deviation adds to the log-odds.
        bias: (S,) what makes the mean of what is added among the training ECGs 0.
    """

    middle: Tensor
    spread: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, leads: int, statements: int) -> None:
        """Make room for `leads` leads and `statements` statements."""
        super().__init__()
        self.register_buffer("middle", torch.zeros(2 * leads))
        self.register_buffer("spread", torch.ones(2 * leads))
        self.register_buffer("weights", torch.zeros(statements, 2 * leads))
        self.register_buffer("bias", torch.zeros(statements))

    def forward(self, millivolts: Tensor) -> Tensor:
        """Return what is added to the log-odds, (B, S); 0 for ECGs that are 0 throughout.

        Args:
            millivolts: (B, leads, samples), 0 where they are unknown.
        """
        known = (millivolts.abs().amax(dim=(1, 2)) > 0.0).to(millivolts.dtype)
        given = self.standardised(extremes(millivolts))
        return known[:, None] * F.linear(given, self.weights, self.bias)

    def standardised(self, voltages: Tensor) -> Tensor:
        """Map what `extremes` returns to standard deviations from the mean."""
        return ((voltages - self.middle) / self.spread).clamp(-FARTHEST, FARTHEST)

    def fit(self, voltages: Tensor, statements: Tensor, shares: Tensor) -> None:
        """Fit to training ECGs whose millivolts are known.

        Args:
            voltages: (ECGs, 2 * leads), as `extremes` returns them.
            statements: (ECGs, S), over 0 for those that an ECG has.
            shares: (S,) how much of the regression's log-odds is added.
        """
        self.middle.copy_(voltages.mean(dim=0))
        self.spread.copy_(voltages.std(dim=0, unbiased=False).clamp(min=1e-3))
        given = self.standardised(voltages).double().numpy()
        rows = np.stack([_weights(given, has) for has in (statements > 0.0).T.numpy()])
        weights = shares.double().numpy()[:, None] * rows
        self.weights.copy_(torch.from_numpy(weights))
        self.bias.copy_(torch.from_numpy(-weights @ given.mean(axis=0)))


def extremes(millivolts: Tensor) -> Tensor:
    """Return the highest and the lowest voltage of each lead, as means over `PARTS` parts.

    Args:
        millivolts: (B, leads, samples), at least `PARTS` samples.

    Returns:
        (B, 2 * leads), the highest first, mV.
    """
    size = millivolts.shape[2] // PARTS
    parts = millivolts[:, :, : PARTS * size].unflatten(2, (PARTS, size))
    highest, lowest = parts.amax(dim=3).mean(dim=2), parts.amin(dim=3).mean(dim=2)
    return torch.cat([highest, lowest], dim=1)


def _weights(given: NDArray[np.float64], has: NDArray[np.bool_]) -> NDArray[np.float64]:
    if not FEWEST <= int(has.sum()) < len(has):
        return np.zeros(given.shape[1])
    fitted = LogisticRegression(C=STRENGTH, max_iter=3000).fit(given, has)
    return np.asarray(fitted.coef_[0])
