import msgspec
import pytest

from cardex.domain.errors import CardexError, IndexMissing
from cardex.domain.index import IndexInfo
from cardex.domain.reports import Report, Statement
from cardex.reports.validation import MAX_TEXT
from cardex.stores import report_index as module
from cardex.stores.report_index import MAX_BODY_BYTES, ReportIndex


@pytest.fixture(autouse=True)
def bounded(monkeypatch):
    """Stop a body that is shortened for ever."""
    replace, calls = module.replace, []

    def counted(*args, **changes):
        calls.append(changes)
        assert len(calls) < 200, "the body never fits"
        return replace(*args, **changes)

    monkeypatch.setattr(module, "replace", counted)


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
    """Keeps the rows that are upserted, and the properties of collections."""

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.properties: dict[str, dict[str, str]] = {}
        self.aliases: dict[str, str] = {}
        self.iterators: list[FakeIterator] = []

    def upsert(self, name, rows, timeout):
        self.rows += rows

    def query(self, name, **_):
        return [{"count(*)": len(self.rows)}]

    def query_iterator(self, name, batch_size, output_fields, timeout):
        self.iterators.append(FakeIterator(self.rows))
        return self.iterators[-1]

    def list_collections(self, timeout):
        return list(self.properties)

    def list_aliases(self, timeout):
        return list(self.aliases)

    def describe_alias(self, name, timeout):
        return {"collection_name": self.aliases[name]}

    def alter_collection_properties(self, name, properties, timeout):
        self.properties[name] |= properties

    def describe_collection(self, name, timeout):
        name = self.aliases.get(name, name)
        fields = [{"name": "embedding", "params": {"dim": "8"}}]
        properties = self.properties[name]
        return {"collection_name": name, "properties": properties, "fields": fields}


@pytest.fixture
def milvus(monkeypatch):
    client = FakeMilvus()
    monkeypatch.setattr(module, "MilvusClient", lambda **_: client)
    return client


def stored(milvus, report: Report) -> Report:
    index = module.IndexInfo("reports_1", "g", "m", 1.0, 1, "FLAT")
    ReportIndex("http://127.0.0.1:1").upsert(index, [report], [[1.0]])
    body = milvus.rows[0]["body"]
    assert len(body.encode()) <= MAX_BODY_BYTES
    return msgspec.json.decode(body, type=Report)


def test_a_report_is_stored_whole(milvus):
    report = Report("r1", "sinus rhythm", "en", ("1", "2"), 2, (Statement("SR", "", 50.0, 0.5),))
    assert stored(milvus, report) == report


def test_a_very_common_report_keeps_its_count_and_as_many_ids_as_fit(milvus):
    ids = tuple(f"record-{number:08}" for number in range(20_000))
    found = stored(milvus, Report("r1", "normal ecg", record_ids=ids, record_count=len(ids)))
    assert found.record_count == 20_000
    assert 1000 < len(found.record_ids) < 20_000
    assert found.record_ids == ids[: len(found.record_ids)]


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
def test_a_report_of_any_size_is_stored_or_refused(milvus, report):
    try:
        found = stored(milvus, report)
    except CardexError:
        return
    assert found == report


# All reports of an index.


@pytest.fixture
def filled(milvus):
    """A store with five reports in one index."""
    store = ReportIndex("http://127.0.0.1:1")
    many = [Report(f"r{number}", "sinus rhythm") for number in range(5)]
    store.upsert(index_of("reports_1"), many, [[1.0]] * 5)
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


# Indexes with the same reports, by different models.


def index_of(name: str, generation: str = "g1", twin: tuple[str, ...] = ()) -> IndexInfo:
    return IndexInfo(name, generation, "m", 1.0, 8, "FLAT", twin)


OLD = index_of("old")
NEW = index_of("new", "h1", twin=("old", "g1", "h1"))


def test_an_index_and_the_one_made_from_it_have_the_same_reports():
    assert NEW.same_reports(OLD)
    assert OLD.same_reports(NEW)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (index_of("old", "g2"), NEW),
        (OLD, index_of("new", "h2", twin=NEW.twin)),
        (index_of("other"), NEW),
        (OLD, index_of("new", "h1")),
        (index_of("third", "i1", twin=("old", "g1", "i1")), NEW),
    ],
    ids=["the old changed", "the new changed", "of another", "unrelated", "made from the same"],
)
def test_indexes_that_changed_since_or_were_made_apart_are_not_the_same(one, other):
    assert not one.same_reports(other)
    assert not other.same_reports(one)


def test_what_an_index_was_made_from_is_kept_with_it(milvus):
    milvus.properties["new"] = {"cardex.generation": "h1"}
    paired = ReportIndex("http://127.0.0.1:1").pair(index_of("new", "h1"), OLD)
    assert paired.same_reports(OLD)


def test_an_index_that_changes_is_no_twin_any_more(milvus):
    milvus.properties["new"] = {"cardex.generation": "h1", "cardex.twin": "old g1 h1"}
    assert not ReportIndex("http://127.0.0.1:1").touch(NEW).same_reports(OLD)


def test_the_indexes_of_a_model_are_told_newest_first(milvus):
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
    found = ReportIndex("http://127.0.0.1:1").of_model("m1")
    assert [index.name for index in found] == ["reports_b", "reports_d", "reports_a"]


def test_an_index_that_was_built_for_another_kind_of_search_does_not_answer(milvus):
    milvus.properties["reports_a"] = {"cardex.model_version": "m1"}
    milvus.aliases["reports"] = "reports_a"
    store = ReportIndex("http://127.0.0.1:1")
    with pytest.raises(
        IndexMissing, match="reports_a is of another version of Cardex: run `cardex"
    ):
        store.current()
    assert store.of_model("m1") == []
    assert store.model_in_force() == "m1"
    milvus.properties["reports_a"]["cardex.kind"] = "FLAT"
    assert store.current().kind == "FLAT"
