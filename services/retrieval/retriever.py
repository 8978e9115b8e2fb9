"""A micro-batch of ECGs, or one text, to answers."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from services.domain.ecg import EcgInput, Embedding, Signal
from services.domain.errors import CardexError, InvalidQuestion
from services.domain.jobs import (
    MAX_TOP_K,
    SHOWN_RECORD_IDS,
    Answer,
    Priority,
    Question,
    StageTime,
)
from services.domain.quality import SignalQuality
from services.domain.reports import Hit, Report
from services.inference.encoder import Encoder
from services.retrieval.catalogue import Catalogue, Edition
from services.retrieval.findings import findings_of
from services.signals.cleaning import MONITORING, clean
from services.signals.images import draw, window_of
from services.signals.quality import RATE_HZ, assess
from services.signals.readers import read
from services.signals.spec import ImageSpec
from services.stores.cache import Cache, answer_key
from services.stores.reports import IndexInfo, Match, ReportStore

MAX_TEXT = 2_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One ECG with its question.

    Attributes:
        sha256: of the payload that the ECG was decoded from.
        ecg: the ECG.
        question: what is asked.
        queued_s: how long it waited for a worker.
    """

    sha256: str
    ecg: EcgInput = field(repr=False)
    question: Question
    queued_s: float = 0.0


@dataclass(slots=True)
class _Work:
    """What is known of one ECG so far."""

    asked: Asked
    stages: dict[str, float]
    vector: Embedding | None = None
    window: Signal | None = None
    quality: SignalQuality | None = None
    outcome: Answer | CardexError | None = None


def check_question(question: Question) -> Question:
    """Return the question if it can be asked.

    Raises:
        InvalidQuestion: if top_k is out of range.
    """
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
        self, encoder: Encoder, store: ReportStore, cache: Cache, catalogue: Catalogue
    ) -> None:
        """Answer with the given parts."""
        self._encoder = encoder
        self._store = store
        self._cache = cache
        self._catalogue = catalogue
        self._reports = _ReportShelf(store)

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
        with _timed(stages, "inference"):
            embedding = self._encoder.embed_texts([text])
        with _timed(stages, "search"):
            matches = self._store.search(edition.index, embedding, top_k)[0]
            reports = self._reports.get(edition.index, matches)
        return _answer(edition, matches, reports, None, stages)

    def by_ecg(self, batch: Sequence[Asked], priority: Priority) -> list[Answer | CardexError]:
        """Answer a micro-batch; an ECG that is at fault gets its own error.

        Raises:
            CardexError: VersionMismatch, IndexMissing or Unavailable: nothing was answered and no ECG
                is at fault.
        """
        edition = self._catalogue.current()
        works = [_Work(asked, {"queue": asked.queued_s}) for asked in batch]
        self._look_up(works, edition)
        _prepare([work for work in works if _open(work) and work.vector is None], edition)
        self._embed([work for work in works if work.window is not None], edition, priority)
        self._search([work for work in works if _open(work)], edition)
        return [work.outcome for work in works if work.outcome is not None]

    def _look_up(self, works: list[_Work], edition: Edition) -> None:
        """Take answers and embeddings that the cache has."""
        keys = [_key(work.asked.sha256, work.asked.question, edition) for work in works]
        for work, answer in zip(works, self._cache.answers(keys), strict=True):
            work.outcome = answer
        still = [work for work in works if _open(work)]
        known = self._cache.embeddings([work.asked.sha256 for work in still], edition.model.version)
        for work, found in zip(still, known, strict=True):
            if found is not None:
                work.vector, work.quality = found

    def _embed(self, works: list[_Work], edition: Edition, priority: Priority) -> None:
        if not works:
            return
        stages: dict[str, float] = {}
        with _timed(stages, "encode"):
            windows = np.stack([work.window for work in works if work.window is not None])
            images = draw(windows, edition.model.image_spec)
        with _timed(stages, "inference"):
            vectors = self._encoder.embed_images(images, priority)
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

    def _search(self, works: list[_Work], edition: Edition) -> None:
        if not works:
            return
        stages: dict[str, float] = {}
        with _timed(stages, "search"):
            vectors = np.stack([work.vector for work in works if work.vector is not None])
            top_k = max(work.asked.question.top_k for work in works)
            found = self._store.search(edition.index, vectors, top_k)
            reports = self._reports.get(edition.index, [match for row in found for match in row])
        answers: dict[str, Answer] = {}
        for work, matches in zip(works, found, strict=True):
            question = work.asked.question
            nearest = matches[: question.top_k]
            answer = _answer(edition, nearest, reports, work.quality, work.stages | stages)
            work.outcome = answer
            answers[_key(work.asked.sha256, question, edition)] = answer
        self._cache.put_answers(answers)


class _ReportShelf:
    """Reports already read from the index in force: near reports are near to many ECGs."""

    LIMIT = 50_000

    def __init__(self, store: ReportStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._generation = ""
        self._reports: dict[str, Report] = {}

    def get(self, index: IndexInfo, matches: Sequence[Match]) -> dict[str, Report]:
        wanted = {match.report_id for match in matches}
        with self._lock:
            if self._generation != index.generation or len(self._reports) > self.LIMIT:
                self._generation, self._reports = index.generation, {}
            shelf = self._reports
        missing = sorted(wanted - shelf.keys())
        for first in range(0, len(missing), 500):
            fetched = self._store.get(index, missing[first : first + 500])
            with self._lock:
                shelf.update(fetched)
        return {report_id: shelf[report_id] for report_id in wanted & shelf.keys()}


def _prepare(works: list[_Work], edition: Edition) -> None:
    """Read and clean each ECG; one that cannot be read gets its error."""
    for work in works:
        try:
            _prepare_one(work, edition.model.image_spec)
        except CardexError as error:
            work.outcome = error


def _prepare_one(work: _Work, spec: ImageSpec) -> None:
    with _timed(work.stages, "read"):
        waveform = read(work.asked.ecg)
    with _timed(work.stages, "clean"):
        cleaned = clean(waveform, spec.rate, spec.filter)
        usual = (spec.rate, spec.filter) == (RATE_HZ, MONITORING)
        judged = cleaned if usual else clean(waveform, RATE_HZ)
        work.quality = assess(waveform, judged, spec.window_s)
        work.window = window_of(cleaned, spec)


def _answer(
    edition: Edition,
    matches: Sequence[Match],
    reports: dict[str, Report],
    quality: SignalQuality | None,
    stages: dict[str, float],
) -> Answer:
    hits = tuple(
        Hit(_shown(reports[match.report_id]), round(match.score, 6), rank)
        for rank, match in enumerate((m for m in matches if m.report_id in reports), start=1)
    )
    return Answer(
        hits=hits,
        findings=findings_of(hits),
        model_version=edition.model.version,
        index_name=edition.index.name,
        index_generation=edition.index.generation,
        stages=tuple(StageTime(stage, round(seconds, 6)) for stage, seconds in stages.items()),
        quality=quality,
    )


def _shown(report: Report) -> Report:
    return replace(report, record_ids=report.record_ids[:SHOWN_RECORD_IDS])


def _key(sha256: str, question: Question, edition: Edition) -> str:
    return answer_key(sha256, question, edition.model.version, edition.index.generation)


def _open(work: _Work) -> bool:
    return work.outcome is None


@contextmanager
def _timed(stages: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    stages[stage] = time.perf_counter() - start
