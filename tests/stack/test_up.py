"""`cardex up` as an operator uses it, as a process."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cardex.api.client import Client
from tests.helpers.stack import running_stack, said, variant

CARDEX = [sys.executable, "-m", "cardex"]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    env = {**os.environ, "CARDEX_DATA_DIR": str(folder)}
    # A shell lets the jobs in its background ignore SIGINT, and so would their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*CARDEX, "up", *options],
            env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def wait_up(process: subprocess.Popen[str]) -> str:
    lines = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if "Ctrl-C" in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes whose arguments or environment name the folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in text and (process / "cmdline").exists():
                found.append(text.decode(errors="replace"))
    return found


def shared_memory_of(processes: list[str]) -> str:
    """Return what the names of the shared memory of the Triton among the processes begin with."""
    (prefix,) = {
        named.group(1)
        for text in processes
        if (named := re.search(r"shm-region-prefix-name=(cardex_\d+_)", text))
    }
    return prefix


def wait_gone(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while left := processes_of(folder):
        assert time.monotonic() < deadline, [text[:80] for text in left]
        time.sleep(0.2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_no_process_is_left(tmp_path, number):
    process = start(tmp_path)
    try:
        assert "REST on http://127.0.0.1:" in wait_up(process)
        running = processes_of(tmp_path)
        assert len(running) >= 8
        shared = f"{shared_memory_of(running)}*"
        assert list(Path("/dev/shm").glob(shared))
        process.send_signal(number)
        code = process.wait(40)
        wait_gone(tmp_path)
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        left = list(Path("/dev/shm").glob(shared))
        assert not left or number == signal.SIGKILL
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_stops_the_start_with_its_number(tmp_path):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        process = start(tmp_path, "--gateway-port", str(port))
        assert process.wait(60) == 1
    words = said(process)
    assert "PORT_TAKEN" in words
    assert str(port) in words
    assert "--gateway-port" in words
    wait_gone(tmp_path)


def test_a_part_that_does_not_come_up_is_named_with_its_log(tmp_path):
    (tmp_path / "milvus").write_text("not a folder")
    process = start(tmp_path)
    assert process.wait(90) == 1
    words = said(process)
    assert "Milvus Lite" in words
    assert "milvus.log" in words
    wait_gone(tmp_path)


def test_a_second_stack_on_the_same_folder_is_refused(tmp_path, stack, settings):
    process = start(settings.data_dir)
    assert process.wait(60) == 1
    assert "FOLDER_TAKEN" in said(process)
    assert all(part.exit_code() is None for part in stack.processes.values())


def test_parts_that_are_given_are_used_and_not_started(tmp_path, settings, monkeypatch):
    for name in ("triton_url", "milvus_uri", "cache_url"):
        monkeypatch.setenv(f"CARDEX_{name.upper()}", getattr(settings, name))
    with running_stack(tmp_path) as (own, reached):
        workers = {"worker-stat", "worker-routine-1", "worker-routine-2"}
        assert set(own.processes) == {"state", "gateway", "web"} | workers
        with Client.from_settings(reached) as client:
            assert client.retrieve(variant(700)).answer.hits


def test_an_address_that_others_reach_is_refused(tmp_path):
    process = start(tmp_path, "--host", "0.0.0.0")
    assert process.wait(60) == 1
    assert "DOOR_OPEN" in said(process)


def test_a_triton_environment_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_TRITON_PYTHON", str(tmp_path / "nowhere" / "python"))
    process = start(tmp_path / "data")
    assert process.wait(60) == 1
    words = said(process)
    assert "nowhere/python" in words.replace("\n", "")
    assert "make setup" in words
