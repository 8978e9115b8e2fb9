import errno
from pathlib import Path

import pytest

from cardex.domain.errors import Busy
from cardex.models.files import alone, replace


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    with (
        alone(tmp_path),
        pytest.raises(Busy, match=r"is changing .*: wait for it"),
        alone(tmp_path),
    ):
        pytest.fail("two hold it")
    with alone(tmp_path):
        pass


def test_a_folder_is_let_go_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), alone(tmp_path):
        raise RuntimeError
    with alone(tmp_path):
        pass


def test_holding_leaves_nothing_in_the_folder_and_no_open_file(tmp_path):
    before = open_files()
    with alone(tmp_path):
        assert list(tmp_path.iterdir()) == []
    assert open_files() == before


def test_a_folder_that_is_not_there_is_for_others_to_report(tmp_path):
    with alone(tmp_path / "nowhere"):
        pass


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("cardex.models.files.fcntl.flock", refuse)
    with alone(tmp_path):
        assert "let nobody else deploy meanwhile" in caplog.text


def test_a_file_is_replaced_and_keeps_its_rights(tmp_path):
    path = tmp_path / "config.pbtxt"
    path.write_text("old")
    path.chmod(0o640)
    replace(path, b"new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert list(tmp_path.iterdir()) == [path]
