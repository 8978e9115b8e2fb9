"""The nearest reports, put in order by how well each matches the ECG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardex.domain.errors import InvalidQuestion
from cardex.domain.index import Match
from cardex.domain.jobs import MAX_RERANK, MIN_RERANK, Question
from cardex.retrieval.active_index import ServingSnapshot


@dataclass(frozen=True, slots=True)
class Ranked:
    """A report's id, its score, and the matcher's logit where it was asked."""

    report_id: str
    score: float
    match: float | None = None


def check_rerank(question: Question) -> None:
    """Check how many reports are to be re-ranked.

    Raises:
        InvalidQuestion: if the number is out of range.
    """
    if question.rerank and not MIN_RERANK <= question.rerank <= MAX_RERANK:
        raise _refused(f"must be 0, or {MIN_RERANK} to {MAX_RERANK}", question)


def check_matcher(question: Question, snapshot: ServingSnapshot) -> None:
    """Check that the served model can re-rank, where that is asked.

    Raises:
        InvalidQuestion: if it has no matcher, or came without the weight of its matcher.
    """
    if not question.rerank:
        return
    if not snapshot.model.matcher:
        raise _refused(f"model {snapshot.model.version} has no matcher: ask with 0", question)
    if snapshot.calibration is None:
        raise _refused(
            f"model {snapshot.model.version} came without statements.json, which weighs its"
            f" matcher:"
            " ask with 0",
            question,
        )


def _refused(reason: str, question: Question) -> InvalidQuestion:
    return InvalidQuestion(
        f"rerank {question.rerank}: {reason}", reason="RERANK", field="question.rerank"
    )


def as_found(matches: Sequence[Match]) -> list[Ranked]:
    """Return matches in the order of the search."""
    return [Ranked(match.report_id, match.score) for match in matches]


def reranked(
    matches: Sequence[Match], match_logits: NDArray[np.float32], weight: float
) -> list[Ranked]:
    """Return matches by falling `score + weight * match logit`.

    Args:
        matches: nearest first.
        match_logits: (n,), the matcher's, of the first n; the others stay behind them as they are.
        weight: of the match logit.
    """
    count = len(match_logits)
    judged = [
        Ranked(match.report_id, match.score, round(float(odds), 4))
        for match, odds in zip(matches[:count], match_logits, strict=True)
    ]
    order = np.argsort(
        [
            -(match.score + weight * odds)
            for match, odds in zip(matches, match_logits, strict=False)
        ],
        kind="stable",
    )
    return [judged[place] for place in order] + as_found(matches[count:])
