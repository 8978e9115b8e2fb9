import os
import signal
import subprocess
import sys

import pytest

from tests.helpers.file_server import GONE, STALL, file_server
from tests.unit.local_stack.test_ptbxl import ECG, dataset, found, wanted


@pytest.fixture
def server(monkeypatch):
    with file_server(dataset()) as server:
        monkeypatch.setenv("CARDEX_PTBXL_URL", server.url)
        yield server


def test_the_data_set_is_fetched_and_the_next_step_told(cardex, server, tmp_path):
    done = cardex("data", "ptbxl", tmp_path, "--jobs", "2")
    assert done.exit_code == 0, done.output
    assert f"cardex index --ptbxl {tmp_path}" in done.stderr
    assert found(tmp_path) == wanted(server, "records100")


def test_it_goes_into_the_data_folder_by_default(cardex, server, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_DATA_DIR", str(tmp_path))
    assert cardex("data", "ptbxl", "--records500").exit_code == 0
    assert found(tmp_path / "ptb-xl") == server.files


def test_missing_files_are_named_and_end_with_1(cardex, server, tmp_path):
    server.always[ECG] = GONE
    done = cardex("data", "ptbxl", tmp_path)
    assert done.exit_code == 1
    assert f"{ECG}: HTTP 404" in done.stderr
    assert "1 files are missing" in done.stderr


def test_a_wrong_address_is_one_message(cardex, server, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_PTBXL_URL", server.url + "other/")
    done = cardex("data", "ptbxl", tmp_path)
    assert done.exit_code == 1
    assert "CARDEX_PTBXL_URL" in done.stderr
    assert "Traceback" not in done.output


def test_ctrl_c_ends_at_once_with_130_and_the_next_call_goes_on(cardex, server, tmp_path):
    server.always[ECG] = STALL
    # A shell's background job ignores Ctrl-C, and what it starts does too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "cardex", "data", "ptbxl", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    assert server.stalled.wait(60)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)  # though the answer never ends
    assert process.returncode == 130, words
    assert "the same command goes on" in words
    assert "Traceback" not in words
    server.always.clear()
    assert cardex("data", "ptbxl", tmp_path).exit_code == 0
    assert found(tmp_path) == wanted(server, "records100")
