"""Blocking calls in threads: the store's apart from those of Milvus and Triton, which may hang."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

SLOW_THREADS = 16


class SlowCalls:
    """Threads for calls of Milvus and Triton: while these hang, known answers need none of them."""

    def __init__(self) -> None:
        """Start no thread before it is needed."""
        self._threads = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="slow")

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function in a thread; a caller that goes away does not stop it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def run_to_end(self, function: Callable[[], T]) -> T:
        """Call a function in a thread, and wait for its end even if the caller goes away.

        So what follows, such as the release of a lock, never runs beside it.
        """
        running = asyncio.ensure_future(self.run(function))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                with suppress(asyncio.CancelledError):  # a server that stops cancels again
                    await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # seen: the caller that would hear of it is gone
            raise
