"""Corrects probabilities to other shares of the statements, and estimates such shares."""

import numpy as np
from numpy.typing import NDArray

STEPS = 1000
CLOSE = 1e-6

Probability = NDArray[np.float64]


def corrected(probability: Probability, training: Probability, own: Probability) -> Probability:
    """Return probabilities for other shares of the statements than the training ECGs'.

    Args:
        probability: (ECGs, statements).
        training: (statements,) shares that the probabilities assume, over 0 and under 1.
        own: (statements,) shares to assume instead.

    Returns:
        (ECGs, statements): by Saerens et al. 2002, the odds times the ratio of the shares' odds.
    """
    having = probability * own / training
    lacking = (1.0 - probability) * (1.0 - own) / (1.0 - training)
    return np.asarray(having / (having + lacking), dtype=np.float64)


def estimated_shares(
    probability: Probability, training: Probability, prior: float = 0.0
) -> Probability:
    """Estimate each statement's share among ECGs of which nothing is known but probabilities.

    Expectation and maximisation in turn (Saerens et al. 2002): the share is the mean of the
    probabilities, which are then corrected to it. Of a rare statement the probabilities of a few
    hundred ECGs say little, and where they are a little too high for all of these, the share runs
    away to all; `prior` holds it back.

    Args:
        probability: (ECGs, statements).
        training: (statements,) shares that the probabilities assume, over 0 and under 1.
        prior: number of further ECGs that are taken to have the statements in the training shares
            (the mode under a Beta prior); 0 for the plain estimate.

    Returns:
        (statements,), each within what `bounded` allows.
    """
    own = training
    for _ in range(STEPS):
        before = own
        having = corrected(probability, training, own).sum(axis=0) + prior * training
        own = bounded(having / (len(probability) + prior), len(probability))
        if np.abs(own - before).max() < CLOSE:
            break
    return own


def bounded(shares: Probability, ecgs: int) -> Probability:
    """Return shares that are at least half an ECG away from none and from all of so many ECGs."""
    least = 0.5 / (ecgs + 1.0)
    return np.clip(shares, least, 1.0 - least)
