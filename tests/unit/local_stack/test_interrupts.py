import os
import signal
import subprocess
import sys
import threading

import pytest

from cardex.domain.settings import Settings
from cardex.local_stack.interrupts import uninterrupted
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.stack import Stack

DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1); time.sleep(600)"
)


def deaf(tmp_path, name: str) -> ManagedProcess:
    """A process that does not heed SIGTERM."""
    log = tmp_path / name
    process = ManagedProcess(
        name, [sys.executable, "-u", "-c", DEAF], log, ready=lambda: log.read_text() != ""
    )
    process.start()
    process.wait_ready()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_stop_leaves_nothing_running(tmp_path, number):
    stack = Stack(Settings(data_dir=tmp_path))
    processes = [deaf(tmp_path, name) for name in ("first", "second")]
    running = [process.process for process in processes if process.process is not None]
    stack._groups = [{process.name: process} for process in processes]
    timer = threading.Timer(0.2, os.kill, (os.getpid(), number))
    timer.start()
    try:
        stack.stop()
    except KeyboardInterrupt:
        assert number is signal.SIGINT
    timer.join()
    assert [process.returncode for process in running] == [-signal.SIGKILL] * 2
    assert stack.processes == {}


def test_a_ctrl_c_is_raised_after_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted(lambda: done.append("hurry")):
        os.kill(os.getpid(), signal.SIGINT)
        done.append("end")
    assert done == ["hurry", "end"]


def test_the_handlers_before_are_put_back():
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_are_left_alone():
    before = signal.getsignal(signal.SIGINT)

    def block() -> None:
        with uninterrupted(lambda: None):
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()


def test_a_process_is_seen_to_end_where_its_status_is_not_kept(tmp_path):
    script = f"""
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from cardex.local_stack.managed_process import ManagedProcess
log = Path({str(tmp_path / "log")!r})
process = ManagedProcess("short", [sys.executable, "-c", ""], log, lambda: True)
process.start()
while process.exit_code() is None:
    time.sleep(0.01)
process.stop()
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "ended\n", done.stderr
