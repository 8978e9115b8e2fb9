"""The report index's promises, against Milvus Lite.

Where CARDEX_TEST_MILVUS names a Milvus server, against that too. The server must have
no other index: the tests build, switch and remove their own.
"""

import os

import numpy as np
import pytest

from cardex.domain.errors import IndexMissing, Unavailable
from cardex.domain.index import IndexInfo
from cardex.domain.reports import Report
from cardex.local_stack.milvus import milvus_process
from cardex.local_stack.ports import HOST, free_ports
from cardex.retrieval.memory_index import MemoryIndex
from cardex.stores import vector_index
from cardex.stores.report_index import ReportIndex
from cardex.stores.vector_index import KINDS

COUNT, DIMENSION = 600, 32
SERVER = os.environ.get("CARDEX_TEST_MILVUS", "")
STORES = [
    ("lite", "IVF_FLAT"),
    ("lite", "HNSW"),
    *([("server", kind) for kind in KINDS] if SERVER else []),
]


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    folder, (port,) = tmp_path_factory.mktemp("milvus"), free_ports(1)
    part = milvus_process(folder / "data", port, folder / "log")
    part.start()
    try:
        part.wait_ready()
        yield f"http://{HOST}:{port}"
    finally:
        part.stop()


@pytest.fixture(params=STORES, ids="-".join)
def store(request, lite):
    """An empty store."""
    where, kind = request.param
    store = ReportIndex(SERVER if where == "server" else lite, kind=kind)
    _clear(store)
    yield store
    _clear(store)


def _clear(store: ReportIndex) -> None:
    store._milvus.call(lambda client: [client.drop_alias(name) for name in store._aliases()])
    store._drop(lambda _: True)


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(0).normal(size=(COUNT, DIMENSION)).astype(np.float32)
    return random / np.linalg.norm(random, axis=1, keepdims=True)


def some(first: int, last: int) -> list[Report]:
    return [Report(f"r{number}", f"report {number}") for number in range(first, last)]


@pytest.fixture
def filled(store: ReportIndex, vectors) -> IndexInfo:
    """An index with all reports, in force."""
    index = store.create("model-1", DIMENSION)
    for first in range(0, COUNT, 300):
        store.upsert(index, some(first, first + 300), vectors[first : first + 300])
    return store.switch(index)


def nearest(store: ReportIndex, index: IndexInfo, vector: np.ndarray) -> str:
    ((match,),) = store.search(index, vector[None], 1)
    return match.report_id


def test_without_an_index_there_is_none(store):
    with pytest.raises(IndexMissing, match="cardex index"):
        store.current()


def test_the_index_in_force_is_described(store, filled):
    current = store.current()
    assert (current.name, current.generation) == filled.contents
    assert (current.model_version, current.dimension) == ("model-1", DIMENSION)
    assert store.count(current) == COUNT


def test_the_nearest_reports_come_nearest_first(store, filled, vectors):
    found = store.search(filled, vectors[:20], 10)
    scores = vectors[:20] @ vectors.T
    for own, matches in zip(scores, found, strict=True):
        expected = [f"r{number}" for number in np.argsort(-own)[:10]]
        assert [match.report_id for match in matches] == expected
        np.testing.assert_allclose([m.score for m in matches], np.sort(own)[::-1][:10], atol=1e-5)


def test_an_index_in_memory_finds_what_milvus_finds(store, filled, vectors):
    memory = MemoryIndex(store, COUNT)
    memory.read(filled)
    whole = memory.get(filled)
    assert whole is not None
    assert whole.reports == {report.report_id: report for report in some(0, COUNT)}
    there, here = store.search(filled, vectors[:20], 10), whole.search(vectors[:20], 10)
    assert [[m.report_id for m in row] for row in here] == [
        [m.report_id for m in row] for row in there
    ]


