"""What a stack does while it is under load, looked at twice a second."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import redis

from cardex.api.client import Client
from cardex.api.pb.v1 import job_pb2
from cardex.domain.errors import CardexError
from cardex.local_stack.stack import Stack

PERIOD_S = 0.5
MEGABYTE = 1e6
PAGE = 4096


@dataclass(slots=True)
class Samples:
    """Series of equal length.

    Attributes:
        seconds: since the first sample.
        depth: routine jobs that wait.
        age_s: how long the oldest of them has waited.
        stat_age_s: the same of STAT.
        memory_mb: resident memory by process, and what the state store holds as "state store".
    """

    seconds: list[float] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    age_s: list[float] = field(default_factory=list)
    stat_age_s: list[float] = field(default_factory=list)
    memory_mb: dict[str, list[float]] = field(default_factory=dict)


class Sampler:
    """Takes samples from a thread while a block runs."""

    def __init__(self, stack: Stack, client: Client) -> None:
        """Look at `stack`, and ask `client` for its queues."""
        assert stack.endpoints is not None
        self._client = client
        self._state = redis.Redis.from_url(stack.endpoints.state)
        self._pids = stack.pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples = Samples()

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        start = time.perf_counter()
        while not self._stop.wait(PERIOD_S):
            try:
                queues = {queue.priority: queue for queue in self._client.info().queues}
            except CardexError:
                continue  # it is busy; the next look tells more
            routine = queues[job_pb2.PRIORITY_ROUTINE]
            samples = self.samples
            samples.seconds.append(time.perf_counter() - start)
            samples.depth.append(routine.depth)
            samples.age_s.append(routine.oldest_age_s)
            samples.stat_age_s.append(queues[job_pb2.PRIORITY_STAT].oldest_age_s)
            memory = {name: _resident(pid) for name, pid in self._pids.items()}
            memory["state store"] = int(self._state.info("memory")["used_memory"])
            for name, held in memory.items():
                samples.memory_mb.setdefault(name, []).append(held / MEGABYTE)


def _resident(pid: int) -> int:
    """Return the resident memory of a process, bytes; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0
