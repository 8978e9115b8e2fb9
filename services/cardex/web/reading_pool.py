"""Threads for what this process computes itself: few, with a short queue before them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cardex.domain.errors import Overloaded

THREADS = 2
MAX_HELD = 16
"""Tasks that run or wait; each holds an upload in memory."""

T = TypeVar("T")


class ReadingPool:
    """Runs what takes longer than an event loop may stand still."""

    def __init__(self, threads: int = THREADS, max_held: int = MAX_HELD) -> None:
        """Run on so many threads, and hold at most so many tasks."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reading")
        self._max_held = max_held
        self._held = 0

    async def run(self, task: Callable[[], T]) -> T:
        """Return what a task returns, or raise its error.

        Raises:
            Overloaded: if too many tasks are held already.
        """
        if self._held >= self._max_held:
            raise Overloaded(
                f"{self._held} ECGs are being read here: try again in a second",
                reason="READING_FULL",
                retry_after_s=1.0,
            )
        self._held += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, task)
        finally:
            self._held -= 1

    def close(self) -> None:
        """Start no task that waits still."""
        self._pool.shutdown(wait=False, cancel_futures=True)
