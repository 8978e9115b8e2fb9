"""The ideal monolith: the work of a record by Cardex's own functions, and nothing else.

One process a core, each with batches of its own: no queue, no network, no durability, no cache, and
an index that cannot change. It is the most that this machine can do of this work, so what Cardex
needs beyond it is the price of all that.
"""

import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from multiprocessing.connection import Connection

from cardex.api.convert.ecg import to_payload
from cardex.api.convert.jobs import decode_answer
from cardex.api.pb.v1 import ecg_pb2
from loadtest.peers.work import load_work

BATCH = 16
ONE_BY_ONE = ("read", "clean")
"""Stages whose time an answer tells for its own ECG; the others' is that of its batch."""
REST = "findings, draft, encoding"


class Monolith:
    """Processes that are loaded and wait for ECGs; close it after use."""

    def __init__(self) -> None:
        """Start one process a core. Each computes in one thread."""
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        # BLAS reads it when a process loads it; with two threads it would take the other's core.
        os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        for _ in range(os.cpu_count() or 1):
            here, there = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(there,), daemon=True)
            process.start()
            self._pipes.append(here)
            self._processes.append(process)
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            del os.environ[name]
        for pipe in self._pipes:
            pipe.recv()

    def measure(self, ecgs: Sequence[ecg_pb2.Ecg]) -> tuple[float, dict[str, float]]:
        """Answer ECGs; returns records/s, and core-ms a record by step."""
        payloads = [to_payload(ecg) for ecg in ecgs]
        count = len(self._pipes)
        for number, pipe in enumerate(self._pipes):
            pipe.send(payloads[number::count])
        for pipe in self._pipes:
            pipe.recv()  # it has its payloads
        start = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(True)
        steps: defaultdict[str, float] = defaultdict(float)
        for pipe in self._pipes:
            for step, seconds in pipe.recv().items():
                steps[step] += seconds
        per_s = len(payloads) / (time.perf_counter() - start)
        return per_s, {step: seconds / len(payloads) * 1000 for step, seconds in steps.items()}

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()


def _serve(there: Connection) -> None:
    work = load_work()
    there.send(True)
    while (payloads := there.recv()) is not None:
        there.send(True)
        there.recv()
        before = time.thread_time()
        answers: list[bytes] = []
        for first in range(0, len(payloads), BATCH):
            answers += work.answer(payloads[first : first + BATCH])
        there.send(_steps(answers, time.thread_time() - before))


def _steps(answers: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Return the seconds of each step, of which answers tell all but the last.

    They tell times by the clock, which are those of the core as long as nothing else wants it.
    """
    steps: defaultdict[str, float] = defaultdict(float)
    for message in answers:
        for stage in decode_answer(message).stages:
            share = 1 if stage.stage in ONE_BY_ONE else BATCH
            steps[stage.stage] += stage.duration.ToMicroseconds() / 1e6 / share
    del steps["queue"]
    return steps | {REST: seconds - sum(steps.values())}
