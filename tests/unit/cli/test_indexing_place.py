import os

import pytest

from cardex.cli.indexing_place import IndexingPlace, Place
from cardex.domain.errors import ConfigurationError


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("case_id,report\n")
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "indexing"


def test_a_second_call_finds_where_the_first_was(folder, table):
    IndexingPlace(folder, table, merge=False).write(Place("reports_1", 512))
    assert IndexingPlace(folder, table, merge=False).read() == Place("reports_1", 512)


def test_the_last_place_counts(folder, table):
    place = IndexingPlace(folder, table, merge=False)
    place.write(Place("reports_1", 256))
    place.write(Place("reports_1", 512))
    assert place.read() == Place("reports_1", 512)
    assert len(list(folder.iterdir())) == 1


def test_a_place_that_nobody_kept_is_the_beginning(folder, table):
    assert IndexingPlace(folder, table, merge=False).read() is None


def test_all_done_is_no_place(folder, table):
    place = IndexingPlace(folder, table, merge=False)
    place.write(Place("reports_1", 256))
    place.remove()
    assert place.read() is None
    place.remove()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"index": "a", "cases": "x"}', "\udcff"])
def test_a_place_that_cannot_be_read_is_the_beginning(folder, table, content):
    place = IndexingPlace(folder, table, merge=False)
    place.write(Place("reports_1", 256))
    (kept,) = folder.iterdir()
    kept.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert place.read() is None


def test_a_merge_and_a_rebuild_of_one_source_are_two(folder, table):
    IndexingPlace(folder, table, merge=False).write(Place("reports_1", 256))
    assert IndexingPlace(folder, table, merge=True).read() is None


@pytest.mark.parametrize("change", ["size", "time"])
def test_another_content_is_another_source(folder, table, change):
    IndexingPlace(folder, table, merge=False).write(Place("reports_1", 256))
    before = table.stat().st_mtime_ns
    if change == "size":
        table.write_text("case_id,report\n1,normal\n")
    os.utime(table, ns=(before, before + (10**9 if change == "time" else 0)))
    assert IndexingPlace(folder, table, merge=False).read() is None


def test_a_folder_is_known_by_its_table(folder, tmp_path):
    source = tmp_path / "ptbxl"
    source.mkdir()
    table = source / "ptbxl_database.csv"
    table.write_text("ecg_id\n")
    IndexingPlace(folder, source, merge=False).write(Place("reports_1", 256))
    (source / "other.csv").write_text("x")
    assert IndexingPlace(folder, source, merge=False).read() == Place("reports_1", 256)
    table.write_text("ecg_id\n1\n")
    assert IndexingPlace(folder, source, merge=False).read() is None


def test_two_ways_to_one_source_are_one(folder, table, monkeypatch):
    IndexingPlace(folder, table, merge=False).write(Place("reports_1", 256))
    monkeypatch.chdir(table.parent)
    relative = table.relative_to(table.parent)
    assert IndexingPlace(folder, relative, merge=False).read() == Place("reports_1", 256)


def test_no_name_of_a_source_is_in_the_name_of_the_file(folder, table):
    IndexingPlace(folder, table, merge=False).write(Place("reports_1", 256))
    (kept,) = folder.iterdir()
    assert "cases" not in kept.name


def test_a_place_that_cannot_be_kept_is_told_with_what_to_set(tmp_path, table):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigurationError, match="CARDEX_DATA_DIR"):
        IndexingPlace(blocked / "indexing", table, merge=False).write(Place("reports_1", 1))
