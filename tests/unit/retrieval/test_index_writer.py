import math

import pytest

from cardex.domain.errors import IndexMissing, InvalidReport, Unavailable, VersionMismatch
from cardex.domain.jobs import Priority
from cardex.domain.reports import Report, Statement
from cardex.reports.ptbxl import report_id
from cardex.retrieval.index_writer import MAX_TEXT, Indexer, checked
from tests.helpers.fakes import FakeStore, House, model_info

REPORT = Report("r1", "sinus rhythm")


@pytest.fixture
def house():
    return House()


def indexer(house, *, rebuild: bool) -> Indexer:
    made = Indexer(house.encoder, house.store, house.catalogue, rebuild=rebuild)
    house.store.calls.clear()
    return made


def stored(house, index: str = "reports_1") -> dict[str, Report]:
    return house.store.reports(index)


# Completing and checking a report.


def test_an_id_that_is_missing_comes_from_the_text():
    assert checked(Report("", " sinus  rhythm ")).report_id == report_id("sinus rhythm")


def test_a_language_that_is_missing_comes_from_the_text():
    assert checked(Report("r1", "sinusrhythmus, normales ekg")).language == "de"
    assert checked(Report("r1", "sinus rhythm", language="la")).language == "la"


def test_white_space_is_collapsed():
    assert checked(Report("r1", " sinus\n rhythm ")).text == "sinus rhythm"


def test_no_report_has_fewer_records_than_it_names():
    assert checked(Report("r1", "text", record_ids=("a", "b"))).record_count == 2
    assert checked(Report("r1", "text", record_ids=("a", "b"), record_count=7)).record_count == 7


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_TEXT + 1)])
def test_a_text_that_is_empty_or_too_long_is_refused(text):
    with pytest.raises(InvalidReport, match="'r1'") as caught:
        checked(Report("r1", text))
    assert caught.value.field == "reports.text"


def test_the_longest_text_is_taken():
    assert len(checked(Report("r1", "x" * MAX_TEXT)).text) == MAX_TEXT


@pytest.mark.parametrize("identity", ["a b", "x" * 65, "ä", "a/b", "a\n", 'a" or "'])
def test_an_id_of_other_characters_is_refused(identity):
    with pytest.raises(InvalidReport) as caught:
        checked(Report(identity, "sinus rhythm"))
    assert caught.value.field == "reports.report_id"


@pytest.mark.parametrize("identity", ["a", "A.b:c-d_9", "x" * 64])
def test_an_id_of_letters_digits_and_marks_is_taken(identity):
    assert checked(Report(identity, "sinus rhythm")).report_id == identity


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.5, -0.5])
def test_a_support_that_is_no_share_is_refused(value):
    with pytest.raises(InvalidReport):
        checked(Report("r1", "sinus rhythm", statements=(Statement("SR", support=value),)))


@pytest.mark.parametrize("value", [math.nan, math.inf, 150.0, -1.0])
def test_a_likelihood_that_is_no_percentage_is_refused(value):
    with pytest.raises(InvalidReport):
        checked(Report("r1", "sinus rhythm", statements=(Statement("SR", likelihood=value),)))


def test_a_statement_without_a_code_is_refused():
    with pytest.raises(InvalidReport):
        checked(Report("r1", "sinus rhythm", statements=(Statement(""),)))


def test_statements_are_kept():
    statements = (Statement("SR", "sinus rhythm", None, 1.0), Statement("IMI", "", 50.0, 0.25))
    assert checked(Report("r1", "sinus rhythm", statements=statements)).statements == statements


# Into the index in force.


def test_reports_are_stored_with_the_embedding_of_their_text(house):
    merge = indexer(house, rebuild=False)
    merge.add([Report("r1", "sinus  rhythm"), Report("", "old infarct")])
    assert house.encoder.texts == [["sinus rhythm", "old infarct"]]
    assert set(stored(house)) == {"r1", report_id("old infarct")}
    assert merge.stored == 2


