"""`make bench-kills`: an archive by `cardex submit`, of which each part is killed in the midst.

The client, the gateway, a routine worker and the state store die by SIGKILL, one after another, and
come back as they do everywhere: the parts by their supervisor, the client by the same command. What
is counted are recordings without an answer, answers written twice, and jobs beyond one a recording.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import redis

from cardex.api.recordings import load, recordings
from cardex.domain.ecg import Waveform
from cardex.local_stack.dataset import DemoData
from cardex.signals.readers import read
from cardex.stores.job_queue import PREFIX
from loadtest.files import cut, wfdb_of
from loadtest.house import House, house
from loadtest.report import publish

RECORDS = 20_000
SECONDS, DECIMATION = 5.0, 5
KILLED = ("client", "gateway", "worker-routine-1", "state")
LOOK_S = 0.2
READ_BYTES = 2**20
AIMS = {"without an answer": "0", "answered twice": "0", "jobs beyond one a recording": "0"}


class Submission:
    """`cardex submit` of a folder, which goes on where it was killed."""

    def __init__(self, target: str, folder: Path, results: Path) -> None:
        """Begin."""
        self._command = [sys.executable, "-m", "cardex", "submit", str(folder),
                         "--results", str(results)]  # fmt: skip
        self._env = os.environ | {"CARDEX_GATEWAY_TARGET": target}
        self._results = results
        self._lines = self._read = 0
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._env, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """Kill the client, and call it again."""
        self._process.kill()
        self._process.wait()
        self._start()

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    def written(self) -> Counter[str]:
        """Return how many answers each file has, without a line that is not whole yet."""
        if not self._results.exists():
            return Counter()
        lines = self._results.read_bytes().rpartition(b"\n")[0].splitlines()
        bodies = map(json.loads, lines)
        return Counter(body["file"] for body in bodies if "answer" in body)

    def lines(self) -> int:
        """Return how many results are written."""
        if self._results.exists():
            with self._results.open("rb") as file:
                file.seek(self._read)
                while part := file.read(READ_BYTES):
                    self._lines += part.count(b"\n")
                    self._read += len(part)
        return self._lines


def write_archive(folder: Path, data: DemoData, count: int) -> None:
    """Write `count` WFDB records of 5 s at 100 Hz, no two alike."""
    waveforms = [read(load(files)) for files in recordings(data.cpsc)]
    for number in range(count):
        lap, index = divmod(number, len(waveforms))
        waveform = waveforms[index]
        window = cut(waveform.signal, round(SECONDS * waveform.rate), number)[:, ::DECIMATION]
        small = Waveform(window + np.float32(0.001 * lap), waveform.rate / DECIMATION)
        for part in wfdb_of(small, f"{number:06d}"):
            (folder / part.name).write_bytes(part.content)


def measure(own: House, folder: Path, records: int, killed: Sequence[str]) -> dict[str, float]:
    """Submit the archive, kill each part at its share of the way, and count."""
    start = time.monotonic()
    submission = Submission(own.endpoints.gateway, folder, folder.parent / "results.jsonl")
    due = [(place + 1) * records // (len(killed) + 1) for place in range(len(killed))]
    for part, lines in zip(killed, due, strict=True):
        while submission.lines() < lines:
            _look(own, submission)
        print(f"{submission.lines()} of {records} written: {part} is killed", flush=True)
        if part == "client":
            submission.kill()
        else:
            os.killpg(own.stack.pids[part], signal.SIGKILL)
    while submission.status is None:
        _look(own, submission)
    seconds = time.monotonic() - start
    answers = submission.written()
    jobs = sum(1 for _ in redis.Redis.from_url(own.endpoints.state).scan_iter(f"{PREFIX}job:*"))
    return {
        "recordings": records,
        "records/s": records / seconds,
        "without an answer": records - len(answers),
        "answered twice": sum(1 for count in answers.values() if count > 1),
        "jobs beyond one a recording": jobs - records,
        "exit status of the last call": submission.status or 0,
    }


def _look(own: House, submission: Submission) -> None:
    if submission.status:
        raise SystemExit(f"cardex submit ended with status {submission.status}")
    own.stack.tend()
    time.sleep(LOOK_S)


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="cardex-kills-") as name, house() as own:
        folder = Path(name) / "archive"
        folder.mkdir()
        write_archive(folder, own.data, options.records)
        publish("bench-kills", measure(own, folder, options.records, KILLED), AIMS)


if __name__ == "__main__":
    main()
