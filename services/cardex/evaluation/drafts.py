"""Compares drafted reports with the true ones; baselines: the nearest and the commonest report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.domain.index import Hit
from cardex.domain.reports import Report
from cardex.evaluation.evaluate import Ranking, Scored
from cardex.reports.normalise import clean_report
from cardex.reports.ptbxl import Record, StatementKind, reports_of
from cardex.retrieval.draft import VOTERS, draft_of
from cardex.retrieval.findings import findings_of

HITS = 10
"""How many reports an answer has: the draft is taken from these, and these vote on statements."""
AGREED = 0.5
"""Smallest share of the hits' votes at which a statement counts as drafted."""


def measure(
    ranking: Ranking,
    records: Sequence[Record],
    training: Sequence[Record],
    kinds: Mapping[str, StatementKind],
) -> dict[str, Any]:
    """Score drafts from the distinct reports of the training records.

    Args:
        ranking: the ECGs, and how reports are scored by them.
        records: the ECGs' records; their reports are the truth.
        training: records whose reports are searched; none of them is among `records`.
        kinds: statement code to description and classes.

    Returns:
        By method ("draft", "nearest report", "commonest report"), the scores in per cent by name.
        "meteor_cleaned" compares texts without device marks, dates and headers, which a draft never
        has; the other figures compare with the true reports as they were written. "statement_f1" is
        of the ECGs that have codes, and missing where none of them or of `training` has any.
    """
    from cardex.evaluation.texts import score  # nltk takes seconds to import

    index = reports_of(training, {code: kind.description for code, kind in kinds.items()})
    records_of_texts = np.array([report.record_count for report in index], dtype=np.float64)
    scored = ranking.scores([report.text for report in index], records_of_texts)
    nearest = nearest_hits(scored, index)
    common = max(index, key=lambda report: (report.record_count, report.text))
    found: dict[str, Sequence[str]] = {
        "draft": [_drafted(hits) for hits in nearest],
        "nearest report": [hits[0].report.text for hits in nearest],
        "commonest report": [common.text] * len(records),
    }
    stated: dict[str, list[set[str]]] = {
        "draft": [_agreed(hits) for hits in nearest],
        "nearest report": [_agreed(hits[:1]) for hits in nearest],
        "commonest report": [_agreed([Hit(common, 1.0, 1)])] * len(records),
    }
    agreeing = _statement_f1(stated, records) if any(r.coded for r in training) else {}
    truths = [record.text for record in records]
    cleaned = [clean_report(text) for text in truths]
    return {
        name: {
            **{figure: round(value, 2) for figure, value in score(texts, truths).items()},
            "meteor_cleaned": round(
                score([clean_report(text) for text in texts], cleaned)["meteor"], 2
            ),
            **agreeing.get(name, {}),
        }
        for name, texts in found.items()
    }


def _statement_f1(
    stated: Mapping[str, list[set[str]]], records: Sequence[Record]
) -> dict[str, dict[str, float]]:
    """Return each method's F1 on the ECGs that have codes; nothing where none has."""
    from cardex.evaluation.texts import statement_f1

    rows = [row for row, record in enumerate(records) if record.coded]
    if not rows:
        return {}
    own = [set(records[row].codes) for row in rows]
    codes = sorted(set().union(*own, *(codes for every in stated.values() for codes in every)))
    true = _matrix(own, codes)
    return {
        name: {
            "statement_f1": round(
                statement_f1(_matrix([every[row] for row in rows], codes), true), 2
            )
        }
        for name, every in stated.items()
    }


def nearest_hits(
    scored: Scored, index: Sequence[Report], count: int = VOTERS
) -> list[tuple[Hit, ...]]:
    """Return the `count` first reports of each ECG."""
    order = np.argsort(-scored.ranked, axis=1, kind="stable")[:, :count]
    return [
        tuple(
            Hit(index[place], float(ranked[place]), rank, text_score=float(said[place]))
            for rank, place in enumerate(places, start=1)
        )
        for ranked, said, places in zip(scored.ranked, scored.said, order, strict=True)
    ]


def _drafted(hits: Sequence[Hit]) -> str:
    draft = draft_of(hits, HITS)
    return " ".join(sentence.text for sentence in draft.sentences) if draft else ""


def _agreed(hits: Sequence[Hit]) -> set[str]:
    """Return the codes of the findings that have at least `AGREED` of the votes."""
    return {finding.code for finding in findings_of(hits[:HITS]) if finding.share >= AGREED}


def _matrix(stated: Sequence[set[str]], codes: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([[code in own for code in codes] for own in stated], dtype=np.bool_)
