"""What is still to be submitted and to be watched, shared by the threads of an archive."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

from cardex.api.archive.found import Recording

MAX_OPEN = 4_000
BATCH = 500


class Backlog:
    """Recordings on their way: to submit, open, to watch. At most `MAX_OPEN` jobs are open.

    Its methods may be called from any thread.
    """

    def __init__(self, recordings: Iterable[Recording]) -> None:
        """Begin with recordings to be submitted."""
        self._source = iter(recordings)
        self._again: deque[Recording] = deque()
        self._open: dict[str, Recording] = {}
        self._unwatched: deque[str] = deque()
        self._delivering = 0
        self._halted = False
        self._changed = threading.Condition()

    @property
    def open_jobs(self) -> int:
        """How many jobs are submitted and have no result yet."""
        return len(self._open)

    def halt(self) -> None:
        """End every wait, now and later."""
        with self._changed:
            self._halted = True
            self._changed.notify_all()

    def next_batch(self) -> list[Recording]:
        """Wait until there is room, and return what to submit next; nothing when all is done."""
        with self._changed:
            while not self._halted:
                if len(self._open) + BATCH <= MAX_OPEN:
                    if batch := self._taken(BATCH):
                        return batch
                    if not self._open and not self._delivering:
                        return []
                self._changed.wait()
        return []

    def _taken(self, count: int) -> list[Recording]:
        batch = [self._again.popleft() for _ in range(min(count, len(self._again)))]
        return batch + list(islice(self._source, count - len(batch)))

    def submit_again(self, recordings: Iterable[Recording]) -> None:
        """Take back recordings that became no job."""
        with self._changed:
            self._again.extend(recordings)
            self._changed.notify_all()

    def opened(self, job_id: str, recording: Recording) -> None:
        """Take in a job that is to be watched."""
        with self._changed:
            if job_id not in self._open:
                self._unwatched.append(job_id)
            self._open[job_id] = recording
            self._changed.notify_all()

    def next_watch(self, count: int) -> list[str]:
        """Wait for jobs that nobody watches, and return up to `count`; none when all is done."""
        with self._changed:
            while not self._unwatched and not self._halted:
                self._changed.wait()
            if self._halted:
                return []
            return [self._unwatched.popleft() for _ in range(min(count, len(self._unwatched)))]

    def watch_again(self, job_ids: Iterable[str]) -> None:
        """Take back jobs whose watch ended before they did."""
        with self._changed:
            self._unwatched.extend(job_ids)
            self._changed.notify_all()

    def recording(self, job_id: str) -> Recording | None:
        """Return the recording of an open job."""
        return self._open.get(job_id)

    def closed(self, job_id: str) -> None:
        """Let go of a job whose result was delivered."""
        with self._changed:
            self._open.pop(job_id, None)
            self._changed.notify_all()

    def expired(self, job_id: str) -> None:
        """Have the recording of a job that the gateway does not know submitted again."""
        with self._changed:
            if recording := self._open.pop(job_id, None):
                self._again.append(recording)
            self._changed.notify_all()

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Count a result that is on its way as unfinished work."""
        with self._changed:
            self._delivering += 1
        try:
            yield
        finally:
            with self._changed:
                self._delivering -= 1
                self._changed.notify_all()
