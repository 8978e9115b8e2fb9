"""The work of a record in one process: Cardex's own `Retriever` with nothing remote behind it.

ONNX Runtime stands in for Triton, a matrix in memory for Milvus, and there is no cache. Every peer
answers by it, so that all peers and Cardex itself compute the same answers by the same functions.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cardex.api.convert.ecg import from_payload
from cardex.domain.ecg import Embedding, Image
from cardex.domain.errors import CardexError
from cardex.domain.index import IndexInfo, Match
from cardex.domain.jobs import Priority, Question
from cardex.domain.quality import SignalQuality
from cardex.domain.reports import Report
from cardex.domain.settings import load_settings
from cardex.inference.encoder import ModelInfo
from cardex.inference.novelty import served_novelty
from cardex.inference.probe import probe_image
from cardex.inference.repository import IMAGE_ENCODER, TEXT_ENCODER, ModelVersion, newest
from cardex.inference.served_model import IMAGE_INPUT, TEXT_INPUT
from cardex.inference.statements import served_calibration
from cardex.inference.tokenizer import ReportTokenizer
from cardex.local_stack.dataset import fetch
from cardex.reports.ptbxl import distinct_reports
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.memory_index import WholeIndex
from cardex.retrieval.pipeline import QueryItem
from cardex.retrieval.retriever import Retriever
from cardex.signals.readers import warm_up
from cardex.stores.answer_cache import AnswerCache
from cardex.stores.case_index import CaseIndex
from cardex.stores.milvus import Milvus
from cardex.stores.report_index import ReportIndex

TEXTS_AT_ONCE = 64


class OnnxEncoder:
    """The `Encoder` in this process: one ONNX Runtime session of one thread for each model."""

    def __init__(self, release: ModelVersion) -> None:
        """Open the encoders of one model version; it has no matcher."""
        self._images = _session(release.graph(IMAGE_ENCODER))
        self._texts = _session(release.graph(TEXT_ENCODER))
        self._tokenizer = ReportTokenizer(release.tokenizer)
        spec = release.spec()
        (probed,) = self._images.run(None, {IMAGE_INPUT: probe_image(spec.shape)})  # (1, dimension)
        self._model = ModelInfo(
            release.version(), spec, probed.shape[1], triton_version=release.triton_version
        )

    def models(self, *, fresh: bool = False) -> tuple[ModelInfo, ...]:
        """Return the one model."""
        return (self._model,)

    def embed_images(self, model: ModelInfo, images: Image, priority: Priority) -> Embedding:
        """Embed (B, H, W, C) uint8 images: (B, dimension) float32."""
        (vectors,) = self._images.run(None, {IMAGE_INPUT: images})
        return np.asarray(vectors, dtype=np.float32)

    def embed_texts(self, model: ModelInfo, texts: Sequence[str], priority: Priority) -> Embedding:
        """Embed reports: (B, dimension) float32."""
        tokens = self._tokenizer.encode(texts)
        parts = [
            self._texts.run(None, {TEXT_INPUT: tokens[first : first + TEXTS_AT_ONCE]})[0]
            for first in range(0, len(tokens), TEXTS_AT_ONCE)
        ]
        return np.concatenate(parts)

    def match(
        self, model: ModelInfo, images: Image, reports: Sequence[Sequence[str]], priority: Priority
    ) -> list[NDArray[np.float32]]:
        """Refuse: no peer is asked to re-rank."""
        raise NotImplementedError


class MemoryIndex:
    """The parts of `ReportIndex` that answers need: an exact search of one matrix."""

    def __init__(self, model: ModelInfo, reports: Sequence[Report], embeddings: Embedding) -> None:
        """Hold reports and their (reports, dimension) embeddings."""
        self._index = IndexInfo("memory", "1", model.version, 0.0, model.dimension, "FLAT")
        self._whole = WholeIndex.of("1", reports, embeddings)
        self.cases = CaseIndex(Milvus(""))  # never asked: the index has none

    def current(self) -> IndexInfo:
        """Return the one index."""
        return self._index

    def search(
        self, index: IndexInfo, embeddings: Embedding, top_k: int, among: Sequence[str] = ()
    ) -> list[list[Match]]:
        """Return the nearest reports of each of (B, dimension) embeddings, nearest first."""
        return self._whole.search(embeddings, top_k)

    def get(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, Report]:
        """Return reports by id."""
        return {report_id: self._whole.reports[report_id] for report_id in report_ids}

    def embeddings(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return embeddings by report id."""
        return {report_id: self._whole.embeddings[report_id] for report_id in report_ids}


class NoCache:
    """An `AnswerCache` that is always empty."""

    def answers(self, keys: list[str]) -> list[bytes | None]:
        """Return that nothing is known."""
        return [None] * len(keys)

    def put_answers(self, answers: dict[str, bytes], index: IndexInfo) -> None:
        """Keep nothing."""

    def embeddings(
        self, payloads: list[str], model_version: str
    ) -> list[tuple[Embedding, SignalQuality] | None]:
        """Return that nothing is known."""
        return [None] * len(payloads)

    def put_embeddings(
        self,
        embedded: dict[str, tuple[Embedding, SignalQuality]],
        model_version: str,
        index: IndexInfo,
    ) -> None:
        """Keep nothing."""


class Work:
    """From payloads to encoded answers, in this process."""

    def __init__(self, repository: Path, reports: Sequence[Report], kept: Path) -> None:
        """Load the newest model of a repository, and the reports.

        Args:
            repository: the model repository.
            reports: what is searched.
            kept: folder where the reports' embeddings are kept for the next process.
        """
        encoder = OnnxEncoder(newest(repository))
        (model,) = encoder.models()
        embeddings = report_embeddings(encoder, reports, kept)
        store = cast(ReportIndex, MemoryIndex(model, reports, embeddings))
        # Nothing changes while it runs, so the snapshot is looked up once and never grows old.
        active_index = ActiveIndex(
            encoder,
            store,
            partial(served_calibration, repository),
            partial(served_novelty, repository),
            period_s=math.inf,
        )
        active_index.refresh()
        active_index.current()
        self._retriever = Retriever(encoder, store, cast(AnswerCache, NoCache()), active_index)
        warm_up()

    def answer(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Answer a batch of payloads with the contract's `Answer` messages, serialized.

        Raises:
            CardexError: of the first ECG that cannot be answered.
        """
        items = [
            QueryItem(hashlib.sha256(payload).hexdigest(), from_payload(payload), Question())
            for payload in payloads
        ]
        answers = []
        for outcome in self._retriever.by_ecg(items, Priority.ROUTINE):
            if isinstance(outcome, CardexError):
                raise outcome
            answers.append(outcome.message)
        return answers


def load_work() -> Work:
    """Load the work over the demo's reports, as each worker process of a peer does."""
    settings = load_settings()
    data = settings.data_dir / "data"
    reports = distinct_reports(fetch(data, lambda _: None).ptbxl)
    return Work(settings.model_repository, reports, data / "bench")


def report_embeddings(encoder: OnnxEncoder, reports: Sequence[Report], kept: Path) -> Embedding:
    """Return the (reports, dimension) embeddings of reports, computed once for model and texts."""
    (model,) = encoder.models()
    texts = [report.text for report in reports]
    content = hashlib.sha256("\0".join([model.version, *texts]).encode()).hexdigest()
    path = kept / f"report-embeddings-{content[:16]}.npy"
    if not path.is_file():
        kept.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, encoder.embed_texts(model, texts, Priority.ROUTINE))
        part.replace(path)
    return np.asarray(np.load(path), dtype=np.float32)


def _session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
