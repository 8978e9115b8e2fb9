"""What the nearest reports agree on."""

from collections import defaultdict
from collections.abc import Sequence

from cardex.domain.index import Hit
from cardex.domain.reports import Finding, Statement

MIN_SHARE = 0.2
MAX_FINDINGS = 8


def findings_of(hits: Sequence[Hit]) -> tuple[Finding, ...]:
    """Vote over the hits' statements, each hit weighted by its similarity.

    A statement counts with the share of the report's records that carry it, times its likelihood
    where one is given. Statements under `MIN_SHARE` are left out.
    """
    total = sum(_weight(hit) for hit in hits)
    if total == 0.0:
        return ()
    votes: dict[str, float] = defaultdict(float)
    behind: dict[str, list[str]] = defaultdict(list)
    words: dict[str, str] = {}
    for hit in hits:
        for statement in hit.report.statements:
            votes[statement.code] += _weight(hit) * _belief(statement) / total
            behind[statement.code].append(hit.report.report_id)
            words[statement.code] = statement.description
    ranked = sorted(votes, key=lambda code: (-votes[code], code))
    return tuple(
        Finding(code, words[code], round(min(1.0, votes[code]), 4), tuple(behind[code]))
        for code in ranked[:MAX_FINDINGS]
        if votes[code] >= MIN_SHARE
    )


def _weight(hit: Hit) -> float:
    return max(0.0, hit.said)


def _belief(statement: Statement) -> float:
    likelihood = 100.0 if statement.likelihood is None else statement.likelihood
    return statement.support * likelihood / 100.0
