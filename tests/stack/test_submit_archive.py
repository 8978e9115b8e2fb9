"""An archive is submitted through kills of the client and of the gateway: no record is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from cardex.api.convert.ecg import from_payload, to_payload
from cardex.domain.ecg import LEADS
from cardex.signals.readers import read
from loadtest.ecgs import Ecgs
from tests.helpers.real import demo_data

RECORDS = 240
PATIENCE_S = 240.0
STEPS_PER_MV = 1000


@pytest.fixture(scope="module")
def ecgs_without_end():
    return Ecgs(demo_data())


@pytest.fixture
def archive(ecgs_without_end, tmp_path) -> Path:
    """A folder of WFDB records, all of them different."""
    folder = tmp_path / "archive"
    for number, ecg in enumerate(ecgs_without_end.take(RECORDS)):
        below = folder / f"{number % 5}"
        below.mkdir(parents=True, exist_ok=True)
        signal_mv = read(from_payload(to_payload(ecg))).signal
        write_record(below, f"{number}", signal_mv, ecg.samples.rate_hz)
    return folder


def write_record(folder: Path, name: str, signal_mv: np.ndarray, rate_hz: float) -> None:
    steps = np.rint(signal_mv * STEPS_PER_MV).astype("<i2")
    (folder / f"{name}.dat").write_bytes(steps.T.tobytes())
    leads = [f"{name}.dat 16 {STEPS_PER_MV}(0)/mV 16 0 {row[0]} 0 0 {lead}"
             for lead, row in zip(LEADS, steps, strict=True)]  # fmt: skip
    head = f"{name} {len(LEADS)} {rate_hz:g} {steps.shape[1]}"
    (folder / f"{name}.hea").write_text("\n".join([head, *leads]) + "\n")


@pytest.fixture
def submit(settings, archive, tmp_path):
    """Starts `cardex submit`; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "cardex", "submit", str(archive),
             "--results", str(tmp_path / "night.jsonl"), *options],
            env={**os.environ, "CARDEX_GATEWAY_TARGET": settings.gateway_target},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "night.jsonl"


@pytest.fixture
def manifest(tmp_path) -> Path:
    return tmp_path / "night.jsonl.manifest"


@pytest.fixture
def job_count(settings) -> Callable[[], int]:
    """Counts the jobs that were made since the test began."""
    client: Any = redis.Redis.from_url(settings.state_url)

    def count() -> int:
        return sum(1 for _ in client.scan_iter("cardex:job:*", 1000))

    before = count()
    return lambda: count() - before


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while lines(path) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finished(process: subprocess.Popen[str], stack) -> str:
    """Return what a process said that ended well; the stack is mended meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None:
        stack.tend()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return said


def check_each_is_answered_once(results: Path) -> None:
    found = [json.loads(line) for line in results.read_text().splitlines()]
    expected = sorted(f"{number % 5}/{number}.hea" for number in range(RECORDS))
    assert sorted(result["file"] for result in found) == expected
    assert all(result["answer"]["hits"] for result in found)
    assert len({result["job_id"] for result in found}) == RECORDS


def test_a_client_that_is_killed_twice_goes_on(submit, stack, results, manifest, job_count):
    first = submit()
    wait_for_lines(manifest, 50, first)
    first.kill()
    first.communicate()
    second = submit()
    before = lines(results)
    wait_for_lines(results, before + 30, second)
    second.kill()
    second.communicate()
    assert lines(results) < RECORDS
    said = finished(submit(), stack)
    check_each_is_answered_once(results)
    assert job_count() == RECORDS
    assert f"{RECORDS} of {RECORDS} recordings answered" in said
    assert f"{RECORDS} finished before this call" in finished(submit(), stack)
    assert job_count() == RECORDS


def test_a_gateway_that_is_killed_twice_costs_no_record(
    submit, stack, results, manifest, job_count
):
    process = submit()
    for path, count in ((manifest, 50), (results, 60)):
        wait_for_lines(path, count, process)
        assert lines(results) < RECORDS
        os.killpg(stack.processes["gateway"].process.pid, signal.SIGKILL)
        stack.processes["gateway"].process.wait()
        stack.tend()
    finished(process, stack)
    check_each_is_answered_once(results)
    assert job_count() == RECORDS


def test_a_client_that_is_asked_to_stop_says_how_to_go_on(submit, stack, results, job_count):
    process = submit()
    wait_for_lines(results, 20, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "run the same command again to go on" in said
    finished(submit(), stack)
    check_each_is_answered_once(results)
    assert job_count() == RECORDS


def test_two_clients_do_not_share_a_manifest(submit, stack, results, manifest):
    first = submit()
    wait_for_lines(manifest, 10, first)
    _, said = (second := submit()).communicate(timeout=60)
    assert second.returncode == 1
    assert "MANIFEST_TAKEN" in said
    finished(first, stack)
    check_each_is_answered_once(results)
