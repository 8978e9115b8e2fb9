"""Processes that are stopped and fail, with work that is no training."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from cardex.domain.errors import CardexError
from cardex.training.processes import Job, run_jobs
from cardex.training.trainer import Stopped


def write(path: Path) -> None:
    path.write_text(str(os.getpid()))


def refuse(path: Path) -> None:
    raise CardexError(f"{path}: no")


def wait_for_the_end(path: Path) -> None:
    """Note the process, and wait for SIGTERM, upon which a mark is left."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    write(path)
    ended.wait()
    path.with_suffix(".ended").touch()


def test_every_job_has_its_own_process_and_is_told_of(tmp_path):
    done = []
    jobs = [Job(str(number), write, (tmp_path / str(number),)) for number in range(3)]
    run_jobs(jobs, 2, lambda job: done.append(job.name))
    assert sorted(done) == ["0", "1", "2"]
    assert len({(tmp_path / name).read_text() for name in done} | {str(os.getpid())}) == 4


def test_a_job_that_fails_stops_the_others_and_says_why(tmp_path, capfd):
    jobs = [
        Job("endless", wait_for_the_end, (tmp_path / "pid",)),
        Job("refused", _refuse_after, (tmp_path / "pid",)),
    ]
    with pytest.raises(CardexError, match="refused ended with 1"):
        run_jobs(jobs, 2)
    assert (tmp_path / "pid.ended").exists()
    assert "refused: " in capfd.readouterr().err


def _refuse_after(path: Path) -> None:
    while not path.exists() or not path.read_text():
        time.sleep(0.02)
    refuse(path)


def test_sigterm_stops_every_process(tmp_path):
    places = [tmp_path / "a", tmp_path / "b"]
    jobs = [Job(path.name, wait_for_the_end, (path,)) for path in places]

    def stop() -> None:
        while not all(path.exists() for path in places):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    with pytest.raises(Stopped):
        run_jobs(jobs, 2)
    assert all(path.with_suffix(".ended").exists() for path in places)
