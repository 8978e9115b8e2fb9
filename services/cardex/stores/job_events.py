"""The stream of job changes, and the tasks that wait for it."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from cardex.domain.errors import InvalidQuestion, Unavailable
from cardex.domain.jobs import JobState
from cardex.stores.job_queue import EVENTS
from cardex.stores.redis import mapped

logger = logging.getLogger(__name__)

REMEMBERED = 20_000
CHUNK = 500
BLOCK_MS = 2_000


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one job; the cursor is its place in the stream."""

    cursor: str
    job_id: str
    state: JobState
    owner: str


class JobEvents:
    """Follows the stream with one connection and wakes who waits for a job.

    After a lost connection it goes on from the last event seen, so no change is missed.
    """

    def __init__(self, url: str) -> None:
        """Follow the stream of the state store at `url`."""
        self._redis = redis.Redis.from_url(url, socket_timeout=BLOCK_MS / 1000 + 5)
        self._latest = ""
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._news = asyncio.Condition()

    async def follow(self) -> None:
        """Read the stream until cancelled."""
        while True:
            try:
                if not self._latest:
                    self._latest = await self.latest()
                read: Any = await self._redis.xread({EVENTS: self._latest}, CHUNK, BLOCK_MS)
                if read:
                    await self._take(_events(read[0][1]))
            except (Unavailable, RedisError, OSError) as error:
                logger.warning("the job events cannot be read: %s", type(error).__name__)
                await asyncio.sleep(0.5)

    async def _take(self, events: list[Event]) -> None:
        for event in events:
            self._latest = event.cursor
            if event.state.final:
                self._ended[event.job_id] = None
                for future in self._waiting.get(event.job_id, ()):
                    if not future.done():
                        future.set_result(None)
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        async with self._news:
            self._news.notify_all()

    @contextmanager
    def ending(self, job_id: str) -> Iterator[asyncio.Future[None]]:
        """Yield a future that is done when the job is final, also if that was just before."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if job_id in self._ended:
            future.set_result(None)
        waiting = self._waiting.setdefault(job_id, set())
        waiting.add(future)
        try:
            yield future
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(job_id, None)

    async def latest(self) -> str:
        """Return the cursor of the newest event."""
        with mapped("the state store"):
            newest = await self._redis.xrevrange(EVENTS, count=1)
        return _events(newest)[0].cursor if newest else "0-0"

    async def check(self, cursor: str) -> None:
        """Check that every event after a cursor is still there.

        Raises:
            InvalidQuestion: if some were dropped.
        """
        with mapped("the state store"):
            oldest = _events(await self._redis.xrange(EVENTS, count=1))
        if oldest and _place(cursor) < _place(oldest[0].cursor):
            raise InvalidQuestion(
                f"the events after cursor {cursor} are gone: ask for the jobs by their ids",
                reason="CURSOR_EXPIRED",
                field="cursor",
            )

    async def after(self, cursor: str) -> list[Event]:
        """Return the next events after a cursor, waiting for at least one."""
        while True:
            with mapped("the state store"):
                entries = await self._redis.xrange(EVENTS, min=f"({cursor}", count=CHUNK)
            if entries:
                return _events(entries)
            async with self._news:
                # The time-out covers an event between the read and the wait.
                try:
                    await asyncio.wait_for(self._news.wait(), 1.0)
                except TimeoutError:
                    continue

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


def _place(cursor: str) -> tuple[int, int]:
    milliseconds, _, number = cursor.partition("-")
    return int(milliseconds), int(number)


def _events(entries: Any) -> list[Event]:  # noqa: ANN401  the client's types know no RESP version
    return [
        Event(
            cursor.decode(),
            fields[b"job"].decode(),
            JobState(fields[b"state"].decode()),
            fields[b"owner"].decode(),
        )
        for cursor, fields in entries
    ]
