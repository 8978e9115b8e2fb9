"""A micro-batch of ECGs, or one text, to answers."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from cardex.api.convert.jobs import encode_answer, filed_answer, from_cache
from cardex.domain.cases import Filing
from cardex.domain.errors import CardexError, CaseNotFound, InvalidQuestion
from cardex.domain.index import FoundCase
from cardex.domain.jobs import (
    MAX_TEXT,
    Answer,
    EncodedAnswer,
    Priority,
    Question,
    StageTime,
)
from cardex.domain.reports import Report
from cardex.inference.encoder import Encoder
from cardex.retrieval.active_index import ActiveIndex, ServingSnapshot
from cardex.retrieval.answers import answer_of, answer_to_ecg, answer_to_filing
from cardex.retrieval.case_cache import CaseCache, NearestCases
from cardex.retrieval.draft import VOTERS
from cardex.retrieval.filing import CaseFiler, EmbeddedCase
from cardex.retrieval.hits import hits_of
from cardex.retrieval.metrics import count_answer
from cardex.retrieval.nearest import NearestSearch, Shown
from cardex.retrieval.pipeline import QueryItem, QueryState, draw_images, prepare, timed
from cardex.retrieval.question import check_question
from cardex.retrieval.report_cache import ReportCache
from cardex.retrieval.reranking import Ranked, as_found, reranked
from cardex.stores.answer_cache import AnswerCache, answer_key
from cardex.stores.report_index import ReportIndex

TURN_S = 10.0
"""How long a thread waits for its turn to compute; then it shares with the one that has it."""


class Retriever:
    """The way from ECG or text to the nearest reports. Used by many threads at once."""

    def __init__(
        self,
        encoder: Encoder,
        store: ReportIndex,
        cache: AnswerCache,
        active_index: ActiveIndex,
        *,
        filer: CaseFiler | None = None,
        whole_up_to: int = 0,
    ) -> None:
        """Answer with the given parts.

        Args:
            encoder: embeds ECGs and texts, and matches them.
            store: the report index.
            cache: of answers and embeddings.
            active_index: which index answers.
            filer: files ECGs as cases; None where none is filed.
            whole_up_to: an index of up to so many reports is searched for ECGs in this process's
                memory.
        """
        self._encoder = encoder
        self._store = store
        self._cache = cache
        self._active_index = active_index
        self._filer = filer
        self._reports = ReportCache(store, whole_up_to)
        self._cases_near = CaseCache(store.cases, whole_up_to)
        self._nearest = NearestSearch(store, self._reports, self._cases_near)
        self._computing = threading.Lock()

    def read_ahead(self, snapshot: ServingSnapshot) -> None:
        """Begin to read a small index into memory before the first ECG asks for it."""
        self._reports.read_ahead(snapshot.index)
        self._cases_near.read_ahead(snapshot.index)

    def cached(self, asked: Sequence[tuple[str, Question]]) -> list[EncodedAnswer | None]:
        """Return the answers that are known already, even while Triton or Milvus is down or hangs.

        Args:
            asked: SHA-256 of each payload, and its question.
        """
        snapshot = self._active_index.last_known()
        if snapshot is None:
            return [None] * len(asked)
        return self._cached([_key(sha256, question, snapshot) for sha256, question in asked])

    def _cached(self, keys: list[str]) -> list[EncodedAnswer | None]:
        return [from_cache(stored) if stored else None for stored in self._cache.answers(keys)]

    def by_text(self, text: str, question: Question) -> Answer:
        """Find the reports nearest to a text.

        Raises:
            InvalidQuestion: if the text is empty or too long, or the question cannot be asked.
            CardexError: VersionMismatch, IndexMissing or Unavailable.
        """
        check_question(question)
        if not text.strip() or len(text) > MAX_TEXT:
            raise InvalidQuestion(
                f"the text has {len(text)} characters: must have 1 to {MAX_TEXT}",
                reason="TEXT",
                field="text",
            )
        snapshot = self._active_index.current()
        stages: dict[str, StageTime] = {}
        with timed(stages, "inference"):
            embedding = self._encoder.embed_texts(snapshot.model, [text], Priority.STAT)
        if snapshot.predictor is not None:
            embedding = snapshot.predictor.question(embedding)
        with timed(stages, "search"):
            found, reports = self._nearest.of_text(snapshot, embedding, question)
            order = _there(as_found(found.matches), reports)
        shown = [Shown(embedding[0], _first(order, reports, question), question, found)]
        (cases,) = self._cases(shown, snapshot, stages)
        near = hits_of(order, reports, question, found, cases)
        return answer_of(question, near, found, stages, snapshot)

    def case(self, case_id: str) -> FoundCase:
        """Return a case of the index in force.

        Raises:
            CaseNotFound: if there is none of this id, or its report is gone.
            CardexError: VersionMismatch, IndexMissing or Unavailable.
        """
        index, cases = self._active_index.current().index, self._store.cases
        filed = cases.get(index, [case_id]).get(case_id) if index.has_cases else None
        reports = self._store.get(index, [filed.report_id]) if filed else {}
        if filed is None or filed.report_id not in reports:
            raise CaseNotFound.of(case_id)
        trace = cases.traces(index, [case_id]).get(case_id)
        return FoundCase(filed, reports[filed.report_id], trace)

    def by_ecg(
        self, batch: Sequence[QueryItem], priority: Priority
    ) -> list[EncodedAnswer | CardexError]:
        """Answer a micro-batch; an ECG that is at fault gets its own error.

        Raises:
            CardexError: VersionMismatch, IndexMissing or Unavailable: nothing was answered and no
                ECG is at fault.
        """
        snapshot = self._active_index.current()
        now = time.time()
        queries = [QueryState(item, {"queue": _queued(item, now)}) for item in batch]
        self._look_up(queries, snapshot)
        with self._turn():
            prepare([query for query in queries if query.open and query.needs_ecg], snapshot)
            draw_images([query for query in queries if query.window is not None], snapshot)
        unknown = [query for query in queries if query.open and query.image is not None]
        self._embed([query for query in unknown if query.vector is None], snapshot, priority)
        searched = [query for query in queries if query.open and query.item.asks]
        reports = self._search(searched, snapshot)
        asking = [query for query in searched if query.item.question.rerank]
        self._match(asking, snapshot, reports, priority)
        self._write(searched, snapshot, reports)
        self._file([query for query in queries if query.item.filing], snapshot)
        return [query.outcome for query in queries if query.outcome is not None]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Compute while the others wait for Triton and the stores.

        Threads of one Python that compute side by side only take its lock from one another, which
        costs a tenth of their time. One that is stuck holds up nobody for long.
        """
        taken = self._computing.acquire(timeout=TURN_S)
        try:
            yield
        finally:
            if taken:
                self._computing.release()

    def _look_up(self, queries: list[QueryState], snapshot: ServingSnapshot) -> None:
        """Take answers and embeddings that the cache has."""
        # One that is filed too needs its embedding, so its answer is made anew.
        asking = [query for query in queries if query.item.filing is None]
        keys = [_key(query.item.sha256, query.item.question, snapshot) for query in asking]
        for query, answer in zip(asking, self._cached(keys), strict=True):
            query.outcome = answer
        still = [query for query in queries if query.open]
        known = self._cache.embeddings(
            [query.item.sha256 for query in still], snapshot.model.version
        )
        for query, found in zip(still, known, strict=True):
            if found is not None:
                query.vector, query.quality = found

    def _embed(
        self, queries: list[QueryState], snapshot: ServingSnapshot, priority: Priority
    ) -> None:
        if not queries:
            return
        stages: dict[str, StageTime] = {}
        images = np.stack([query.image for query in queries if query.image is not None])
        with timed(stages, "inference"):
            vectors = self._encoder.embed_images(snapshot.model, images, priority)
        for query, vector in zip(queries, vectors, strict=True):
            query.vector = vector
            query.stages |= stages
        self._cache.put_embeddings(
            {
                query.item.sha256: (query.vector, query.quality)
                for query in queries
                if query.vector is not None and query.quality is not None
            },
            snapshot.model.version,
            snapshot.index,
        )

    def _search(self, queries: list[QueryState], snapshot: ServingSnapshot) -> Mapping[str, Report]:
        """Find what is near to each; returns the reports by id."""
        if not queries:
            return {}
        stages: dict[str, StageTime] = {}
        with timed(stages, "search"):
            vectors = np.stack([query.vector for query in queries if query.vector is not None])
            questions = [query.item.question for query in queries]
            probabilities = None
            if snapshot.predictor is not None:
                probabilities = snapshot.predictor.probabilities(vectors)  # (B, statements)
                for query, row in zip(queries, probabilities, strict=True):
                    query.probabilities = row
            counts = [_searched(question) for question in questions]
            found, reports = self._nearest.of_ecgs(
                snapshot, vectors, questions, counts, probabilities
            )
            for query, one in zip(queries, found, strict=True):
                query.found = one
        for query in queries:
            query.stages |= stages
        return reports

    def _match(
        self,
        queries: list[QueryState],
        snapshot: ServingSnapshot,
        reports: Mapping[str, Report],
        priority: Priority,
    ) -> None:
        """Ask the matcher about the nearest reports of each."""
        queries = [query for query in queries if query.matches]
        if not queries:
            return
        stages: dict[str, StageTime] = {}
        with timed(stages, "rerank"):
            images = np.stack([query.image for query in queries if query.image is not None])
            texts = [
                [
                    reports[match.report_id].text
                    for match in query.matches[: query.item.question.rerank]
                ]
                for query in queries
            ]
            match_logits = self._encoder.match(snapshot.model, images, texts, priority)
        for query, found in zip(queries, match_logits, strict=True):
            query.match_logits = found
            query.stages |= stages

    def _write(
        self, queries: list[QueryState], snapshot: ServingSnapshot, reports: Mapping[str, Report]
    ) -> None:
        """Make each answer, encode it once, and cache it."""
        ranked = [_there(_ranked(query, snapshot), reports) for query in queries]
        stages: dict[str, StageTime] = {}
        shown = [
            Shown(
                query.vector,
                _first(order, reports, query.item.question),
                query.item.question,
                query.found,
            )
            for query, order in zip(queries, ranked, strict=True)
            if query.vector is not None and query.found is not None
        ]
        cases = self._cases(shown, snapshot, stages)
        for query in queries:
            query.stages |= stages
        answers: dict[str, bytes] = {}
        stages = {}
        encoded: list[tuple[QueryState, EncodedAnswer]] = []
        with self._turn(), timed(stages, "answer"):
            for query, order, own in zip(queries, ranked, cases, strict=True):
                assert query.found is not None
                question = query.item.question
                near = hits_of(order, reports, question, query.found, own)
                answer = answer_to_ecg(query, near, snapshot)
                encoded.append((query, encode_answer(answer)))
                count_answer(answer)
                answers[_key(query.item.sha256, question, snapshot)] = encoded[-1][1].message
        for query, outcome in encoded:  # it cannot tell how long its own writing took
            query.outcome = replace(outcome, stages=(*outcome.stages, *stages.values()))
        self._cache.put_answers(answers, snapshot.index)

    def _file(self, queries: list[QueryState], snapshot: ServingSnapshot) -> None:
        """File ECGs as cases; those that could not be read keep their error."""
        ready = [
            (query, _embedded_case(query, query.item.filing))
            for query in queries
            if not isinstance(query.outcome, CardexError) and query.item.filing is not None
        ]
        if not ready:
            return
        assert self._filer is not None
        stages: dict[str, StageTime] = {}
        wanted = [case for _, case in ready]
        errors: list[CardexError | None]
        with timed(stages, "file"):
            try:
                errors = self._filer.file(snapshot, wanted)
            except CardexError as broken:  # it keeps back nothing but the cases
                errors = [broken] * len(wanted)
        for (query, case), error in zip(ready, errors, strict=True):
            answered = query.outcome
            if not isinstance(answered, EncodedAnswer):
                answered = encode_answer(answer_to_filing(query, snapshot))
            case_id = case.filing.case.case_id
            query.outcome = error or filed_answer(answered, case_id, tuple(stages.values()))

    def _cases(
        self, shown: Sequence[Shown], snapshot: ServingSnapshot, stages: dict[str, StageTime]
    ) -> list[NearestCases]:
        """Return the nearest cases of each question's hits."""
        if not snapshot.index.has_cases:
            return [{} for _ in shown]
        with timed(stages, "cases"):
            return self._nearest.cases_of(snapshot.index, shown)


