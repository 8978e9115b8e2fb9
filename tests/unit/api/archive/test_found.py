import os

import pytest

from cardex.api.archive.found import NO_STAMP, Recording, content_hash, find
from cardex.api.ecgs import ecg_of_files
from cardex.domain.errors import InvalidEcg


@pytest.fixture
def folder(tmp_path):
    for name in ("a.hea", "a.dat", "b/c.dcm", "b/d.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def paths(*given) -> list[str]:
    return sorted(recording.path for recording in find(given).recordings)


def test_paths_are_relative_to_what_all_lie_below(folder, monkeypatch):
    assert paths(folder) == ["a.hea", "b/c.dcm", "b/d.dcm"]
    assert paths(folder / "b" / "c.dcm") == ["c.dcm"]
    assert paths(folder / "b", folder / "a.hea") == ["a.hea", "b/c.dcm", "b/d.dcm"]
    monkeypatch.chdir(folder / "b")
    assert paths(".") == ["c.dcm", "d.dcm"]
    assert find(["."]).root == find([folder / "b"]).root == str(folder / "b")


def test_a_recording_that_is_named_twice_is_one(folder):
    assert paths(folder, folder / "b", folder / "b" / "c.dcm") == ["a.hea", "b/c.dcm", "b/d.dcm"]


def test_files_that_are_written_meanwhile_are_no_recordings(folder):
    found = find([folder], [folder / "b" / "c.dcm"]).recordings
    assert sorted(recording.path for recording in found) == ["a.hea", "b/d.dcm"]


def test_nothing_is_refused(tmp_path):
    for given in ((), (tmp_path,)):
        with pytest.raises(InvalidEcg, match="no ECG file there"):
            find(given)
    with pytest.raises(InvalidEcg, match="none does not exist"):
        find([tmp_path / "none"])


def test_a_stamp_changes_with_every_file_of_the_recording(folder):
    recording = next(r for r in find([folder]).recordings if r.path == "a.hea")
    before = recording.stamp()
    assert before[0] == 10
    os.utime(folder / "a.dat", ns=(1, before[1] + 1))
    assert recording.stamp() == (10, before[1] + 1)
    (folder / "a.dat").unlink()
    assert recording.stamp() == NO_STAMP


def test_the_hash_is_of_names_and_contents(folder):
    def hashed(*names: str) -> str:
        return content_hash(ecg_of_files([folder / name for name in names]))

    first = hashed("a.hea", "a.dat")
    assert first == hashed("a.hea", "a.dat") != hashed("a.hea")
    (folder / "a.dat").write_text("other")
    assert hashed("a.hea", "a.dat") != first


def test_files_are_held_as_text(folder):
    assert Recording("a", ("x/a", "x/b")).files == [type(folder)("x/a"), type(folder)("x/b")]