def test_among_equal_ids_the_last_report_stays(house):
    merge = indexer(house, rebuild=False)
    merge.add([Report("r1", "first"), Report("r1", "second")])
    assert stored(house)["r1"].text == "second"
    assert merge.stored == 1


def test_nothing_of_a_chunk_with_a_bad_report_is_stored(house):
    merge = indexer(house, rebuild=False)
    with pytest.raises(InvalidReport):
        merge.add([REPORT, Report("r2", "")])
    assert stored(house) == {}
    assert merge.stored == 0


def test_an_empty_chunk_changes_nothing(house):
    merge = indexer(house, rebuild=False)
    merge.add([])
    assert house.store.calls == []


def test_the_generation_changes_after_the_contents_have(house):
    merge = indexer(house, rebuild=False)
    merge.add([REPORT])
    assert house.store.calls == ["upsert", "touch"]


def test_the_generation_stays_where_the_contents_could_not_be_stored(house):
    merge = indexer(house, rebuild=False)
    house.store.error = Unavailable("Milvus is down")
    with pytest.raises(Unavailable):
        merge.add([REPORT])
    assert house.store.calls == ["upsert"]


def test_a_commit_returns_the_index_as_it_is_now(house):
    merge = indexer(house, rebuild=False)
    merge.add([REPORT])
    index = merge.commit()
    assert (index.name, index.generation) == ("reports_1", "g1+")
    assert "switch" not in house.store.calls


def test_the_index_in_force_is_never_dropped(house):
    merge = indexer(house, rebuild=False)
    merge.abandon()
    assert house.store.calls == []


def test_an_index_of_another_model_takes_no_reports(house):
    house.store.index = FakeStore("model-0").index
    with pytest.raises(VersionMismatch):
        indexer(house, rebuild=False)


def test_without_an_index_there_is_nothing_to_merge_into(house):
    house.store.index = None
    with pytest.raises(IndexMissing):
        indexer(house, rebuild=False)


# Into a new index.


def test_a_rebuild_answers_only_after_its_commit(house):
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    assert house.store.current().name == "reports_1"
    rebuild.commit()
    assert house.store.current().name == "reports_2"
    assert set(stored(house, "reports_2")) == {"r1"}


def test_a_rebuild_leaves_the_generation_of_the_old_index_alone(house):
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    rebuild.commit()
    assert "touch" not in house.store.calls


@pytest.mark.parametrize("index", [None, FakeStore("model-0").index], ids=["none", "model-0"])
def test_a_rebuild_takes_the_newest_model_where_the_index_has_none_that_is_served(house, index):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    house.store.index = index
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    assert rebuild.commit().model_version == "model-2"
    assert house.encoder.asked == ["model-2"]


def test_a_rebuild_keeps_the_model_in_force_beside_a_newer_one(house):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    assert rebuild.commit().model_version == "model-1"
    assert house.encoder.asked == ["model-1"]


def test_a_merge_is_embedded_by_the_model_of_the_index(house):
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    indexer(house, rebuild=False).add([REPORT])
    assert house.encoder.asked == ["model-1"]


def test_reports_give_way_to_ecgs(house):
    indexer(house, rebuild=False).add([REPORT])
    assert house.encoder.priorities == [Priority.ROUTINE]


def test_a_rebuild_without_reports_is_refused_and_dropped(house):
    rebuild = indexer(house, rebuild=True)
    with pytest.raises(InvalidReport, match="the index stays as it is"):
        rebuild.commit()
    assert house.store.calls == ["drop"]
    assert house.store.current().name == "reports_1"


def test_an_abandoned_rebuild_is_dropped(house):
    rebuild = indexer(house, rebuild=True)
    rebuild.add([REPORT])
    rebuild.abandon()
    assert "reports_2" not in house.store.contents


@pytest.mark.parametrize("rebuild", [True, False])
def test_the_catalogue_hears_of_a_commit(house, rebuild):
    forgotten = []
    house.catalogue.forget = lambda: forgotten.append(True)
    made = indexer(house, rebuild=rebuild)
    made.add([REPORT])
    assert not forgotten
    made.commit()
    assert forgotten
