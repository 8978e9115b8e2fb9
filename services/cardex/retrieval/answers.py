"""Answers, made of what was found for a question."""

from collections.abc import Mapping
from dataclasses import replace

from cardex.domain.cases import Nearness
from cardex.domain.index import Hit
from cardex.domain.jobs import Answer, Question, StageTime
from cardex.domain.quality import SignalQuality
from cardex.inference.novelty import OUT_OF_DISTRIBUTION
from cardex.retrieval.active_index import ServingSnapshot
from cardex.retrieval.draft import draft_of
from cardex.retrieval.findings import findings_of
from cardex.retrieval.nearest import Found
from cardex.retrieval.pipeline import QueryState


def answer_of(
    question: Question,
    near: tuple[Hit, ...],
    found: Found,
    stages: Mapping[str, StageTime],
    snapshot: ServingSnapshot,
) -> Answer:
    """Return what every answer says.

    Args:
        question: what was asked.
        near: the nearest reports, of which the first are shown.
        found: how they were found.
        stages: what it took so far, by stage.
        snapshot: model and index that answer.
    """
    hits = near[: question.top_k]
    return Answer(
        hits=hits,
        findings=findings_of(hits),
        model_version=snapshot.model.version,
        index_name=snapshot.index.name,
        index_generation=snapshot.index.generation,
        stages=tuple(stages.values()),
        by=found.by,
        filter=question.filter,
    )


def answer_to_ecg(query: QueryState, near: tuple[Hit, ...], snapshot: ServingSnapshot) -> Answer:
    """Return the answer to an ECG that was asked about, with what is said of the ECG itself.

    Args:
        query: the ECG, with what was found for it.
        near: the nearest reports; the first are shown, and those after them vote on the draft.
        snapshot: model and index that answer.
    """
    question, predictor = query.item.question, snapshot.predictor
    assert query.found is not None
    plain = answer_of(question, near, query.found, query.stages, snapshot)
    return replace(
        plain,
        quality=_with_novelty(query, snapshot),
        predictions=predictor.predict(query.probabilities)
        if predictor is not None and query.probabilities is not None
        else (),
        draft=draft_of(near, len(plain.hits)),
        trace=query.trace if question.trace else None,
    )


def answer_to_filing(query: QueryState, snapshot: ServingSnapshot) -> Answer:
    """Return the answer to an ECG that was filed without a question."""
    nothing = Found(Nearness.REPORT)
    plain = answer_of(query.item.question, (), nothing, query.stages, snapshot)
    return replace(plain, quality=query.quality)


def _with_novelty(query: QueryState, snapshot: ServingSnapshot) -> SignalQuality | None:
    """Return the quality, with a warning more where the model has seen nothing like the ECG.

    The cache of embeddings keeps it without, so that the warning is always the snapshot's own.
    """
    quality, novelty, vector = query.quality, snapshot.novelty, query.vector
    if quality is None or novelty is None or vector is None or not novelty.unlike(vector):
        return quality
    return replace(quality, warnings=(*quality.warnings, OUT_OF_DISTRIBUTION))
