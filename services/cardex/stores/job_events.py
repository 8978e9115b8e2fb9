"""The stream of job changes: read once per process, and told from memory to all who wait."""

import asyncio
import logging
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from cardex.domain.errors import InvalidQuestion, Unavailable
from cardex.domain.jobs import JobState
from cardex.stores.job_queue import EVENTS
from cardex.stores.redis import connect_async, mapped
from cardex.stores.scripts import STORE

logger = logging.getLogger(__name__)

REMEMBERED = 20_000
CHUNK = 500
BLOCK_MS = 2_000
CLOCK_S = 60
NO_EVENTS = "0-0"
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Jobs of one owner that came to one state in one step; the cursor is their place."""

    cursor: str
    job_ids: tuple[str, ...]
    state: JobState
    owner: str


class JobEvents:
    """Follows the stream with one connection and wakes who waits for a job or for any change.

    After a lost connection it goes on from the last event seen, so no change is missed.
    """

    def __init__(self, url: str) -> None:
        """Follow the stream of the state store at `url`."""
        self._redis = connect_async(url, timeout_s=BLOCK_MS / 1000 + 5)
        self._latest = ""
        self._recent: list[JobEvent] = []
        self._places: list[Place] = []
        self._complete_after: Place | None = None
        self._begun_at: Place | None = None
        self._first: Place | None = None
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._news = asyncio.Event()

    async def follow(self) -> None:
        """Read the stream until cancelled."""
        while True:
            try:
                if self._complete_after is None:
                    self._latest = await self.latest()
                    self._begun_at = await self._known_from(self._latest)
                    self._complete_after = self._begun_at
                    self._wake_all()
                read: Any = await self._redis.xread({EVENTS: self._latest}, CHUNK, BLOCK_MS)
                if read:
                    self._take(_events(read[0][1]))
            except (Unavailable, RedisError, OSError) as error:
                logger.warning("the job events cannot be read: %s", type(error).__name__)
                await asyncio.sleep(0.5)

    def _wake_all(self) -> None:
        """Let all who wait look at their jobs: an end before this moment is told by no event."""
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)

    async def _known_from(self, latest: str) -> Place:
        """Return the place after which every event will be in memory."""
        if latest != NO_EVENTS:
            return _place(latest)
        # An empty stream may have lost what a client saw in it before: only from now on all is
        # known.
        seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000, 0

    def _take(self, events: list[JobEvent]) -> None:
        self._latest = events[-1].cursor
        self._first = self._first or _place(events[0].cursor)
        self._recent += events
        self._places += [_place(event.cursor) for event in events]
        for event in events:
            if event.state.final:
                self._end(event.job_ids)
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        if len(self._recent) > 2 * REMEMBERED:
            surplus = len(self._recent) - REMEMBERED
            self._complete_after = self._places[surplus - 1]
            del self._recent[:surplus], self._places[:surplus]
        self._news.set()
        self._news = asyncio.Event()

    def _end(self, job_ids: tuple[str, ...]) -> None:
        for job_id in job_ids:
            self._ended[job_id] = None
            for future in self._waiting.get(job_id, ()):
                if not future.done():
                    future.set_result(None)

    @contextmanager
    def ending(self, job_id: str) -> Iterator[asyncio.Future[None]]:
        """Yield a future that is done when the job is final, also if that was just before.

        It is done too where an end may have been missed: look at the job, and wait again.
        """
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
        """Return the cursor of the newest event.

        Raises:
            Unavailable: if the state store is down and nothing was read from it yet.
        """
        if self._complete_after is not None:
            return max(self._latest, "{}-{}".format(*self._complete_after), key=_place)
        with mapped(STORE):
            newest = await self._redis.xrevrange(EVENTS, count=1)
        return _events(newest)[0].cursor if newest else NO_EVENTS

    async def check(self, cursor: str) -> None:
        """Check that every event after a cursor is still there.

        Raises:
            InvalidQuestion: if some were dropped, or the cursor lies in the future.
            Unavailable: if the state store is down.
        """
        place = _place(cursor)
        first = self._complete_after
        if first is not None and first <= place <= _place(self._latest):
            return
        with mapped(STORE):
            oldest = _events(await self._redis.xrange(EVENTS, count=1))
            seconds, _ = await self._redis.time()
        if place[0] > (int(seconds) + CLOCK_S) * 1000:
            raise InvalidQuestion(
                f"cursor {cursor} is of no event: send the cursor of an earlier WatchJobsResponse",
                reason="CURSOR",
                field="cursor",
            )
        if oldest and self._dropped(place, _place(oldest[0].cursor)):
            raise InvalidQuestion(
                f"the events after cursor {cursor} are gone: ask for the jobs by their ids",
                reason="CURSOR_EXPIRED",
                field="cursor",
            )

    def _dropped(self, place: Place, oldest: Place) -> bool:
        """Tell whether events after a place are gone, given the oldest that is left."""
        if place >= oldest:
            return False
        # A place from when the stream was empty is no event's, and misses nothing before the first.
        seen_all = self._begun_at is not None and place >= self._begun_at
        return not (seen_all and self._first is not None and oldest <= self._first)

    async def after(self, cursor: str) -> list[JobEvent]:
        """Return the next events after a cursor, waiting for at least one.

        Events older than what this process remembers are read from the state store, all others come
        from memory: no waiting caller asks the store again.

        Raises:
            InvalidQuestion: if events after the cursor were dropped before they were told.
            Unavailable: if older events are asked for and the state store is down.
        """
        place = _place(cursor)
        while True:
            if self._complete_after is None or place < self._complete_after:
                with mapped(STORE):
                    entries = await self._redis.xrange(EVENTS, min=f"({cursor}", count=CHUNK)
                if cursor != NO_EVENTS:
                    await self.check(cursor)
                if entries:
                    return _events(entries)
            first = bisect_right(self._places, place)
            if first < len(self._recent):
                return self._recent[first : first + CHUNK]
            await self._news.wait()

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


def _place(cursor: str) -> Place:
    milliseconds, _, number = cursor.partition("-")
    return int(milliseconds), int(number)


def _events(entries: Any) -> list[JobEvent]:  # noqa: ANN401  the client's types know no RESP version
    return [
        JobEvent(
            cursor.decode(),
            tuple((fields.get(b"jobs") or fields[b"job"]).decode().split()),
            JobState(fields[b"state"].decode()),
            fields[b"owner"].decode(),
        )
        for cursor, fields in entries
    ]
