"""Hits as an answer shows them: reports with their nearest cases."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cardex.domain.index import CaseMatch, Hit
from cardex.domain.jobs import SHOWN_RECORD_IDS, Question
from cardex.domain.reports import Report
from cardex.reports.ptbxl import merge_statements
from cardex.retrieval.case_cache import NearestCases
from cardex.retrieval.nearest import Found
from cardex.retrieval.reranking import Ranked


def hits_of(
    ranked: Sequence[Ranked],
    reports: Mapping[str, Report],
    question: Question,
    found: Found,
    cases: NearestCases,
) -> tuple[Hit, ...]:
    """Return what was found, with its reports and cases; those that are shown name few records.

    Args:
        ranked: reports that are there, in their order.
        reports: by id.
        question: how many are shown, and whose cases.
        found: the similarities.
        cases: the nearest cases of those that are shown.
    """
    return tuple(
        _hit(place, rank, reports[place.report_id], question, found, cases)
        for rank, place in enumerate(ranked, start=1)
    )


def _hit(
    ranked: Ranked,
    rank: int,
    report: Report,
    question: Question,
    found: Found,
    cases: NearestCases,
) -> Hit:
    near = tuple(cases.get(report.report_id, ()))
    if question.archive:
        report = _of_cases(report, near)
    elif rank <= question.top_k and len(report.record_ids) > SHOWN_RECORD_IDS:
        report = replace(report, record_ids=report.record_ids[:SHOWN_RECORD_IDS])
    return Hit(
        report=report,
        score=round(ranked.score, 6),
        rank=rank,
        match=ranked.match,
        report_similarity=found.report_similarities.get(report.report_id),
        ecg_similarity=found.ecg_similarities.get(report.report_id, _similarity(near)),
        cases=near,
        text_score=found.text_scores.get(report.report_id),
    )


def _similarity(near: Sequence[CaseMatch]) -> float | None:
    return next((match.similarity for match in near if match.filed.case.has_ecg), None)


def _of_cases(report: Report, near: Sequence[CaseMatch]) -> Report:
    """Return a report as far as the cases tell of it that the caller may see."""
    own = [match.filed.case for match in near]
    descriptions = {one.code: one.description for case in own for one in case.statements}
    codes = ({one.code: one.likelihood or 0.0 for one in case.statements} for case in own)
    return replace(
        report,
        language=next((case.language for case in own if case.language), ""),
        record_ids=tuple(case.case_id for case in own),
        record_count=len(own),
        statements=merge_statements(codes, descriptions) if own else (),
    )
