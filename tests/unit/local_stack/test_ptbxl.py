import errno
import hashlib
import threading
from pathlib import Path

import pytest

from cardex.domain.errors import ConfigurationError, Unavailable
from cardex.local_stack import http_files
from cardex.local_stack.downloads import CHECKSUMS, GIVE_UP, alone_in
from cardex.local_stack.http_files import ATTEMPTS, HttpFiles
from cardex.local_stack.ptbxl import download_ptbxl
from tests.helpers.file_server import (
    ANOTHER_RANGE,
    BUSY,
    DROP,
    GONE,
    IGNORE_RANGE,
    STALL,
    WRONG,
    file_server,
)

ECG = "records100/00000/00001_lr.dat"
TABLE = "ptbxl_database.csv"


def dataset(count: int = 3) -> dict[str, bytes]:
    """Return files of PTB-XL's layout, with their checksums."""
    files = {TABLE: b"ecg_id,patient_id\n" * 2000, "LICENSE.txt": b"CC BY 4.0", "RECORDS": b""}
    for number in range(1, count + 1):
        for rate, size in (("100", 12_000), ("500", 60_000)):
            suffix = "lr" if rate == "100" else "hr"
            path = f"records{rate}/00000/{number:05d}_{suffix}.dat"
            files[path] = bytes((number * at) % 251 for at in range(size))
    return with_checksums(files)


def with_checksums(files: dict[str, bytes]) -> dict[str, bytes]:
    lines = [f"{hashlib.sha256(content).hexdigest()} {path}" for path, content in files.items()]
    return {**files, CHECKSUMS: "\n".join(lines).encode()}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Wait for nothing between attempts."""
    monkeypatch.setattr(http_files, "MAX_DELAY_S", 0.0)


@pytest.fixture
def server():
    with file_server(dataset()) as server:
        yield server


def fetch(server, folder, **options):
    told = []
    missing = download_ptbxl(
        server.url, folder, lambda done, total: told.append((done, total)), **options
    )
    assert told == [(done, told[0][1]) for done in range(1, told[0][1] + 1)]
    return missing


def wanted(server, *folders) -> dict[str, bytes]:
    return {
        path: content
        for path, content in server.files.items()
        if "/" not in path or path.startswith(folders)
    }


def found(folder) -> dict[str, bytes]:
    """Return what lies in a folder, without the lock."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_tables_and_the_ecgs_at_100_hz_are_fetched(server, tmp_path):
    assert fetch(server, tmp_path / "new" / "folder") == []
    assert found(tmp_path / "new" / "folder") == wanted(server, "records100")


def test_those_at_500_hz_are_fetched_where_they_are_wanted(server, tmp_path):
    assert fetch(server, tmp_path, records500=True) == []
    assert found(tmp_path) == server.files


def test_connections_are_kept_for_the_next_file(tmp_path):
    with file_server(dataset(40)) as server:
        assert fetch(server, tmp_path, jobs=2) == []
        assert server.connections <= 2


def test_what_is_there_and_whole_is_not_fetched_again(server, tmp_path):
    fetch(server, tmp_path)
    (tmp_path / TABLE).write_bytes(b"damaged")
    (tmp_path / ECG).unlink()
    server.asked.clear()
    assert fetch(server, tmp_path) == []
    assert {path for path, _ in server.asked} == {CHECKSUMS, TABLE, ECG}
    assert found(tmp_path) == wanted(server, "records100")


def test_a_file_that_breaks_off_goes_on_from_there(server, tmp_path):
    server.troubles[ECG] = [DROP, DROP]
    assert fetch(server, tmp_path) == []
    size = len(server.files[ECG])
    assert server.ranges(ECG) == ["", f"bytes={size // 2}-", f"bytes={size * 3 // 4}-"]
    assert found(tmp_path) == wanted(server, "records100")


def test_a_file_that_stands_still_goes_on_by_another_connection(server, tmp_path):
    server.troubles[ECG] = [STALL]
    assert fetch(server, tmp_path, read_s=2.0) == []
    assert f"bytes={len(server.files[ECG]) // 2}-" in server.ranges(ECG)
    assert found(tmp_path) == wanted(server, "records100")


def test_a_part_of_an_earlier_run_goes_on(server, tmp_path):
    part = tmp_path / f"{ECG}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(server.files[ECG][:5000])
    assert fetch(server, tmp_path) == []
    assert server.ranges(ECG) == ["bytes=5000-"]
    assert found(tmp_path) == wanted(server, "records100")


@pytest.mark.parametrize(
    ("content", "ranges"),
    [
        (lambda whole: whole, ["bytes=12000-"]),  # stopped before it was checked
        (lambda whole: whole + b"more", ["bytes=12004-", ""]),
        (lambda whole: b"of another version", ["bytes=18-", ""]),
    ],
)
def test_a_part_is_checked_and_fetched_anew_where_it_is_wrong(server, tmp_path, content, ranges):
    part = tmp_path / f"{ECG}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content(server.files[ECG]))
    assert fetch(server, tmp_path) == []
    assert server.ranges(ECG) == ranges
    assert found(tmp_path) == wanted(server, "records100")


@pytest.mark.parametrize("trouble", [IGNORE_RANGE, ANOTHER_RANGE, BUSY])
def test_a_server_that_knows_no_ranges_or_is_busy_is_put_up_with(server, tmp_path, trouble):
    server.troubles[ECG] = [DROP, trouble]
    assert fetch(server, tmp_path) == []
    assert found(tmp_path) == wanted(server, "records100")


