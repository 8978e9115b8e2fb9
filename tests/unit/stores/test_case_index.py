from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from cardex.domain.cases import MAX_CASE_ID, MAX_CODES, MAX_DEVICE, FiledCase, Sex
from cardex.domain.circuit import Circuit
from cardex.domain.errors import Unavailable
from cardex.domain.index import IndexInfo
from cardex.domain.reports import Statement
from cardex.domain.trace import MAX_TRACE_BYTES, Trace
from cardex.stores import milvus as connection
from cardex.stores.case_filter import token
from cardex.stores.case_index import MAX_ROWS, CaseIndex, CaseRow
from cardex.stores.milvus import NOT_LOADED, Milvus
from cardex.stores.vector_index import KINDS
from tests.helpers.cases import a_case, row_of, vectors

DIMENSION = 8
INDEX = IndexInfo("reports_1_ab", "g1", "m", 1.0, DIMENSION, "FLAT", has_cases=True)
CASES, TRACES = "cases_1_ab", "traces_1_ab"
TRACE = Trace(250.0, 0.005, 2500, b"\x00packed\xff", (1, 200), 1.5)


class FakeIterator:
    def __init__(self, rows: list[dict[str, Any]], size: int) -> None:
        self.rows, self.size, self.closed = rows, size, False

    def next(self):
        page, self.rows = self.rows[: self.size], self.rows[self.size :]
        return page

    def close(self):
        self.closed = True


class FakeMilvus:
    """Keeps rows by collection and case, and what was asked, in order.

    Attributes:
        calls: name and collection of each call that changes or settles something.
        asked: the last search or query.
        made: what each collection was made of.
        not_loaded: collections that are known and not searched yet.
    """

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}
        self.calls: list[tuple[str, str]] = []
        self.asked: dict[str, Any] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.iterators: list[FakeIterator] = []
        self.not_loaded: set[str] = set()

    create_schema = staticmethod(MilvusClient.create_schema)
    prepare_index_params = staticmethod(MilvusClient.prepare_index_params)

    def of(self, name: str) -> dict[str, dict[str, Any]]:
        if name in self.not_loaded:
            raise MilvusException(NOT_LOADED, "collection not loaded")
        return self.rows.setdefault(name, {})

    def create_collection(self, name, **made):
        self.made[name] = made
        self.rows[name] = {}

    def list_collections(self, timeout):
        return list(self.rows)

    def drop_collection(self, name, timeout):
        self.calls.append(("drop", name))
        del self.rows[name]

    def upsert(self, name, rows, timeout):
        self.calls.append(("upsert", name))
        self.of(name).update({row["case_id"]: row for row in rows})

    def delete(self, name, ids, timeout):
        self.calls.append(("delete", name))
        for one in ids:
            self.of(name).pop(one, None)

    def get(self, name, ids, output_fields, timeout):
        return [self._row(row, output_fields) for k, row in self.of(name).items() if k in ids]

    def query(self, name, *, output_fields=(), limit=None, **options):
        rows = list(self.of(name).values())
        if options.get("consistency_level") == "Strong":
            self.calls.append(("settle", name))
        if list(output_fields) == ["count(*)"]:
            self.calls.append(("count", name))
            return [{"count(*)": len(rows)}]
        self.asked = {"name": name, "filter": options["filter"], "limit": limit}
        return [self._row(row, output_fields) for row in rows[:limit]]

    def search(self, name, *, data, limit, output_fields, **asked):
        self.asked = {"name": name, "limit": limit, **asked}
        found = []
        for vector in data:
            hits = [
                {"distance": vector @ row["embedding"], "entity": self._row(row, output_fields)}
                for row in self.of(name).values()
            ]
            found.append(sorted(hits, key=lambda hit: -hit["distance"])[:limit])
        return found

    def query_iterator(self, name, batch_size, output_fields, timeout, **asked):
        self.asked = {"name": name, **asked}
        rows = [self._row(row, output_fields) for row in self.of(name).values()]
        self.iterators.append(FakeIterator(rows, batch_size))
        return self.iterators[-1]

    def _row(self, row, output_fields):
        return {field: row[field] for field in output_fields}

    def load_collection(self, name, timeout):
        self.calls.append(("load", name))
        self.not_loaded.discard(name)

    def flush(self, name, timeout):
        self.calls.append(("flush", name))


