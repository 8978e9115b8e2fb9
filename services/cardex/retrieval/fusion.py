"""How the nearness of reports and the nearness of cases become one order.

An ECG's nearest cases vote for their reports, and a vote adds to the score of a report; so does the
agreement of the ECG's probable statements with those that the archive has coded for the report,
which callers who see the cases of one archive alone do without (`nearest.py`).
docs/evaluation.md has what each is worth.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cardex.domain.index import CaseMatch
from cardex.domain.reports import Report

VOTERS = 64
"""Nearest cases of an ECG that vote."""
TEMPERATURE = 0.01
"""Difference of similarity by which the weight of a vote falls to 1/e."""
VOTE_WEIGHT = 5.0
"""What all votes together add to a score, in full agreements of statements (`Agreement.weight`)."""
CODED_WEIGHT = 1.0
"""What a full agreement with coded statements adds, in the same unit."""
RANK_OFFSET = 60.0
"""Of reciprocal rank fusion (Cormack et al. 2009), where no weights were measured: of texts, and of
models that tell no statements of reports."""


def votes(cases: Sequence[CaseMatch]) -> dict[str, float]:
    """Return the share of the votes of an ECG's nearest cases that each report has."""
    if not cases:
        return {}
    similarities = np.array([match.similarity for match in cases])
    weights = np.exp((similarities - similarities.max()) / TEMPERATURE)
    weights /= weights.sum()
    shares: dict[str, float] = {}
    for match, weight in zip(cases, weights.tolist(), strict=True):
        report_id = match.filed.report_id
        shares[report_id] = shares.get(report_id, 0.0) + weight
    return shares


def coded(reports: Sequence[Report], codes: Sequence[str]) -> NDArray[np.float64]:
    """Return the share of each report's records that carry each code: (reports, codes).

    A report without coded statements has 0 everywhere.
    """
    places = {code: place for place, code in enumerate(codes)}
    found = np.zeros((len(reports), len(codes)))
    for row, report in zip(found, reports, strict=True):
        for statement in report.statements:
            if (place := places.get(statement.code)) is not None:
                row[place] = statement.support
    return found


def reciprocal_ranks(*orders: Sequence[str]) -> dict[str, float]:
    """Return the sum over some orders of 1 / (`RANK_OFFSET` + rank) of each report in them."""
    scores: dict[str, float] = {}
    for order in orders:
        for rank, report_id in enumerate(order, start=1):
            scores[report_id] = scores.get(report_id, 0.0) + 1.0 / (RANK_OFFSET + rank)
    return scores


def nearest_similarity(cases: Sequence[CaseMatch]) -> Mapping[str, float]:
    """Return the similarity of the nearest case of each report among cases, nearest first."""
    found: dict[str, float] = {}
    for match in cases:
        found.setdefault(match.filed.report_id, match.similarity)
    return found
