"""Keeps the leases of the jobs that this process holds alive."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cardex.domain.errors import CardexError
from cardex.domain.jobs import Claim
from cardex.stores.job_queue import JobQueue

logger = logging.getLogger(__name__)

MAX_HOLD_S = 120.0
"""A job held longer than this is stuck: its lease is let go, and another worker takes it."""


class LeaseHeartbeat:
    """Extends the leases of held jobs from one thread, until they are let go."""

    def __init__(self, jobs: JobQueue, on_beat: Callable[[], None] = lambda: None) -> None:
        """Extend leases at `jobs`, three times in each lease's length.

        Args:
            jobs: the job records.
            on_beat: called each time, as long as no job is stuck.
        """
        self._jobs = jobs
        self._on_beat = on_beat
        self._held: dict[str, tuple[float, Sequence[Claim]]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    @contextmanager
    def hold(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Keep the leases of claims of one token while the block runs."""
        token = claims[0].token
        with self._lock:
            self._held[token] = (time.monotonic(), claims)
        try:
            yield
        finally:
            with self._lock:
                del self._held[token]

    def _run(self) -> None:
        while True:
            time.sleep(self._jobs.limits.lease_s / 3)
            with self._lock:
                held = list(self._held.values())
            moving = [claims for since, claims in held if time.monotonic() - since < MAX_HOLD_S]
            for claims in moving:
                self._extend(claims)
            if len(moving) == len(held):
                self._on_beat()

    def _extend(self, claims: Sequence[Claim]) -> None:
        try:
            self._jobs.extend(claims)
        except CardexError as error:
            logger.warning("cannot extend the leases of %d jobs: %s", len(claims), error.reason)
