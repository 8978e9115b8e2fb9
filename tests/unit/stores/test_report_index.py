from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from cardex.domain.circuit import Circuit
from cardex.domain.errors import CardexError, IndexMissing, Unavailable
from cardex.domain.index import IndexInfo, Match
from cardex.domain.reports import Report, Statement
from cardex.reports.validation import MAX_TEXT
from cardex.stores import milvus as connection
from cardex.stores import report_index as module
from cardex.stores.milvus import NOT_LOADED
from cardex.stores.report_index import ALIAS, MAX_BODY_BYTES, ReportIndex
from cardex.stores.vector_index import EXACT_UP_TO, KINDS

DIMENSION = 8
STRONG = ("query", "Strong")
"""What `FakeMilvus.order` has of a read that sees all that was written before."""


class FakeIterator:
    """Gives the rows two at a time."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows, self.closed = rows, False

    def next(self) -> list[dict]:
        page, self.rows = self.rows[:2], self.rows[2:]
        return page

    def close(self) -> None:
        self.closed = True


class FakeMilvus:
    """Keeps the rows that are upserted, the properties of collections, and what was called.

    Attributes:
        order: each change and each count with its consistency level, in order.
        loaded: the names by which collections were loaded.
        searched: the collection and the parameters of each search.
        built: the parameters of the vector index of each collection that was made.
        not_loaded: collections that this server knows and does not search yet.
    """

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.properties: dict[str, dict[str, str]] = {}
        self.aliases: dict[str, str] = {}
        self.iterators: list[FakeIterator] = []
        self.order: list[tuple[str, str]] = []
        self.loaded: list[str] = []
        self.searched: list[tuple[str, dict[str, Any]]] = []
        self.built: list[dict[str, Any]] = []
        self.not_loaded: set[str] = set()

    create_schema = staticmethod(MilvusClient.create_schema)
    prepare_index_params = staticmethod(MilvusClient.prepare_index_params)

    def _read(self, name: str) -> None:
        if name in self.not_loaded:
            raise MilvusException(NOT_LOADED, "collection not loaded")

    def create_collection(self, name, schema, index_params, timeout, properties=None):
        (vector_index,) = index_params
        if name.startswith(module.PREFIX):
            self.built.append(vector_index.to_dict())
        self.properties[name] = properties or {}

    def load_collection(self, name, timeout):
        self.loaded.append(name)
        self.not_loaded.discard(name)

    def release_collection(self, name, timeout):
        self.order.append(("release", name))

    def drop_index(self, name, index_name, timeout):
        self.order.append(("drop_index", name))

    def create_index(self, name, index_params, timeout):
        (vector_index,) = index_params
        self.built.append(vector_index.to_dict())
        self.order.append(("create_index", name))

    def flush(self, name, timeout):
        self.order.append(("flush", name))

    def upsert(self, name, rows, timeout):
        self.rows += rows

    def search(self, name, *, search_params, **_):
        self._read(name)
        self.searched.append((name, search_params))
        return [SimpleNamespace(ids=["r1"], distances=[0.5])]

    def query(self, name, *, consistency_level="", **_):
        self._read(name)
        self.order.append(("query", consistency_level))
        return [{"count(*)": len(self.rows)}]

    def get(self, name, ids, output_fields, timeout):
        self._read(name)
        return [row for row in self.rows if row["report_id"] in ids]

    def delete(self, name, ids, timeout):
        self.order.append(("delete", name))
        self.rows = [row for row in self.rows if row["report_id"] not in ids]

    def query_iterator(self, name, batch_size, filter, output_fields, timeout):  # noqa: A002
        self.iterators.append(FakeIterator(self.rows))
        return self.iterators[-1]

    def list_collections(self, timeout):
        return list(self.properties)

    def drop_collection(self, name, timeout):
        self.order.append(("drop", name))
        del self.properties[name]

    def list_aliases(self, timeout):
        return list(self.aliases)

    def describe_alias(self, name, timeout):
        return {"collection_name": self.aliases[name]}

    def create_alias(self, name, alias, timeout):
        self.order.append(("create_alias", name))
        self.aliases[alias] = name

    def alter_alias(self, name, alias, timeout):
        self.order.append(("alter_alias", name))
        self.aliases[alias] = name

    def alter_collection_properties(self, name, properties, timeout):
        self.order.append(("properties", name))
        self.properties[name] |= properties

    def describe_collection(self, name, timeout):
        name = self.aliases.get(name, name)
        fields = [{"name": "embedding", "params": {"dim": str(DIMENSION)}}]
        properties = self.properties[name]
        return {"collection_name": name, "properties": properties, "fields": fields}


@pytest.fixture
def milvus(monkeypatch):
    client = FakeMilvus()
    monkeypatch.setattr(connection, "MilvusClient", lambda **_: client)
    return client


@pytest.fixture
def store(milvus):
    """The report index on the server made up, which tries again at once."""
    store = ReportIndex("http://127.0.0.1:1")
    store._milvus._circuit = Circuit("Milvus", sleep=lambda _: None)
    return store


def index_of(name: str, generation: str = "g1", **fields: Any) -> IndexInfo:
    return replace(IndexInfo(name, generation, "m", 1.0, DIMENSION, "FLAT"), **fields)


def vectors(count: int) -> np.ndarray:
    return np.ones((count, DIMENSION), dtype=np.float32)


# One report.


@pytest.fixture
def stored(milvus, store, monkeypatch):
    """Store a report and return it as it can be read; stops a body that is shortened for ever."""
    shortened: list[dict] = []

    def counted(report, **changes):
        shortened.append(changes)
        assert len(shortened) < 200, "the body never fits"
        return replace(report, **changes)

    monkeypatch.setattr("cardex.stores.report_index.replace", counted)

    def through(report: Report) -> Report:
        store.upsert(index_of("reports_1"), [report], vectors(1))
        body = milvus.rows[0]["body"]
        assert len(body.encode()) <= MAX_BODY_BYTES
        return msgspec.json.decode(body, type=Report)

    return through


def test_a_report_is_stored_whole(stored):
    report = Report("r1", "sinus rhythm", "en", ("1", "2"), 2, (Statement("SR", "", 50.0, 0.5),))
    assert stored(report) == report


def test_a_very_common_report_keeps_its_count_and_as_many_ids_as_fit(stored):
    ids = tuple(f"record-{number:08}" for number in range(20_000))
    found = stored(Report("r1", "normal ecg", record_ids=ids, record_count=len(ids)))
    assert found.record_count == 20_000
    assert 1000 < len(found.record_ids) < 20_000
    assert found.record_ids == ids[-len(found.record_ids) :]


@pytest.mark.parametrize(
    "report",
    [
        Report("r1", "心" * MAX_TEXT),
        Report("r1", "🫀" * MAX_TEXT),
        Report(
            "r1", "text", statements=tuple(Statement(f"C{n}", "word " * 20) for n in range(999))
        ),
    ],
    ids=["3 bytes a letter", "4 bytes a letter", "999 statements"],
)
def test_a_report_of_any_size_is_stored_or_refused(stored, report):
    try:
        found = stored(report)
    except CardexError:
        return
    assert found == report


# All reports of an index.


@pytest.fixture
def filled(store):
    """A store with five reports in one index."""
    many = [Report(f"r{number}", "sinus rhythm") for number in range(5)]
    store.upsert(index_of("reports_1"), many, vectors(5))
    return store


def test_all_reports_of_an_index_come_page_by_page(filled, milvus):
    pages = list(filled.pages(index_of("reports_1")))
    assert [[report.report_id for report in page] for page in pages] == [
        ["r0", "r1"],
        ["r2", "r3"],
        ["r4"],
    ]
    assert milvus.iterators[0].closed


def test_who_stops_reading_leaves_no_iterator_open(filled, milvus):
    pages = filled.pages(index_of("reports_1"))
    next(pages)
    pages.close()
    assert milvus.iterators[0].closed


# Reads that see all that was written come before what depends on them.


def test_a_new_generation_is_given_only_after_searches_see_the_change(milvus, store):
    milvus.properties["reports_1"] = {"cardex.generation": "g1"}
    touched = store.touch(index_of("reports_1"))
    assert milvus.order == [STRONG, ("properties", "reports_1")]
    assert touched.generation not in ("", "g1")


def test_a_deletion_looks_first_for_all_that_was_written(filled, milvus):
    assert filled.delete(index_of("reports_1"), ["r1", "r3", "never"]) == 2
    assert milvus.order == [STRONG, ("delete", "reports_1")]
    assert [row["report_id"] for row in milvus.rows] == ["r0", "r2", "r4"]


def test_what_is_not_there_is_not_deleted(filled, milvus):
    assert filled.delete(index_of("reports_1"), ["never"]) == 0
    assert milvus.order == [STRONG]


@pytest.mark.parametrize("before", ["", "reports_0"], ids=["the first", "another"])
def test_an_index_answers_only_after_searches_see_all_its_reports(milvus, store, before):
    milvus.properties = {"reports_1": {"cardex.created": "1.0"}}
    if before:
        milvus.properties[before] = {"cardex.created": "0.5"}
        milvus.aliases[ALIAS] = before
    store.switch(index_of("reports_1"))
    switch = "alter_alias" if before else "create_alias"
    assert milvus.order == [
        ("flush", "reports_1"), STRONG, ("properties", "reports_1"), (switch, "reports_1"),
    ]  # fmt: skip
    assert milvus.properties["reports_1"]["cardex.answered"] == "1"
    assert milvus.aliases == {ALIAS: "reports_1"}


# How the index is built and searched.

BUILD = {
    "FLAT": {},
    "IVF_FLAT": {"nlist": 1},
    "HNSW": {"M": 16, "efConstruction": 200},
}
SEARCH = {"FLAT": {}, "IVF_FLAT": {"nprobe": 1}, "HNSW": {"ef": 256}}


def test_every_kind_is_tested():
    assert BUILD.keys() == SEARCH.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_parameters_of_each_kind_reach_the_build(milvus, kind):
    index = ReportIndex("http://127.0.0.1:1", kind=kind).create("m1", DIMENSION)
    (built,) = milvus.built
    assert (built["index_type"], built["metric_type"]) == (kind, "IP")
    assert built.get("params", {}) == BUILD[kind]
    assert (index.kind, index.model_version, index.dimension) == (kind, "m1", DIMENSION)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parameters_of_each_kind_reach_the_search(milvus, store, kind):
    found = store.search(index_of("reports_1", kind=kind), vectors(1), 3)
    assert found == [[Match("r1", 0.5)]]
    assert milvus.searched == [("reports_1", {"metric_type": "IP", "params": SEARCH[kind]})]


def test_a_large_index_is_divided_into_cells_before_it_answers(milvus, store, monkeypatch):
    milvus.properties = {"reports_1": {"cardex.created": "1.0", "cardex.kind": "IVF_FLAT"}}
    monkeypatch.setattr(milvus, "rows", range(1_000_000))
    index = store.switch(index_of("reports_1", kind="IVF_FLAT"))
    assert index.cells == store.current().cells == 4000
    assert milvus.order == [
        ("flush", "reports_1"), STRONG, ("release", "reports_1"), ("drop_index", "reports_1"),
        ("create_index", "reports_1"), ("properties", "reports_1"), ("properties", "reports_1"),
        ("create_alias", "reports_1"),
    ]  # fmt: skip
    (built,) = milvus.built
    assert (built["index_type"], built["metric_type"]) == ("IVF_FLAT", "IP")
    assert built["params"] == {"nlist": 4000}
    assert milvus.loaded == ["reports_1", "reports_1"]
    store.search(index, vectors(1), 3)
    assert milvus.searched[-1][1]["params"] == {"nprobe": 250}


@pytest.mark.parametrize(
    ("kind", "count"), [("IVF_FLAT", EXACT_UP_TO), ("FLAT", 10**6), ("HNSW", 10**6)]
)
def test_other_indexes_stay_as_they_were_built(milvus, store, monkeypatch, kind, count):
    milvus.properties = {"reports_1": {"cardex.kind": kind}}
    monkeypatch.setattr(milvus, "rows", range(count))
    assert store.switch(index_of("reports_1", kind=kind)).cells == 1
    assert not milvus.built


def test_the_index_that_answers_is_not_built_anew(milvus, store, monkeypatch):
    milvus.properties = {"reports_1": {"cardex.kind": "IVF_FLAT"}}
    milvus.aliases[ALIAS] = "reports_1"
    monkeypatch.setattr(milvus, "rows", range(1_000_000))
    store.switch(index_of("reports_1", kind="IVF_FLAT"))
    assert not milvus.built


def test_an_index_that_is_being_filled_stays_where_another_answers(milvus, store):
    milvus.properties = {
        "reports_filled": {"cardex.created": "1.0", "cardex.cases": "1"},
        "reports_before": {"cardex.created": "1.0", "cardex.cases": "1", "cardex.answered": "1"},
        "reports_old": {"cardex.created": "0.5"},
        "reports_new": {"cardex.created": "2.0", "cardex.cases": "1"},
    }
    store.switch(index_of("reports_new", created=2.0))
    assert set(milvus.properties) == {"reports_filled", "reports_new"}


# A server that was restarted.

READS = {
    "search": lambda store, index: store.search(index, vectors(1), 3),
    "get": lambda store, index: store.get(index, ["r1"]),
    "embeddings": lambda store, index: store.embeddings(index, ["r1"]),
    "count": lambda store, index: store.count(index),
    "touch": lambda store, index: store.touch(index),
}


@pytest.mark.parametrize("read", READS)
def test_an_index_that_is_not_loaded_is_loaded_by_its_own_name_and_asked_again(milvus, store, read):
    milvus.properties["reports_1"] = {}
    milvus.aliases[ALIAS] = "reports_1"
    expected = READS[read](store, index_of("reports_1"))
    milvus.not_loaded = {"reports_1"}
    assert type(READS[read](store, index_of("reports_1"))) is type(expected)
    assert milvus.loaded == ["reports_1"]


def test_any_other_trouble_loads_nothing(milvus, store, monkeypatch):
    def fails(*_, **__):
        raise MilvusException(NOT_LOADED + 1, "of another kind")

    monkeypatch.setattr(milvus, "search", fails)
    with pytest.raises(Unavailable, match="of another kind"):
        store.search(index_of("reports_1"), vectors(1), 3)
    assert milvus.loaded == []


def test_an_index_that_cannot_be_loaded_is_a_server_that_does_not_answer(
    milvus, store, monkeypatch
):
    def fails(name, timeout):
        raise MilvusException(1, "no memory")

    monkeypatch.setattr(milvus, "load_collection", fails)
    milvus.not_loaded = {"reports_1"}
    with pytest.raises(Unavailable, match="no memory") as caught:
        store.search(index_of("reports_1"), vectors(1), 3)
    assert caught.value.reason == "MILVUS_UNAVAILABLE"


# Which indexes there are.


def test_what_an_index_was_made_from_is_kept_with_it(milvus, store):
    old = index_of("old")
    milvus.properties["new"] = {"cardex.generation": "h1"}
    assert store.pair(index_of("new", "h1"), old).same_reports(old)


def test_an_index_that_changes_is_no_twin_any_more(milvus, store):
    milvus.properties["new"] = {"cardex.generation": "h1", "cardex.twin": "old g1 h1"}
    new = index_of("new", "h1", twin=("old", "g1", "h1"))
    assert not store.touch(new).same_reports(index_of("old"))


def test_the_indexes_of_a_model_are_told_newest_first(milvus, store):
    for name, model, created in [
        ("reports_a", "m1", "1.0"),
        ("reports_b", "m1", "3.0"),
        ("reports_c", "m2", "2.0"),
        ("reports_d", "m1", "2.0"),
        ("others", "m1", "4.0"),
    ]:
        milvus.properties[name] = {
            "cardex.model_version": model, "cardex.created": created, "cardex.kind": "HNSW"
        }  # fmt: skip
    assert [index.name for index in store.of_model("m1")] == ["reports_b", "reports_d", "reports_a"]


def test_an_index_that_was_built_for_another_kind_of_search_does_not_answer(milvus, store):
    milvus.properties["reports_a"] = {"cardex.model_version": "m1"}
    milvus.aliases[ALIAS] = "reports_a"
    with pytest.raises(
        IndexMissing, match="reports_a is of another version of Cardex: run `cardex"
    ):
        store.current()
    assert store.of_model("m1") == []
    assert store.model_in_force() == "m1"
    milvus.properties["reports_a"]["cardex.kind"] = "FLAT"
    assert store.current().kind == "FLAT"
