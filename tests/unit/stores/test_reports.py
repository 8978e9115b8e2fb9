import msgspec
import pytest

from services.domain.errors import CardexError
from services.domain.reports import Report, Statement
from services.retrieval.indexer import MAX_TEXT
from services.stores import reports as module
from services.stores.reports import INDEX_PARAMS, MAX_BODY_BYTES, SEARCH_PARAMS, ReportStore


@pytest.fixture(autouse=True)
def bounded(monkeypatch):
    """Stop a body that is shortened for ever."""
    replace, calls = module.replace, []

    def counted(*args, **changes):
        calls.append(changes)
        assert len(calls) < 200, "the body never fits"
        return replace(*args, **changes)

    monkeypatch.setattr(module, "replace", counted)


class FakeMilvus:
    """Keeps the rows that are upserted."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def upsert(self, name, rows, timeout):
        self.rows += rows


@pytest.fixture
def milvus(monkeypatch):
    client = FakeMilvus()
    monkeypatch.setattr(module, "MilvusClient", lambda **_: client)
    return client


def stored(milvus, report: Report) -> Report:
    index = module.IndexInfo("reports_1", "g", "m", 1.0, 1)
    ReportStore("http://127.0.0.1:1").upsert(index, [report], [[1.0]])
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


@pytest.mark.parametrize("kind", INDEX_PARAMS)
def test_every_kind_of_index_can_be_built_and_searched(kind):
    assert kind in SEARCH_PARAMS
