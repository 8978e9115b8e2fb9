"""One ECG on its way to an answer: what is known of it so far, and its image."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cardex.domain.cases import Filing
from cardex.domain.ecg import EcgInput, Embedding, Image, RecordingMetadata, Signal
from cardex.domain.errors import CardexError
from cardex.domain.index import Match
from cardex.domain.jobs import EncodedAnswer, Question, StageTime
from cardex.domain.quality import SignalQuality
from cardex.domain.trace import Trace
from cardex.retrieval.active_index import ServingSnapshot
from cardex.retrieval.metrics import ECGS, UNREAD, count_refusal, device_of
from cardex.retrieval.nearest import Found
from cardex.retrieval.reranking import check_matcher
from cardex.signals.cleaning import MONITORING, clean
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw, window_of
from cardex.signals.quality import RATE_HZ, assess
from cardex.signals.readers import read
from cardex.signals.trace import trace_of


@dataclass(frozen=True, slots=True)
class QueryItem:
    """One ECG with its question.

    Attributes:
        sha256: of the payload that the ECG was decoded from.
        ecg: the ECG; None for a case that is filed without one.
        question: what is asked.
        queued_s: how long it waited for a worker.
        filing: what it is to be filed as; None for nothing.
        submitted: when it was sent, in Unix seconds.
        held: whether its job is still in this worker's hands.
    """

    sha256: str
    ecg: EcgInput | None = field(repr=False)
    question: Question
    queued_s: float = 0.0
    filing: Filing | None = field(default=None, repr=False)
    submitted: float = 0.0
    held: Callable[[], bool] = lambda: True

    @property
    def asks(self) -> bool:
        """Whether an answer is wanted."""
        return self.filing is None or not self.filing.only


@dataclass(slots=True)
class QueryState:
    """What is known of one ECG so far."""

    item: QueryItem
    stages: dict[str, StageTime]
    vector: Embedding | None = None
    probabilities: NDArray[np.float64] | None = None
    window: Signal | None = None
    image: Image | None = None
    found: Found | None = None
    trace: Trace | None = None
    metadata: RecordingMetadata = field(default=RecordingMetadata(), repr=False)
    match_logits: NDArray[np.float32] | None = None
    quality: SignalQuality | None = None
    device: str = UNREAD
    outcome: EncodedAnswer | CardexError | None = None

    @property
    def open(self) -> bool:
        """True where it is not answered yet."""
        return self.outcome is None

    @property
    def needs_image(self) -> bool:
        """True where one of the models has to see the ECG."""
        return self.vector is None or (self.item.asks and self.item.question.rerank > 0)

    @property
    def needs_trace(self) -> bool:
        """True where the ECG itself is kept."""
        return self.item.question.trace or self.item.filing is not None

    @property
    def needs_ecg(self) -> bool:
        """True where the recording has to be read."""
        return self.item.ecg is not None and (self.needs_image or self.needs_trace)

    @property
    def matches(self) -> list[Match]:
        """The reports that were found, in their order."""
        return self.found.matches if self.found else []


def prepare(queries: list[QueryState], snapshot: ServingSnapshot) -> None:
    """Read and clean each ECG; one that cannot be answered gets its error."""
    for query in queries:
        try:
            check_matcher(query.item.question, snapshot)
            _prepare_one(query, snapshot.model.image_spec)
        except CardexError as error:
            query.outcome = error
            count_refusal(query.device, error)


def _prepare_one(query: QueryState, spec: ImageSpec) -> None:
    assert query.item.ecg is not None
    with timed(query.stages, "read"):
        waveform = read(query.item.ecg)
        query.metadata = waveform.metadata
        query.device = device_of(waveform)
        ECGS.labels(query.device).inc()
    if query.needs_trace:
        with timed(query.stages, "trace"):
            query.trace = trace_of(waveform)
    if not query.needs_image:
        return
    with timed(query.stages, "clean"):
        cleaned = clean(waveform, spec.rate, spec.filter)
        usual = (spec.rate, spec.filter) == (RATE_HZ, MONITORING)
        judged = cleaned if usual else clean(waveform, RATE_HZ)
        query.quality = assess(waveform, judged, spec.window_s)
        query.window = window_of(cleaned, spec)


def draw_images(queries: list[QueryState], snapshot: ServingSnapshot) -> None:
    """Draw all windows at once."""
    if not queries:
        return
    stages: dict[str, StageTime] = {}
    with timed(stages, "encode"):
        windows = np.stack([query.window for query in queries if query.window is not None])
        images = draw(windows, snapshot.model.image_spec)
    for query, image in zip(queries, images, strict=True):
        query.image = image
        query.stages |= stages


@contextmanager
def timed(stages: dict[str, StageTime], stage: str) -> Iterator[None]:
    """Add the time of a block to the stages."""
    began, start = time.time(), time.perf_counter()
    yield
    stages[stage] = StageTime(stage, round(time.perf_counter() - start, 6), began)
