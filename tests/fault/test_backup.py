"""A backup of a running stack becomes a new one: no acknowledged job is lost, none ends twice."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cardex.api.client import Client
from cardex.api.pb.v1 import job_pb2
from cardex.domain.errors import CardexError
from cardex.domain.settings import Settings
from cardex.local_stack.stack import Stack
from tests.fault.test_kills import FINAL, events, held, kill, of_kind, submit, wait_final
from tests.helpers.real import ROOT, reports
from tests.helpers.stack import build_index, cpsc_ecgs, running_stack
from tests.helpers.waiting import until

SCRIPT = ROOT / "deploy" / "backup.sh"
REWRITTEN = 75
# While a lease lasts, a stopped worker's job stays RUNNING; the new stack waits for the rest of it.
BACKED_UP_WITHIN_S = 30.0
LIST = "appendonly.aof.manifest"


@contextmanager
def stack_of(folder: Path, lease_s: float) -> Iterator[tuple[Stack, Settings]]:
    """Run a stack whose workers and gateway count leases of `lease_s`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARDEX_LEASE_S", str(lease_s))
        patch.setenv("CARDEX_LATCH_S", "1.0")
        with running_stack(folder, lease_s=lease_s, latch_s=1.0) as running:
            yield running


def back_up(folder: Path, tar: Path) -> None:
    """Write the state store's files as docs/operations.md says."""
    with tar.open("wb") as out:
        done = subprocess.run([SCRIPT, folder], stdout=out, check=False)
    assert done.returncode == 0


def restore(tar: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    subprocess.run(["tar", "--extract", "--file", tar, "--directory", folder], check=True)


def hits(settings) -> list[bytes]:
    """Return what a text and real ECGs find, as bytes."""
    with Client.from_settings(settings) as client:
        answers = [client.search("vorhofflimmern")]
        answers += [client.retrieve(ecg).answer for ecg in cpsc_ecgs()[:3]]
    return [hit.SerializeToString(deterministic=True) for one in answers for hit in one.hits]


def jobs(settings, ids: list[str]) -> dict[str, bytes]:
    """Return jobs that are final, with their answers, as bytes."""
    with Client.from_settings(settings) as client:
        found = {job.job_id: job for job in client.finished(ids, 60)}
    assert set(found) == set(ids)
    return {name: job.SerializeToString(deterministic=True) for name, job in found.items()}


@contextmanager
def submitting(settings, first: int) -> Iterator[list[str]]:
    """Submit one job after the other meanwhile; gives their ids."""
    ids: list[str] = []
    stop = threading.Event()

    def submit_on() -> None:
        while not stop.is_set():
            ids.extend(submit(settings, first + len(ids), 1))

    thread = threading.Thread(target=submit_on)
    thread.start()
    try:
        until(lambda: ids)
        yield ids
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def signal_all(stack, kind: str, number: int) -> None:
    for name in of_kind(stack, kind):
        os.killpg(stack.processes[name].process.pid, number)


def torn(folder: Path) -> None:
    """Let the last file end within a command, as a copy of a file that grows may."""
    last = max(
        (folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[2])
    )
    with last.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$1")


@pytest.mark.timeout(900)  # two stacks come up
def test_a_backup_becomes_a_new_stack_with_every_job(tmp_path):
    first, tar = tmp_path / "first", tmp_path / "state.tar"
    with stack_of(first, BACKED_UP_WITHIN_S) as (stack, settings):
        build_index(settings, reports(400))
        ended = submit(settings, 0, 10)
        assert wait_final(stack, settings, ended) == {"SUCCEEDED": 10}
        kept, found = jobs(settings, ended), hits(settings)
        with held(stack, "triton"):
            running = submit(settings, 100, 10)
            until(lambda: all(events(settings)[each][-1] == "RUNNING" for each in running))
            signal_all(stack, "worker-routine", signal.SIGSTOP)
            queued = submit(settings, 200, 10)
            with submitting(settings, 300) as meanwhile:
                before = [*ended, *running, *queued, *meanwhile]
                states = events(settings)
                back_up(first / "state", tar)
        milvus = stack.processes["milvus"]
        milvus.stop()
        shutil.copytree(first / "milvus", tmp_path / "milvus")
        for name in stack.processes:
            if stack.processes[name] is not milvus:
                kill(stack, name)
    assert {states[each][-1] for each in running} == {"RUNNING"}
    assert {states[each][-1] for each in queued} == {"QUEUED"}
    shutil.rmtree(first)

    second = tmp_path / "second"
    restore(tar, second / "state")
    torn(second / "state")
    shutil.copytree(tmp_path / "milvus", second / "milvus")
    with stack_of(second, lease_s=2.0) as (stack, settings):
        assert wait_final(stack, settings, before) == {"SUCCEEDED": len(before)}
        for each, seen in events(settings).items():
            assert seen[: len(states.get(each, ()))] == states.get(each, [])
            assert [state for state in seen if state in FINAL] in (["SUCCEEDED"], [])
        assert jobs(settings, ended) == kept
        assert hits(settings) == found
        assert all(_is_whole_or_unknown(settings, each) for each in meanwhile)


def _is_whole_or_unknown(settings, job_id: str) -> bool:
    """Return whether a job that came while the backup was taken is there, or was never heard of."""
    try:
        with Client.from_settings(settings) as client:
            (job,) = client.finished([job_id], 60)
        return job.state == job_pb2.JOB_STATE_SUCCEEDED
    except CardexError as error:
        return error.reason == "JOB_NOT_FOUND"


def test_a_backup_in_which_the_files_were_rewritten_is_refused(tmp_path):
    files = tmp_path / "appendonlydir"
    files.mkdir()
    (files / LIST).write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    (files / "appendonly.aof.1.incr.aof").write_bytes(bytes(4 * 1024**2))
    script = subprocess.Popen([SCRIPT, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert script.stdout is not None
    script.stdout.read(1)  # it has read the list, and waits until more is taken from the pipe
    (files / LIST).write_text("file appendonly.aof.2.incr.aof seq 2 type i\n")
    _, words = script.communicate(timeout=60)
    assert script.returncode == REWRITTEN
    assert b"take the backup again" in words


def test_a_folder_without_a_store_is_refused(tmp_path):
    done = subprocess.run([SCRIPT, tmp_path], capture_output=True, check=False)
    assert done.returncode not in (0, REWRITTEN)
    assert LIST.encode() in done.stderr