@pytest.fixture
def milvus(monkeypatch):
    client = FakeMilvus()
    monkeypatch.setattr(connection, "MilvusClient", lambda **_: client)
    return client


@pytest.fixture
def cases(milvus):
    made = Milvus("http://127.0.0.1:1")
    made._circuit = Circuit("Milvus", sleep=lambda _: None)
    return CaseIndex(made)


def some(count: int) -> list[CaseRow]:
    """Return cases of which every second has an ECG."""
    embeddings = vectors(count)
    return [
        row_of(a_case(str(n), f"text {n % 3}"), embeddings[n] if n % 2 else None, TRACE)
        for n in range(count)
    ]


# One case.


def test_a_case_comes_back_whole(cases):
    case = a_case(
        "north/1.2:3",
        age=57,
        sex=Sex.FEMALE,
        month="2026-11",
        device="CS-12 E",
        statements=(Statement("IMI", "infarct", 80.0), Statement("SR")),
    )
    row = row_of(case, vectors(1)[0], TRACE)
    cases.upsert(INDEX, [row])
    assert cases.get(INDEX, ["north/1.2:3", "never"]) == {"north/1.2:3": row.filed}
    assert cases.traces(INDEX, ["north/1.2:3"]) == {"north/1.2:3": TRACE}


def test_what_filters_look_at_holds_tokens_and_numbers(cases, milvus):
    case = a_case(
        "north/1", age=57, sex=Sex.MALE, month="2026-11", device="CS-12  E", language="de",
        statements=(Statement("IMI"), Statement("SR")),
    )  # fmt: skip
    cases.upsert(INDEX, [row_of(case), row_of(a_case("2", language=""))])
    row, bare = milvus.rows[CASES].values()
    assert {name: row[name] for name in ("age", "sex", "month", "has_ecg")} == {
        "age": 57, "sex": "M", "month": 202611, "has_ecg": False,
    }  # fmt: skip
    assert row["archive"] == token("north")
    assert row["device"] == token("cs-12 e")
    assert row["language"] == token("de")
    assert row["codes"] == [token("IMI"), token("SR")]
    empty = ("archive", "age", "sex", "month", "language", "device", "codes")
    assert [bare[name] for name in empty] == ["", -1, "", 0, "", "", []]


def test_the_text_of_a_report_is_not_kept_with_the_case(cases, milvus):
    cases.upsert(INDEX, [row_of(a_case("1", "a text to be found nowhere"))])
    assert "nowhere" not in repr(milvus.rows)


def test_a_case_without_an_ecg_has_zeros_for_an_embedding(cases, milvus):
    cases.upsert(INDEX, [row_of(a_case("1"))])
    np.testing.assert_array_equal(milvus.rows[CASES]["1"]["embedding"], np.zeros(DIMENSION))
    assert cases.traces(INDEX, ["1"]) == {}


def test_a_case_that_loses_its_ecg_loses_its_trace(cases):
    cases.upsert(INDEX, [row_of(a_case(one), vectors(1)[0], TRACE) for one in "ab"])
    cases.upsert(INDEX, [row_of(a_case("a"))])
    assert set(cases.traces(INDEX, ["a", "b"])) == {"b"}


def test_traces_are_written_before_the_cases_that_are_found(cases, milvus):
    cases.upsert(INDEX, [row_of(a_case("a"), vectors(1)[0], TRACE), row_of(a_case("b"))])
    assert milvus.calls == [("upsert", TRACES), ("delete", TRACES), ("upsert", CASES)]
    milvus.calls.clear()
    cases.upsert(INDEX, [])
    assert milvus.calls == []


def test_erased_cases_leave_no_trace(cases, milvus):
    cases.upsert(INDEX, [row_of(a_case(one), vectors(1)[0], TRACE) for one in "ab"])
    cases.delete(INDEX, ["a", "never", '" or 1 == 1'])
    assert set(milvus.rows[CASES]) == set(milvus.rows[TRACES]) == {"b"}


# Which may be found.


