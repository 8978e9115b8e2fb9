"""Measures the statements' probabilities on ECGs that were not used in training."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding
from cardex.evaluation.calibration import Curve, calibration_error
from cardex.evaluation.dataset import carried
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embedder import Embedder
from cardex.evaluation.embeddings import embed_ecgs
from cardex.evaluation.intervals import Interval, Subset
from cardex.evaluation.metrics import Values
from cardex.evaluation.prevalence import bounded, corrected, estimated_shares
from cardex.reports.ptbxl import Record

FEWEST = 30
"""ECGs that a site must have to be measured alone."""
DIGITS = 4
CORRECTIONS = ("EM", "EM with prior", "known shares")
"""Whence the shares of a site come to which probabilities are corrected."""
PRIOR_ECGS = 500.0
"""Weight of the training shares in "EM with prior": of about as many ECGs as they come from."""


@dataclass(frozen=True, slots=True)
class Detector:
    """How a model comes to the probability of a statement.

    Attributes:
        prompt: the text whose similarity with the ECG is taken.
        curve: from the similarity to the probability.
    """

    prompt: str
    curve: Curve


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What a model holds probable.

    Attributes:
        codes: the statements.
        found: (ECGs, statements) probabilities.
        true: (ECGs, statements) whether the ECG's record has the statement.
        shares: (statements,) shares among the training ECGs, which the probabilities assume; None
            where a statement's is not known.
    """

    codes: list[str]
    found: NDArray[np.float64]
    true: NDArray[np.bool_]
    shares: NDArray[np.float64] | None = None

    def of(self, codes: Container[str]) -> "Probabilities | None":
        """Return those of the statements that are among `codes`; None if there are none."""
        columns = [place for place, code in enumerate(self.codes) if code in codes]
        if not columns:
            return None
        return Probabilities(
            [self.codes[place] for place in columns],
            self.found[:, columns],
            self.true[:, columns],
            None if self.shares is None else self.shares[columns],
        )

    def errors(self, codes: Sequence[str] | None = None) -> Values:
        """Return the mean squared error of each ECG over the statements, or some: (ECGs,)."""
        columns = [self.codes.index(code) for code in (codes or self.codes)]
        return _errors(self.found[:, columns], self.true[:, columns])

    def base_rate_errors(self, rows: NDArray[np.int64]) -> Values:
        """Return the errors of the shares that the statements have among the ECGs in `rows`."""
        return _errors(self.true[rows].mean(axis=0)[None], self.true)


def _errors(probability: NDArray[np.float64], true: NDArray[np.bool_]) -> Values:
    return np.asarray(((probability - true) ** 2).mean(axis=1), dtype=np.float64)


def probabilities_of(
    ecgs: Embedding,
    records: Sequence[Record],
    detectors: Mapping[str, Detector],
    embedder: Embedder,
) -> Probabilities:
    """Compute the probabilities.

    Args:
        ecgs: (ECGs, E) embeddings.
        records: the ECGs' records, which have the truth.
        detectors: statement code to its detector; at least one.
        embedder: embeds the prompts.
    """
    codes = sorted(detectors)
    similarity = ecgs @ embedder.texts([detectors[code].prompt for code in codes]).T
    columns = [
        detectors[code].curve(np.asarray(column, dtype=np.float32))
        for code, column in zip(codes, similarity.T, strict=True)
    ]
    known = [share for code in codes if (share := detectors[code].curve.share) is not None]
    shares = np.array(known) if len(known) == len(codes) else None
    return Probabilities(codes, np.stack(columns, axis=1), carried(records, codes), shares)


def summary(found: Probabilities, subset: Subset) -> dict[str, Any]:
    """Return the Brier score over all statements and a subset's ECGs beside that of base rates.

    Base rates are the statements' shares among the very ECGs that are measured. Scores are given as
    [mean, low, high]; the expected calibration error alone.
    """
    error = calibration_error(found.found[subset.rows], found.true[subset.rows])
    return {
        "statements": len(found.codes),
        **_scores(found, subset),
        "expected calibration error": round(error, DIGITS),
    }


def by_site(
    found: Probabilities, records: Sequence[Record], patients: NDArray[np.int64], subset: Subset
) -> dict[str, Any]:
    """Measure every site with at least 30 ECGs in a subset, against that site's base rates.

    Returns:
        By site "ecgs" and what `at_one_site` returns.
    """
    sites = np.array([record.site for record in records])
    result = {}
    for site in sorted({str(name) for name in sites[subset.rows]} - {""}, key=_natural):
        rows = subset.rows[sites[subset.rows] == site]
        if len(rows) >= FEWEST:
            own = Subset.of(site, rows, patients)
            result[site] = {"ecgs": len(rows), **at_one_site(found, own)}
    return result


def at_one_site(found: Probabilities, subset: Subset) -> dict[str, Any]:
    """Measure the ECGs of one site, also after a correction to the site's shares.

    Returns:
        The two Brier scores and their difference, paired ECG by ECG. Where the training shares are
        known, "corrected" has the score and the difference from the base rates by each of
        `CORRECTIONS`: with shares that were estimated without the ECGs' statements, and with those
        that the ECGs have.
    """
    scores = _scores(found, subset)
    if found.shares is None:
        return scores
    probability, true = found.found[subset.rows], found.true[subset.rows]
    by_correction = (
        estimated_shares(probability, found.shares),
        estimated_shares(probability, found.shares, PRIOR_ECGS),
        bounded(true.mean(axis=0), len(true)),
    )
    base = found.base_rate_errors(subset.rows)
    again = {}
    for name, own in zip(CORRECTIONS, by_correction, strict=True):
        errors = np.full(len(found.true), np.nan)
        errors[subset.rows] = _errors(corrected(probability, found.shares, own), true)
        again[name] = {
            "Brier score": _rounded(subset.interval(errors)),
            "difference": _rounded(subset.interval(errors - base)),
        }
    return {**scores, "corrected": again}


def _natural(site: str) -> tuple[bool, int, str]:
    """Order numbers by their value, and before other names."""
    return (not site.isdigit(), int(site) if site.isdigit() else 0, site)


def _scores(found: Probabilities, subset: Subset) -> dict[str, Any]:
    own, base = found.errors(), found.base_rate_errors(subset.rows)
    return {
        "Brier score": _rounded(subset.interval(own)),
        "Brier score of the base rates": _rounded(subset.interval(base)),
        "difference": _rounded(subset.interval(own - base)),
    }


def difference(one: Probabilities, other: Probabilities, subset: Subset) -> list[float] | None:
    """Return the Brier score of `one` minus that of `other` over the statements of both.

    Returns:
        [mean, low, high], paired ECG by ECG; None if they have no statement in common.
    """
    codes = [code for code in one.codes if code in other.codes]
    if not codes:
        return None
    return _rounded(subset.interval(one.errors(codes) - other.errors(codes)))


def _rounded(found: Interval | None) -> list[float] | None:
    return found.rounded(DIGITS) if found else None


def similarity_with(
    embedder: Embedder, ecgs: Ecgs, prompts: Mapping[str, str]
) -> NDArray[np.float32]:
    """Return the cosine similarity of each ECG with each prompt: (ECGs, prompts) float32."""
    vectors = embedder.texts(list(prompts.values()))
    return np.asarray(embed_ecgs(embedder, ecgs) @ vectors.T, dtype=np.float32)
