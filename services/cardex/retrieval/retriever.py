"""A micro-batch of ECGs, or one text, to answers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cardex.domain.errors import CardexError, InvalidQuestion
from cardex.domain.jobs import (
    MAX_TOP_K,
    SHOWN_RECORD_IDS,
    Answer,
    Priority,
    Question,
    StageTime,
)
from cardex.domain.reports import Hit, Report
from cardex.inference.encoder import Encoder
from cardex.retrieval.active_index import ActiveIndex, ServingSnapshot
from cardex.retrieval.draft import draft_of
from cardex.retrieval.findings import findings_of
from cardex.retrieval.pipeline import QueryItem, QueryState, draw_images, prepare, timed
from cardex.retrieval.report_cache import ReportCache
from cardex.retrieval.reranking import Ranked, as_found, check_rerank, reranked
from cardex.stores.answer_cache import AnswerCache, answer_key
from cardex.stores.report_index import ReportIndex

MAX_TEXT = 2_000


def check_question(question: Question) -> Question:
    """Return the question if it can be asked.

    Raises:
        InvalidQuestion: if top_k or rerank is out of range.
    """
    check_rerank(question)
    if not 1 <= question.top_k <= MAX_TOP_K:
        raise InvalidQuestion(
            f"top_k {question.top_k}: must be 1 to {MAX_TOP_K}",
            reason="TOP_K",
            field="question.top_k",
        )
    return question


class Retriever:
    """The way from ECG or text to the nearest reports. Used by many threads at once."""

    def __init__(
        self, encoder: Encoder, store: ReportIndex, cache: AnswerCache, catalogue: ActiveIndex
    ) -> None:
        """Answer with the given parts."""
        self._encoder = encoder
        self._store = store
        self._cache = cache
        self._catalogue = catalogue
        self._reports = ReportCache(store)

    def cached(self, sha256: str, question: Question) -> Answer | None:
        """Return the answer that is known already, even while Triton or Milvus is down."""
        edition = self._catalogue.last_known()
        if edition is None:
            return None
        return self._cache.answers([_key(sha256, question, edition)])[0]

    def by_text(self, text: str, top_k: int) -> Answer:
        """Find the reports nearest to a text.

        Raises:
            InvalidQuestion: if the text is empty or too long, or top_k out of range.
            CardexError: VersionMismatch, IndexMissing or Unavailable.
        """
        check_question(Question(top_k))
        if not text.strip() or len(text) > MAX_TEXT:
            raise InvalidQuestion(
                f"the text has {len(text)} characters: must have 1 to {MAX_TEXT}",
                reason="TEXT",
                field="text",
            )
        edition = self._catalogue.current()
        stages: dict[str, float] = {}
        with timed(stages, "inference"):
            embedding = self._encoder.embed_texts(edition.model, [text], Priority.STAT)
        with timed(stages, "search"):
            matches = self._store.search(edition.index, embedding, top_k)[0]
            reports = self._reports.get(edition.index, matches)
        return _answer(edition, as_found(matches), reports, stages)

    def by_ecg(self, batch: Sequence[QueryItem], priority: Priority) -> list[Answer | CardexError]:
        """Answer a micro-batch; an ECG that is at fault gets its own error.

        Raises:
            CardexError: VersionMismatch, IndexMissing or Unavailable: nothing was answered and no ECG
                is at fault.
        """
        edition = self._catalogue.current()
        works = [QueryState(asked, {"queue": asked.queued_s}) for asked in batch]
        self._look_up(works, edition)
        prepare([work for work in works if work.open and work.needs_image], edition)
        draw_images([work for work in works if work.window is not None], edition)
        self._embed(
            [work for work in works if work.open and work.vector is None], edition, priority
        )
        found = [work for work in works if work.open]
        reports = self._search(found, edition)
        asking = [work for work in found if work.asked.question.rerank]
        self._match(asking, edition, reports, priority)
        self._write(found, edition, reports)
        return [work.outcome for work in works if work.outcome is not None]

    def _look_up(self, works: list[QueryState], edition: ServingSnapshot) -> None:
        """Take answers and embeddings that the cache has."""
        keys = [_key(work.asked.sha256, work.asked.question, edition) for work in works]
        for work, answer in zip(works, self._cache.answers(keys), strict=True):
            work.outcome = answer
        still = [work for work in works if work.open]
        known = self._cache.embeddings([work.asked.sha256 for work in still], edition.model.version)
        for work, found in zip(still, known, strict=True):
            if found is not None:
                work.vector, work.quality = found

    def _embed(self, works: list[QueryState], edition: ServingSnapshot, priority: Priority) -> None:
        if not works:
            return
        stages: dict[str, float] = {}
        images = np.stack([work.image for work in works if work.image is not None])
        with timed(stages, "inference"):
            vectors = self._encoder.embed_images(edition.model, images, priority)
        for work, vector in zip(works, vectors, strict=True):
            work.vector = vector
            work.stages |= stages
        self._cache.put_embeddings(
            {
                work.asked.sha256: (work.vector, work.quality)
                for work in works
                if work.vector is not None and work.quality is not None
            },
            edition.model.version,
        )

    def _search(self, works: list[QueryState], edition: ServingSnapshot) -> dict[str, Report]:
        """Find what is near to each; returns the reports by id."""
        if not works:
            return {}
        stages: dict[str, float] = {}
        with timed(stages, "search"):
            vectors = np.stack([work.vector for work in works if work.vector is not None])
            count = max(_searched(work.asked.question) for work in works)
            found = self._store.search(edition.index, vectors, count)
            reports = self._reports.get(edition.index, [match for row in found for match in row])
        for work, matches in zip(works, found, strict=True):
            there = [match for match in matches if match.report_id in reports]
            work.matches = there[: _searched(work.asked.question)]
            work.stages |= stages
        return reports

    def _match(
        self,
        works: list[QueryState],
        edition: ServingSnapshot,
        reports: dict[str, Report],
        priority: Priority,
    ) -> None:
        """Ask the matcher about the nearest reports of each."""
        works = [work for work in works if work.matches]
        if not works:
            return
        stages: dict[str, float] = {}
        with timed(stages, "rerank"):
            images = np.stack([work.image for work in works if work.image is not None])
            texts = [
                [
                    reports[match.report_id].text
                    for match in work.matches[: work.asked.question.rerank]
                ]
                for work in works
            ]
            log_odds = self._encoder.match(edition.model, images, texts, priority)
        for work, found in zip(works, log_odds, strict=True):
            work.log_odds = found
            work.stages |= stages

    def _write(
        self, works: list[QueryState], edition: ServingSnapshot, reports: dict[str, Report]
    ) -> None:
        """Make each answer, and cache it."""
        answers: dict[str, Answer] = {}
        for work in works:
            question = work.asked.question
            ranked = _ranked(work, edition)[: question.top_k]
            plain = _answer(edition, ranked, reports, work.stages)
            work.outcome = _with_ecg(plain, work, edition)
            answers[_key(work.asked.sha256, question, edition)] = work.outcome
        self._cache.put_answers(answers)


def _ranked(work: QueryState, edition: ServingSnapshot) -> list[Ranked]:
    if work.log_odds is None or edition.calibration is None:
        return as_found(work.matches)
    return reranked(work.matches, work.log_odds, edition.calibration.match_weight)


def _with_ecg(answer: Answer, work: QueryState, edition: ServingSnapshot) -> Answer:
    """Add what is said of the ECG itself."""
    predictor, vector = edition.predictor, work.vector
    return replace(
        answer,
        quality=work.quality,
        predictions=predictor.predict(vector) if predictor and vector is not None else (),
        draft=draft_of(answer.hits),
    )


def _answer(
    edition: ServingSnapshot,
    ranked: Sequence[Ranked],
    reports: dict[str, Report],
    stages: dict[str, float],
) -> Answer:
    there = [found for found in ranked if found.report_id in reports]
    hits = tuple(
        Hit(_shown(reports[found.report_id]), round(found.score, 6), rank, found.match)
        for rank, found in enumerate(there, start=1)
    )
    return Answer(
        hits=hits,
        findings=findings_of(hits),
        model_version=edition.model.version,
        index_name=edition.index.name,
        index_generation=edition.index.generation,
        stages=tuple(StageTime(stage, round(seconds, 6)) for stage, seconds in stages.items()),
    )


def _shown(report: Report) -> Report:
    return replace(report, record_ids=report.record_ids[:SHOWN_RECORD_IDS])


def _key(sha256: str, question: Question, edition: ServingSnapshot) -> str:
    return answer_key(sha256, question, edition.version, edition.index.generation)


def _searched(question: Question) -> int:
    return max(question.top_k, question.rerank)
