"""The cases of a small index, whole in this process's memory: searched exactly, without a call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cardex.domain.cases import FiledCase
from cardex.domain.ecg import Embedding
from cardex.domain.index import CaseMatch, IndexInfo
from cardex.retrieval.memory_index import InMemory
from cardex.stores.case_index import CaseIndex

BEHIND_ALL = np.float32(-2.0)
"""In place of the similarity of a case without an ECG."""


@dataclass(frozen=True, slots=True, eq=False)
class WholeCases:
    """All cases of one generation of an index.

    Attributes:
        generation: of the index.
        filed: the cases.
        columns: (dimension, cases) float32, zeros where a case has no ECG.
        by_report: places in `filed` by report id, those with an ECG first.
        recorded: how many cases have an ECG; they come first in `filed`.
    """

    generation: str
    filed: Sequence[FiledCase] = field(repr=False)
    columns: NDArray[np.float32] = field(repr=False)
    by_report: Mapping[str, list[int]] = field(repr=False)
    recorded: int

    @classmethod
    def of(cls, generation: str, filed: Sequence[FiledCase], embeddings: Embedding) -> "WholeCases":
        """Hold cases with their (cases, dimension) embeddings."""
        # Those with an ECG first, so that a search looks at one block of columns.
        order = sorted(range(len(filed)), key=lambda place: not filed[place].case.has_ecg)
        ordered = [filed[place] for place in order]
        by_report: dict[str, list[int]] = {}
        for place, one in enumerate(ordered):
            by_report.setdefault(one.report_id, []).append(place)
        columns = np.ascontiguousarray(embeddings[order].T)
        recorded = sum(one.case.has_ecg for one in ordered)
        return cls(generation, ordered, columns, by_report, recorded)

    def search(self, embeddings: Embedding, count: int) -> list[list[CaseMatch]]:
        """Return the cases whose ECGs are nearest to each of (B, dimension) embeddings."""
        scores = embeddings @ self.columns[:, : self.recorded]  # (B, cases with an ECG)
        places = np.arange(self.recorded)
        return [self._nearest(row, places, count) for row in scores]

    def of_report(self, embedding: Embedding, report_id: str, count: int) -> list[CaseMatch]:
        """Return the nearest cases of a report, those without an ECG last: at most `count`."""
        places = np.array(self.by_report.get(report_id, []), dtype=np.int64)
        scores = embedding @ self.columns[:, places]
        ordered = np.where(places < self.recorded, scores, BEHIND_ALL)
        return self._nearest(ordered, places, count)

    def _nearest(
        self, scores: NDArray[np.float32], places: NDArray[np.int64], count: int
    ) -> list[CaseMatch]:
        if len(scores) > count:
            near = np.argpartition(scores, len(scores) - count)[-count:]
            scores, places = scores[near], places[near]
        order = np.argsort(-scores, kind="stable")
        return [CaseMatch(self.filed[places[row]], float(scores[row])) for row in order.tolist()]


class MemoryCases(InMemory[WholeCases]):
    """The cases of the index in force, where they are few."""

    def __init__(self, store: CaseIndex, limit: int) -> None:
        """Read the cases of an index of up to `limit` of them; with 0 none."""
        super().__init__(self._read, wanted=limit > 0)
        self._store = store
        self._limit = limit

    def _read(self, index: IndexInfo) -> WholeCases | None:
        if self._store.count(index) > self._limit:
            return None
        filed: list[FiledCase] = []
        vectors = [np.empty((0, index.dimension), np.float32)]
        for some, embeddings in self._store.embedded_pages(index):
            filed += some
            vectors.append(embeddings)
        return WholeCases.of(index.generation, filed, np.concatenate(vectors))
