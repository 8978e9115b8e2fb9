import threading

import numpy as np
import pytest

from cardex.domain.errors import Unavailable
from cardex.domain.index import IndexInfo
from cardex.domain.reports import Report
from cardex.retrieval.memory_index import MemoryIndex, WholeIndex
from cardex.retrieval.report_cache import ReportCache
from cardex.stores.report_index import ReportIndex

DIMENSION = 8


def unit_vectors(count: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


class Store(ReportIndex):
    """An index that is read in pages, as long as `gate` is open."""

    def __init__(self, count: int = 25) -> None:
        super().__init__("http://milvus")
        self.reports = [Report(f"r{number}", f"report {number}") for number in range(count)]
        self.vectors = unit_vectors(count, 0)
        self.gate = threading.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.read = 0
        self.searched = 0

    def count(self, index):
        return len(self.reports)

    def embedded_pages(self, index, size=10):
        self.read += 1
        self.gate.wait(10.0)
        if self.errors:
            raise self.errors.pop(0)
        for first in range(0, len(self.reports), 10):
            yield self.reports[first : first + 10], self.vectors[first : first + 10]

    def search(self, index, embeddings, top_k, among=()):
        self.searched += 1
        return [[] for _ in embeddings]

    def get(self, index, report_ids):
        return {one.report_id: one for one in self.reports if one.report_id in report_ids}


def index(generation: str = "g1") -> IndexInfo:
    return IndexInfo("reports_1", generation, "m", 1.0, DIMENSION, "FLAT")


def ended_readings() -> None:
    for thread in threading.enumerate():
        if thread.name == "memory-index":
            thread.join(10.0)


def test_a_search_finds_what_a_sorted_list_of_all_scores_has_first():
    store = Store(200)
    whole = WholeIndex.of("g1", store.reports, store.vectors)
    asked = unit_vectors(7, 1)
    for row, matches in zip(asked @ store.vectors.T, whole.search(asked, 50), strict=True):
        best = np.argsort(-row)[:50]
        assert [match.report_id for match in matches] == [f"r{place}" for place in best]
        np.testing.assert_allclose([match.score for match in matches], row[best], rtol=1e-6)


def test_a_search_for_more_than_there_is_finds_all():
    store = Store(3)
    whole = WholeIndex.of("g1", store.reports, store.vectors)
    assert len(whole.search(unit_vectors(1, 1), 50)[0]) == 3


def test_milvus_is_searched_until_the_index_is_in_memory():
    store = Store()
    store.gate.clear()
    cache = ReportCache(store, whole_up_to=25)
    assert cache.search(index(), unit_vectors(2, 1), 5) == [[], []]
    assert cache.search(index(), unit_vectors(2, 1), 5) == [[], []]
    store.gate.set()
    ended_readings()
    found = cache.search(index(), unit_vectors(2, 1), 5)
    assert [len(matches) for matches in found] == [5, 5]
    assert (store.read, store.searched) == (1, 2)
    assert set(cache.get(index(), found[0])) == {report.report_id for report in store.reports}
    np.testing.assert_array_equal(cache.embeddings(index(), ["r3"])["r3"], store.vectors[3])


@pytest.mark.parametrize("limit", [0, 24])
def test_a_larger_index_stays_with_milvus(limit):
    store = Store(25)
    memory = MemoryIndex(store, limit)
    for _ in range(2):
        assert memory.get_or_begin(index()) is None
        ended_readings()
    assert store.read == 0


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr("cardex.retrieval.memory_index.PAUSE_S", 0.0)


def test_another_generation_is_read_anew_and_the_old_one_never_answers_for_it(hurried):
    store = Store()
    memory = MemoryIndex(store, 100)
    memory.get_or_begin(index("g1"))
    ended_readings()
    assert memory.get(index("g1")) is not None
    assert memory.get_or_begin(index("g2")) is None
    ended_readings()
    found = memory.get(index("g2"))
    assert found is not None
    assert found.generation == "g2"
    assert memory.get(index("g1")) is None


def test_there_is_one_reading_at_a_time(hurried):
    store = Store()
    store.gate.clear()
    memory = MemoryIndex(store, 100)
    for number in range(20):
        assert memory.get_or_begin(index(f"g{number}")) is None
    store.gate.set()
    ended_readings()
    assert store.read == 1
    assert memory.get_or_begin(index("g19")) is None
    ended_readings()
    assert memory.get(index("g19")) is not None


def test_a_feed_of_changes_is_not_read_at_each(monkeypatch):
    monkeypatch.setattr("cardex.retrieval.memory_index.PAUSE_S", 3600.0)
    store = Store()
    memory = MemoryIndex(store, 100)
    for number in range(20):
        memory.get_or_begin(index(f"g{number}"))
        ended_readings()
    assert store.read == 1


def test_a_reading_that_fails_is_tried_again_later(hurried):
    store = Store()
    store.errors = [Unavailable("Milvus is down"), ValueError("unforeseen")]
    memory = MemoryIndex(store, 100)
    memory.get_or_begin(index())
    ended_readings()
    assert memory.get(index()) is None
    with pytest.raises(ValueError, match="unforeseen"):
        memory.read(index())
    memory.get_or_begin(index())
    ended_readings()
    assert memory.get(index()) is not None
    assert store.read == 3
