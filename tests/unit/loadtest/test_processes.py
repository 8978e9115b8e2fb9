"""CPU time below a process."""

import os
import subprocess
import sys

from loadtest.processes import cpu_seconds, cpu_seconds_below, resident_bytes

BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {BUSY!r} + "print(1, flush=True)\\ninput()"],
                         stdout=subprocess.PIPE, stdin=subprocess.PIPE)
child.stdout.readline()
print("there", flush=True)
input()
child.communicate(b"\\n")
print("ended", flush=True)
input()
"""


def test_children_of_children_count_while_they_run_and_after_they_ended():
    before = cpu_seconds_below(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin and parent.stdout
        assert parent.stdout.readline() == "there\n"
        running = cpu_seconds_below(os.getpid()) - before
        assert cpu_seconds_below(parent.pid) >= 0.29
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "ended\n"
        ended = cpu_seconds_below(os.getpid()) - before
        parent.stdin.write("\n")
        parent.stdin.flush()
    assert ended >= running >= 0.29


def test_a_process_itself_does_not_count():
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    with subprocess.Popen(
        [sys.executable, "-c", BUSY + "print(1, flush=True)\ninput()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        process.stdout.readline()
        assert cpu_seconds_below(process.pid) == 0.0
        assert cpu_seconds(process.pid) >= 0.29
        process.communicate(b"\n")


def test_memory_counts_with_that_of_children():
    hold = "import os; held = b'1' * 200_000_000; print(1, flush=True); input()"
    before = resident_bytes(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert resident_bytes(process.pid) >= 200_000_000
        assert resident_bytes(os.getpid()) - before >= 190_000_000
        process.communicate(b"\n")