def test_reports_come_by_id_and_page_by_page(store, filled):
    assert store.get(filled, ["r3", "never", "r599"]) == {
        report.report_id: report for report in (some(3, 4)[0], some(599, 600)[0])
    }
    pages = list(store.pages(filled, 250))
    assert [len(page) for page in pages] == [250, 250, 100]
    assert sorted(report.report_id for page in pages for report in page) == sorted(
        report.report_id for report in some(0, COUNT)
    )


def test_a_new_generation_never_stands_for_old_contents(store, filled, vectors):
    index = filled
    for number in range(5):
        other = Report(f"new{number}", "new")
        store.upsert(index, [other], -vectors[number][None])
        index = store.touch(index)
        assert nearest(store, index, -vectors[number]) == other.report_id
        assert store.delete(index, [other.report_id, "never"]) == 1
        index = store.touch(index)
        assert nearest(store, index, -vectors[number]) != other.report_id
    assert index.generation != filled.generation
    assert store.count(index) == COUNT


def test_an_upsert_replaces_a_report(store, filled, vectors):
    store.upsert(filled, [Report("r7", "another text")], -vectors[7][None])
    index = store.touch(filled)
    assert store.count(index) == COUNT
    assert store.get(index, ["r7"])["r7"].text == "another text"
    assert nearest(store, index, vectors[7]) != "r7"


def test_a_large_index_answers_from_its_cells(store, vectors, monkeypatch):
    monkeypatch.setattr(vector_index, "EXACT_UP_TO", COUNT - 1)
    index = store.create("model-1", DIMENSION)
    store.upsert(index, some(0, COUNT), vectors)
    index = store.switch(index)
    assert index == store.current()
    assert index.cells == (98 if index.kind == "IVF_FLAT" else 1)
    assert [nearest(store, index, vector) for vector in vectors[:50]] == [
        f"r{number}" for number in range(50)
    ]
    store.upsert(index, [Report("new", "new")], -vectors[:1])
    index = store.touch(index)
    assert (nearest(store, index, -vectors[0]), store.count(index)) == ("new", COUNT + 1)


def test_a_switch_keeps_the_index_before_it_and_its_twin_is_known(store, filled, vectors):
    second = store.create("model-2", DIMENSION)
    assert store.current().name == filled.name
    store.upsert(second, some(0, COUNT), -vectors)
    second = store.pair(store.touch(second), filled)
    second = store.switch(second)
    assert store.current() == second
    assert second.same_reports(filled)
    assert store.of_model("model-1") == [filled]
    assert nearest(store, filled, vectors[0]) == "r0"
    assert nearest(store, second, -vectors[0]) == "r0"
    store.switch(filled)
    assert store.current() == filled


def test_searches_in_flight_find_the_index_before_the_one_in_force_and_no_older_one(
    store, filled, vectors
):
    second, third = (_other(store, vectors) for _ in range(2))
    assert nearest(store, second, vectors[0]) == "r0"
    assert store.of_model("model-1") == []
    assert store.of_model("model-2") == [third, second]


def _other(store: ReportIndex, vectors: np.ndarray) -> IndexInfo:
    index = store.create("model-2", DIMENSION)
    store.upsert(index, some(0, 10), vectors[:10])
    return store.switch(index)


def test_a_dropped_index_is_gone(store, filled):
    second = store.create("model-2", DIMENSION)
    store.drop(second)
    assert store.of_model("model-2") == []
    assert store.current() == filled


def test_a_server_that_is_away_is_named():
    store = ReportIndex(f"http://{HOST}:{free_ports(1)[0]}")
    with pytest.raises(Unavailable, match="Milvus"):
        store.current()


def test_an_id_is_never_a_part_of_an_expression(store, filled):
    hostile = ["'", "r1\\", "x'] or report_id like 'r%' or report_id in ['y"]
    assert store.get(filled, hostile) == {}
    assert store.delete(filled, hostile) == 0
    assert store.get(filled, [*hostile, "r1"]).keys() == {"r1"}
    assert store.count(filled) == COUNT
