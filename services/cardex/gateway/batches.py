"""A stream of ECGs, taken in as units of what has arrived, and acknowledged one by one."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cardex.api.convert.jobs import error_message, job_envelope
from cardex.api.pb.internal.v1.envelope_pb2 import BatchEnvelope, BatchResponse
from cardex.domain.errors import CardexError, Overloaded
from cardex.gateway.keys import Principal
from cardex.gateway.submissions import SubmissionService, Taken

UNIT_ITEMS = 64
UNIT_BYTES = 512 * 1024
"""A unit of this size holds the state store up for a few milliseconds."""
HELD_ITEMS = 256
HELD_BYTES = 16 * 1024 * 1024
"""What is held of one stream and not acknowledged; over it the client is slowed down."""
RETRY_S = 1.0


@dataclass(slots=True)
class _Item:
    """One item on its way: its request until it is taken in, then its response."""

    request: BatchEnvelope | None
    size: int
    not_before: float = 0.0
    response: BatchResponse | None = None


class BatchStream:
    """One stream: reads ahead, submits what has arrived as a unit, and yields acknowledgements.

    While a unit is in a thread the next one arrives, so units grow with the load by themselves.
    """

    def __init__(self, submissions: SubmissionService, caller: Principal) -> None:
        """Submit by `submissions` for `caller`."""
        self._submissions = submissions
        self._caller = caller
        self._items: deque[_Item] = deque()
        self._held_bytes = 0
        self._any_order: bool | None = None
        self._ended = False
        self._arrived = asyncio.Event()
        self._freed = asyncio.Event()
        self._ready: asyncio.Queue[BatchResponse | None] = asyncio.Queue()

    async def responses(
        self, requests: AsyncIterator[BatchEnvelope]
    ) -> AsyncIterator[BatchResponse]:
        """Yield what became of each item; in their order, unless the first asks for any."""
        # The work's own error first: without it the reader waits for a client that waits for us.
        tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._read(requests))]
        try:
            while (response := await self._ready.get()) is not None:
                self._freed.set()
                yield response
            for task in tasks:
                await task
        finally:
            for task in tasks:
                task.cancel()

    async def _read(self, requests: AsyncIterator[BatchEnvelope]) -> None:
        try:
            async for request in requests:
                if self._any_order is None:
                    self._any_order = request.any_order
                await self._submissions.pace(self._caller)
                await self._room()
                size = request.ByteSize()
                self._items.append(_Item(request, size))
                self._held_bytes += size
                self._arrived.set()
        finally:
            self._ended = True
            self._arrived.set()

    async def _room(self) -> None:
        """Wait while too much is held, or too many acknowledgements were not read."""
        while (
            len(self._items) + self._ready.qsize() >= HELD_ITEMS or self._held_bytes >= HELD_BYTES
        ):
            self._freed.clear()
            await self._freed.wait()

    async def _work(self) -> None:
        try:
            while self._items or not self._ended:
                if unit := self._unit():
                    await self._submit(unit)
                    self._acknowledge()
                else:
                    await self._something_to_do()
        finally:
            self._ready.put_nowait(None)

    def _unit(self) -> list[_Item]:
        """Return the items that are due, as many as one unit may hold."""
        now, unit, size = time.monotonic(), list[_Item](), 0
        for item in self._items:
            if item.request is None or item.not_before > now:
                continue
            if unit and (len(unit) == UNIT_ITEMS or size + item.size > UNIT_BYTES):
                break
            unit.append(item)
            size += item.size
        return unit

    async def _something_to_do(self) -> None:
        """Wait until an item arrives, the stream ends, or one that was put off is due."""
        self._arrived.clear()
        due = min((item.not_before for item in self._items if item.request), default=None)
        if due is None and self._ended:
            return
        timeout = None if due is None else max(0.0, due - time.monotonic())
        try:
            await asyncio.wait_for(self._arrived.wait(), timeout)
        except TimeoutError:
            return

    async def _submit(self, unit: list[_Item]) -> None:
        taken = await self._submissions.submit_unit(
            [item.request for item in unit if item.request is not None], self._caller
        )
        for item, outcome in zip(unit, taken, strict=True):
            if isinstance(outcome, Overloaded):  # it waits until there is room
                item.not_before = time.monotonic() + (outcome.retry_after_s or RETRY_S)
            else:
                assert item.request is not None
                item.response = _response(item.request.item_id, outcome)
                item.request = None
                self._held_bytes -= item.size

    def _acknowledge(self) -> None:
        kept: deque[_Item] = deque()
        while self._items:
            item = self._items.popleft()
            if item.response is not None and (self._any_order or not kept):
                self._ready.put_nowait(item.response)
            else:
                kept.append(item)
        self._items = kept
        self._freed.set()


def _response(item_id: str, taken: Taken) -> BatchResponse:
    if isinstance(taken, CardexError):
        return BatchResponse(item_id=item_id, error=error_message(taken).SerializeToString())
    return BatchResponse(item_id=item_id, job=job_envelope(taken, with_answer=False))
