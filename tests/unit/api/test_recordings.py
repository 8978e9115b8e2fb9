import os
import threading

import pytest

from cardex.api.recordings import load, one_recording, recordings
from cardex.domain.errors import InvalidEcg


@pytest.fixture
def folder(tmp_path):
    def make(*names: str):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def names(folder, *paths: str) -> list[list[str]]:
    found = recordings([folder / path for path in paths] or [folder])
    return [[str(file.relative_to(folder)) for file in files] for files in found]


@pytest.mark.parametrize("suffix", [".dat", ".mat"])
def test_a_wfdb_header_goes_with_its_signals(folder, suffix):
    assert names(folder(f"a{suffix}", "a.hea")) == [["a.hea", f"a{suffix}"]]


def test_a_folder_holds_many_recordings(folder):
    made = folder("a.hea", "a.dat", "b.dcm", "c/d.xml", "c/a.hea", "c/a.mat")
    assert sorted(names(made)) == [
        ["a.hea", "a.dat"],
        ["b.dcm"],
        ["c/a.hea", "c/a.mat"],
        ["c/d.xml"],
    ]


def test_files_of_one_name_and_other_formats_are_recordings_of_their_own(folder):
    assert names(folder("a.hea", "a.dat", "a.dcm", "b.dcm", "b.xml")) == [
        ["a.hea", "a.dat"],
        ["a.dcm"],
        ["b.dcm"],
        ["b.xml"],
    ]


def test_a_name_may_have_dots(folder):
    assert names(folder("ecg.1.hea", "ecg.1.dat", "ecg.2.hea", "ecg.2.dat")) == [
        ["ecg.1.hea", "ecg.1.dat"],
        ["ecg.2.hea", "ecg.2.dat"],
    ]


def test_what_is_no_ecg_by_its_name_is_left_out_of_a_folder(folder):
    assert names(folder("README.md", "table.csv", "LICENSE.txt", ".hidden.dcm", "a.dcm")) == [
        ["a.dcm"]
    ]


def test_a_table_in_a_folder_is_a_recording_if_its_columns_are_leads(folder):
    made = folder("ecg.csv", "reports.csv", "a.dcm")
    (made / "ecg.csv").write_text("# rate_hz: 500\n# unit: mV\nI,II,V1\n0.1,0.2,0.3\n")
    (made / "reports.csv").write_text("ecg_id,report\n1,sinus rhythm\n")
    assert sorted(names(made)) == [["a.dcm"], ["ecg.csv"]]


def test_a_recording_over_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "day.dat"
    with path.open("wb") as stream:
        stream.truncate(24 * 3600 * 500 * 12 * 2)  # a sparse file: 1 GB that take no room
    with pytest.raises(InvalidEcg, match="at most 67108864") as caught:
        load([path])
    assert caught.value.reason == "FILE_TOO_LARGE"


def test_a_header_goes_with_the_files_that_it_names(folder):
    made = folder("a.hea", "a_1.dat", "a_2.dat", "a.dat", "b.dcm")
    (made / "a.hea").write_text("a 2 500 5000\na_1.dat 16\na_2.dat 16\n")
    assert sorted(names(made)) == [["a.dat"], ["a.hea", "a_1.dat", "a_2.dat"], ["b.dcm"]]
    assert names(made, "a.hea") == [["a.hea", "a_1.dat", "a_2.dat"]]


def test_a_pipe_is_read_like_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"ecg",))
    writer.start()
    (part,) = one_recording(pipe)
    writer.join()
    assert part.content == b"ecg"


def test_a_file_that_is_named_is_taken_whatever_its_name(folder):
    assert names(folder("ecg.txt"), "ecg.txt") == [["ecg.txt"]]


def test_a_header_that_is_named_brings_its_signals(folder):
    assert names(folder("a.hea", "a.mat", "b.dat"), "a.hea") == [["a.hea", "a.mat"]]


def test_upper_case_suffixes_are_the_same_in_a_folder_and_by_name(folder):
    made = folder("A.HEA", "A.DAT")
    assert names(made) == names(made, "A.HEA") == [["A.HEA", "A.DAT"]]


def test_links_to_folders_are_not_followed_and_loops_end(folder):
    made = folder("a.dcm", "b/c.dcm")
    (made / "b" / "up").symlink_to(made, target_is_directory=True)
    (made / "beside").symlink_to(made / "b", target_is_directory=True)
    assert names(made) == [["a.dcm"], ["b/c.dcm"]]


def test_a_link_that_leads_nowhere_is_left_to_who_reads_it(folder):
    made = folder()
    (made / "gone.dcm").symlink_to(made / "none.dcm")
    (made / "loop.dcm").symlink_to(made / "loop.dcm")
    assert names(made) == [["gone.dcm"], ["loop.dcm"]]
    for name in ("gone.dcm", "loop.dcm"):
        with pytest.raises(InvalidEcg, match=rf"cannot read .*{name}"):
            load([made / name])


def test_a_folder_that_cannot_be_listed_is_left_to_who_reads_it(folder, monkeypatch):
    made = folder("a.dcm", "locked/b.dcm")
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert names(made) == [["a.dcm"], ["locked"]]
    with pytest.raises(InvalidEcg, match="cannot read"):
        load([made / "locked"])


def test_a_folder_of_many_headers_is_listed_once(folder, monkeypatch):
    made = folder(*(f"{n}.{suffix}" for n in range(50) for suffix in ("hea", "dat")))
    listed = os.scandir
    calls = []

    def scandir(path):
        calls.append(path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert len(names(made)) == 50
    assert calls == [made]


def test_paths_keep_their_order(folder):
    assert names(folder("b.dcm", "a.dcm"), "b.dcm", "a.dcm") == [["b.dcm"], ["a.dcm"]]


def test_an_empty_folder_holds_nothing(folder):
    assert names(folder()) == []


def test_a_missing_path_is_an_error_with_its_name(folder):
    with pytest.raises(FileNotFoundError, match=r"none\.dcm"):
        names(folder(), "none.dcm")