def test_a_wrong_file_is_fetched_anew_once(server, tmp_path):
    server.troubles[ECG] = [WRONG]
    assert fetch(server, tmp_path) == []
    assert server.ranges(ECG) == ["", ""]
    assert found(tmp_path) == wanted(server, "records100")


def test_a_file_that_stays_wrong_is_named_and_not_kept(server, tmp_path):
    server.always[ECG] = WRONG
    (missing,) = fetch(server, tmp_path)
    assert missing.path == ECG
    assert "not what was published" in missing.problem
    assert server.ranges(ECG) == ["", ""]
    assert found(tmp_path).keys() == wanted(server, "records100").keys() - {ECG}


def test_a_file_that_the_server_lacks_is_named_and_the_others_come(server, tmp_path):
    server.always[ECG] = GONE
    (missing,) = fetch(server, tmp_path)
    assert (missing.path, missing.problem) == (ECG, "HTTP 404")
    assert len(server.ranges(ECG)) == 1
    assert found(tmp_path).keys() == wanted(server, "records100").keys() - {ECG}


def test_a_file_that_never_comes_is_given_up(server, tmp_path):
    server.always[ECG] = BUSY
    (missing,) = fetch(server, tmp_path)
    assert (missing.path, missing.problem) == (ECG, f"HTTP 503, {ATTEMPTS} times")
    assert len(server.ranges(ECG)) == ATTEMPTS


def test_the_download_ends_when_the_server_answers_for_nothing_any_more(tmp_path):
    with file_server(dataset(GIVE_UP * 2)) as server:
        server.always = {path: BUSY for path in server.files if path.startswith("records")}
        with pytest.raises(Unavailable, match=r"HTTP 503.*the same command goes on"):
            fetch(server, tmp_path, jobs=1)
        assert len({path for path, _ in server.asked if path != CHECKSUMS}) < GIVE_UP + 5
        server.always = {}
        assert fetch(server, tmp_path) == []


def test_without_a_server_the_remedy_is_told(tmp_path):
    with file_server({}) as server:
        url = server.url
    with pytest.raises(Unavailable, match=r"HTTPS_PROXY.*CARDEX_PTBXL_URL"):
        download_ptbxl(url, tmp_path, lambda done, total: None)


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, r"SHA256SUMS.txt: HTTP 404: CARDEX_PTBXL_URL"),
        ({CHECKSUMS: b"<html>sign in</html>"}, "line 1: needs a SHA-256"),
        (with_checksums({TABLE: b"x"}), "lists no file below records100"),
        (with_checksums({ECG: b"x", "../outside": b"x"}), "line 2: the path '../outside' leaves"),
    ],
)
def test_an_address_of_something_else_is_refused(tmp_path, files, match):
    folder = tmp_path / "folder"
    with file_server(files) as server, pytest.raises(ConfigurationError, match=match):
        fetch(server, folder)
    assert not (tmp_path / "outside").exists()
    assert found(folder).keys() <= {CHECKSUMS, f"{CHECKSUMS}.part"}


@pytest.mark.parametrize("url", ["", "physionet.org", "ftp://physionet.org/", "https://"])
def test_what_is_no_address_is_refused(tmp_path, url):
    with pytest.raises(ConfigurationError, match="no address"):
        download_ptbxl(url, tmp_path, lambda done, total: None)


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "records100").write_text("a file where a folder has to be")
    with pytest.raises(ConfigurationError, match=r"cannot write .*records100"):
        fetch(server, tmp_path)


@pytest.mark.parametrize("name", [CHECKSUMS, TABLE])
def test_a_disk_that_is_full_is_told_with_what_there_was_no_room_for(
    server, tmp_path, name, monkeypatch
):
    complete = HttpFiles.complete

    def full(files: HttpFiles, path: str, part: Path) -> None:
        if path == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        complete(files, path, part)

    monkeypatch.setattr(HttpFiles, "complete", full)
    with pytest.raises(ConfigurationError, match=rf"cannot write .*{name}: No space.*make room"):
        fetch(server, tmp_path)


def test_a_second_download_into_one_folder_is_refused(server, tmp_path):
    with alone_in(tmp_path), pytest.raises(ConfigurationError, match="another download"):
        fetch(server, tmp_path)
    assert fetch(server, tmp_path) == []


def test_what_is_stopped_goes_on(server, tmp_path):
    """An interrupt comes while one file stalls in its midst; its first half is kept."""
    server.always[ECG] = STALL

    def interrupt(done: int, total: int) -> None:
        if done == total - 1:
            server.stalled.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_ptbxl(server.url, tmp_path, interrupt)
    part = tmp_path / f"{ECG}.part"
    half = server.files[ECG][: len(server.files[ECG]) // 2]
    waited = threading.Event()
    while part.read_bytes() != half:  # the thread may not have been at its turn yet
        waited.wait(0.01)
    server.always.clear()
    server.asked.clear()
    assert fetch(server, tmp_path) == []
    assert {path for path, _ in server.asked} == {CHECKSUMS, ECG}
    assert server.ranges(ECG) == [f"bytes={len(half)}-"]
    assert found(tmp_path) == wanted(server, "records100")
