"""A small report index, whole in this process's memory: searched exactly, without a call."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding
from cardex.domain.errors import CardexError
from cardex.domain.index import IndexInfo, Match
from cardex.domain.reports import Report
from cardex.stores.report_index import ReportIndex

logger = logging.getLogger(__name__)

PAUSE_S = 5.0
"""So much later than the last reading the next one may begin; Milvus is searched meanwhile.

So a feed that changes the index every second costs no reading a second.
"""


@dataclass(frozen=True, slots=True, eq=False)
class WholeIndex:
    """All reports of one generation of an index.

    Attributes:
        generation: of the index.
        reports: by id.
        embeddings: (dimension,) float32 by report id.
        columns: (dimension, reports) float32, in the order of `reports`.
    """

    generation: str
    reports: Mapping[str, Report] = field(repr=False)
    embeddings: Mapping[str, Embedding] = field(repr=False)
    columns: NDArray[np.float32] = field(repr=False)
    _ids: Sequence[str] = field(repr=False)

    @classmethod
    def of(cls, generation: str, reports: Sequence[Report], embeddings: Embedding) -> "WholeIndex":
        """Hold reports with their (reports, dimension) embeddings."""
        ids = [report.report_id for report in reports]
        return cls(
            generation,
            dict(zip(ids, reports, strict=True)),
            dict(zip(ids, embeddings, strict=True)),
            np.ascontiguousarray(embeddings.T),
            ids,
        )

    def search(self, embeddings: Embedding, top_k: int) -> list[list[Match]]:
        """Return the nearest reports of each of (B, dimension) embeddings, nearest first."""
        scores = embeddings @ self.columns  # (B, reports)
        count = min(top_k, len(self._ids))
        near = np.argpartition(scores, len(self._ids) - count, axis=1)[:, -count:]
        found = np.take_along_axis(scores, near, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        places = np.take_along_axis(near, order, axis=1).tolist()
        ordered = np.take_along_axis(found, order, axis=1).tolist()
        return [
            [Match(self._ids[place], score) for place, score in zip(row, values, strict=True)]
            for row, values in zip(places, ordered, strict=True)
        ]


class HasGeneration(Protocol):
    """What was read of one generation of an index."""

    @property
    def generation(self) -> str:
        """The generation."""


T = TypeVar("T", bound=HasGeneration)


class InMemory(Generic[T]):
    """Keeps what was read of the index in force, as long as it is small; used by many threads."""

    def __init__(self, read_whole: Callable[[IndexInfo], T | None], *, wanted: bool) -> None:
        """Read by `read_whole`, which returns None where the index is too large, if `wanted`."""
        self._read_whole = read_whole
        self._wanted = wanted
        self._lock = threading.Lock()
        self._whole: T | None = None
        self._too_large = ""
        self._is_reading = False
        self._not_before = 0.0

    def get(self, index: IndexInfo) -> T | None:
        """Return what was read of the index; None while it is not in memory."""
        whole = self._whole
        return whole if whole is not None and whole.generation == index.generation else None

    def get_or_begin(self, index: IndexInfo) -> T | None:
        """Return what was read of the index; None while that is not there, and reading begins."""
        whole = self.get(index)
        if whole is None and self._wanted and self._may_begin(index):
            reading = threading.Thread(target=self.read, args=(index,), name="memory-index")
            reading.daemon = True
            reading.start()
        return whole

    def _may_begin(self, index: IndexInfo) -> bool:
        """Take the one place of a reader, if it is free and this index is worth it."""
        with self._lock:
            if (
                self._is_reading
                or index.generation == self._too_large
                or time.monotonic() < self._not_before
            ):
                return False
            self._is_reading = True
            return True

    def read(self, index: IndexInfo) -> None:
        """Read an index; while one cannot be read, or is too large, none is in memory."""
        self._whole = None
        try:
            self._whole = self._read_whole(index)
            self._too_large = "" if self._whole else index.generation
        except CardexError as error:
            logger.warning("the index is not in memory: %s", error.message)
        finally:
            self._not_before = time.monotonic() + PAUSE_S
            self._is_reading = False


class MemoryIndex(InMemory[WholeIndex]):
    """The reports of the index in force, where they are few."""

    def __init__(self, store: ReportIndex, limit: int) -> None:
        """Read indexes of up to `limit` reports from `store`; with 0 none."""
        super().__init__(self._read, wanted=limit > 0)
        self._store = store
        self._limit = limit

    def _read(self, index: IndexInfo) -> WholeIndex | None:
        if not 0 < self._store.count(index) <= self._limit:
            return None
        reports: list[Report] = []
        vectors: list[Embedding] = []
        for some, embeddings in self._store.embedded_pages(index):
            reports += some
            vectors.append(embeddings)
        return WholeIndex.of(index.generation, reports, np.concatenate(vectors))