def _queued(item: QueryItem, now: float) -> StageTime:
    return StageTime("queue", round(item.queued_s, 6), now - item.queued_s)


def _ranked(query: QueryState, snapshot: ServingSnapshot) -> list[Ranked]:
    if query.match_logits is None or snapshot.calibration is None:
        return as_found(query.matches)
    return reranked(query.matches, query.match_logits, snapshot.calibration.match_weight)


def _embedded_case(query: QueryState, filing: Filing) -> EmbeddedCase:
    item = query.item
    return EmbeddedCase(
        filing, query.vector, query.trace, item.submitted, query.metadata, item.held
    )


def _there(ranked: Sequence[Ranked], reports: Mapping[str, Report]) -> list[Ranked]:
    return [found for found in ranked if found.report_id in reports]


def _first(
    ranked: Sequence[Ranked], reports: Mapping[str, Report], question: Question
) -> list[Report]:
    return [reports[found.report_id] for found in ranked[: question.top_k]]


def _key(sha256: str, question: Question, snapshot: ServingSnapshot) -> str:
    return answer_key(sha256, question, snapshot.version, snapshot.index.generation)


def _searched(question: Question) -> int:
    """Return how many reports are searched: those that are shown, re-ranked, or vote on a draft."""
    return max(question.top_k, question.rerank, VOTERS)