def test_the_nearest_cases_come_first_and_have_an_ecg(cases, milvus):
    rows = some(20)
    cases.upsert(INDEX, rows)
    asked = vectors(3, seed=1)
    with_ecg = {r.filed.case.case_id: r.embedding for r in rows if r.embedding is not None}
    for vector, found in zip(asked, cases.search(INDEX, asked, 20, "age >= 3"), strict=True):
        similarities = {one: float(vector @ own) for one, own in with_ecg.items()}
        best = sorted(similarities, key=lambda one: -similarities[one])
        assert [match.filed.case.case_id for match in found] == best
        assert [match.similarity for match in found] == pytest.approx(
            sorted(similarities.values(), reverse=True)
        )
    assert milvus.asked["filter"] == "age >= 3"
    assert (milvus.asked["name"], milvus.asked["limit"]) == (CASES, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parameters_of_each_kind_reach_the_search(cases, milvus, kind):
    cases.search(replace(INDEX, kind=kind), vectors(1), 3)
    expected = {"FLAT": {}, "IVF_FLAT": {"nprobe": 1}, "HNSW": {"ef": 256}}[kind]
    assert milvus.asked["search_params"] == {"metric_type": "IP", "params": expected}


def test_cells_are_those_of_the_cases_and_not_of_the_reports(cases, milvus):
    cases.search(replace(INDEX, kind="IVF_FLAT", cells=1, case_cells=4000), vectors(1), 3)
    assert milvus.asked["search_params"]["params"] == {"nprobe": 250}


def test_cases_of_reports_come_with_their_embeddings(cases, milvus):
    rows = some(6)
    cases.upsert(INDEX, rows)
    filed, embeddings = cases.of_reports(INDEX, ["r1", "r2"])
    assert filed == [row.filed for row in rows]
    assert milvus.asked == {"name": CASES, "filter": "report_id in ['r1', 'r2']", "limit": MAX_ROWS}
    for row, vector in zip(rows, embeddings, strict=True):
        own = np.zeros(DIMENSION) if row.embedding is None else row.embedding
        np.testing.assert_array_equal(vector, own)
    cases.of_reports(INDEX, ["r1"], "age >= 3")
    assert milvus.asked["filter"] == "report_id in ['r1'] and age >= 3"


def test_no_cases_have_no_embeddings(cases):
    filed, embeddings = cases.of_reports(INDEX, ["r1"])
    assert (filed, embeddings.shape) == ([], (0, DIMENSION))


def test_the_reports_of_cases_that_fit_are_told(cases, milvus):
    rows = some(6)
    cases.upsert(INDEX, rows)
    found = cases.reports_with(INDEX, "age >= 3", 4)
    assert found == [row.filed.report_id for row in rows[:4]]
    assert milvus.asked == {"name": CASES, "filter": "age >= 3", "limit": 4}


def test_all_cases_come_page_by_page_after_all_that_was_written_is_seen(cases, milvus):
    rows = some(5)
    cases.upsert(INDEX, rows)
    milvus.calls.clear()
    pages = list(cases.embedded_pages(INDEX, 2))
    assert milvus.calls == [("settle", CASES)]
    assert [len(filed) for filed, _ in pages] == [2, 2, 1]
    assert [one for filed, _ in pages for one in filed] == [row.filed for row in rows]
    assert milvus.iterators[0].closed


def test_cases_that_were_filed_lately_come_with_all_that_belongs_to_them(cases, milvus):
    rows = some(5)
    cases.upsert(INDEX, rows)
    (found,) = cases.filed_since(INDEX, 1_700_000_000.5)
    assert milvus.asked == {"name": CASES, "filter": "filed >= 1700000000500"}
    assert [(row.filed, row.trace) for row in found] == [(row.filed, row.trace) for row in rows]
    for own, row in zip(rows, found, strict=True):
        assert (row.embedding is None) is (own.embedding is None)
        if own.embedding is not None:
            np.testing.assert_array_equal(row.embedding, own.embedding)


def test_a_case_is_kept_with_when_it_was_filed_whenever_it_was_sent(cases, milvus, monkeypatch):
    monkeypatch.setattr("cardex.stores.case_index.time.time", lambda: 1_700_000_000.123)
    cases.upsert(INDEX, [row_of(a_case("1"), submitted=5.0)])
    assert milvus.rows[CASES]["1"]["filed"] == 1_700_000_000_123


def test_erasing_takes_traces_first(cases, milvus):
    cases.delete(INDEX, ["a"])
    assert milvus.calls == [("delete", TRACES), ("delete", CASES)]


# The collections.


def test_an_index_has_a_collection_of_cases_and_one_of_traces(cases, milvus):
    cases.create("reports_1_ab", "FLAT", DIMENSION)
    assert set(milvus.made) == {CASES, TRACES}
    assert milvus.made[TRACES]["properties"] == {"mmap.enabled": "true"}
    fields = {one.name: one for one in milvus.made[CASES]["schema"].fields}
    assert fields["embedding"].params["dim"] == DIMENSION
    cases.upsert(INDEX, [row_of(a_case("1"), vectors(1)[0], TRACE)])
    assert set(milvus.rows[CASES]["1"]) == set(fields)
    schema = milvus.made[TRACES]["schema"]
    assert set(milvus.rows[TRACES]["1"]) == {one.name for one in schema.fields}


def test_the_largest_case_fits_its_fields(cases, milvus):
    cases.create("reports_1_ab", "FLAT", DIMENSION)
    case = a_case(
        f"{'a' * 64}/{'b' * MAX_CASE_ID}",
        device="d" * MAX_DEVICE,
        month="2026-11",
        statements=tuple(Statement(f"C{n}", "word " * 20, 50.0) for n in range(MAX_CODES)),
    )
    trace = replace(TRACE, packed=bytes(MAX_TRACE_BYTES), r_peaks=tuple(range(60)))
    cases.upsert(INDEX, [row_of(case, vectors(1)[0], trace)])
    for name in (CASES, TRACES):
        (row,) = milvus.rows[name].values()
        for field in milvus.made[name]["schema"].fields:
            limit = field.params.get("max_length")
            values = row[field.name] if field.name == "codes" else [row[field.name]]
            assert len(values) <= field.params.get("max_capacity", 1)
            if limit:
                assert all(len(value.encode()) <= limit for value in values), field.name


def test_an_index_of_an_earlier_version_has_no_cases_to_count(cases, milvus):
    cases.upsert(INDEX, some(3))
    assert cases.count(INDEX) == 3
    milvus.calls.clear()
    assert cases.count(replace(INDEX, has_cases=False)) == 0
    assert milvus.calls == []


def test_both_collections_are_written_down(cases, milvus):
    cases.upsert(INDEX, some(3))
    milvus.calls.clear()
    assert cases.commit(INDEX) == 3
    assert [call for call in milvus.calls if call[0] == "flush"] == [
        ("flush", TRACES), ("flush", CASES),
    ]  # fmt: skip


def test_dropping_takes_what_is_there(cases, milvus):
    cases.create("reports_1_ab", "FLAT", DIMENSION)
    cases.create("reports_2_cd", "FLAT", DIMENSION)
    cases.drop(INDEX)
    assert set(milvus.rows) == {"cases_2_cd", "traces_2_cd"}
    cases.drop(INDEX)  # one that an earlier version made has none


READS = {
    "search": (CASES, lambda cases: cases.search(INDEX, vectors(1), 3)),
    "of_reports": (CASES, lambda cases: cases.of_reports(INDEX, ["r1"])),
    "reports_with": (CASES, lambda cases: cases.reports_with(INDEX, "age >= 3")),
    "get": (CASES, lambda cases: cases.get(INDEX, ["1"])),
    "traces": (TRACES, lambda cases: cases.traces(INDEX, ["1"])),
    "settle": (CASES, lambda cases: cases.settle(INDEX)),
}


@pytest.mark.parametrize("read", READS)
def test_a_collection_that_is_not_loaded_is_loaded_and_asked_again(cases, milvus, read):
    name, asks = READS[read]
    milvus.not_loaded = {name}
    asks(cases)
    assert ("load", name) in milvus.calls


def test_a_server_that_refuses_is_down(cases, milvus, monkeypatch):
    def fails(*_, **__):
        raise MilvusException(1, "no memory")

    monkeypatch.setattr(milvus, "search", fails)
    with pytest.raises(Unavailable, match="no memory"):
        cases.search(INDEX, vectors(1), 3)


def test_filed_cases_are_read_as_they_were_written(cases, milvus):
    cases.upsert(INDEX, some(1))
    found = cases.get(INDEX, ["0"])["0"]
    assert isinstance(found, FiledCase)
    assert found.case.language == "en"
