"""One writer of the report index at a time, over all gateways."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cardex.domain.errors import CardexError, Overloaded, Unavailable
from cardex.stores.index_lock import IndexLock

logger = logging.getLogger(__name__)


class Writer:
    """The right to write, while it lasts."""

    def __init__(self, lease: IndexLock) -> None:
        """Hold a lease that was just taken."""
        self._lease = lease
        self._until = time.monotonic() + lease.lease_s

    def require(self) -> None:
        """Refuse to write on where another may have begun.

        Raises:
            Unavailable: if the lease could not be renewed in time.
        """
        if time.monotonic() >= self._until:
            raise Unavailable(
                f"the state store was away for {self._lease.lease_s:g} s, so another client may write the"
                " index: send the reports again",
                reason="INDEX_BUSY",
                retry_after_s=self._lease.lease_s,
            )

    async def keep(self) -> None:
        """Renew the lease again and again."""
        while True:
            await asyncio.sleep(self._lease.lease_s / 3)
            await self.renew()

    async def renew(self) -> None:
        """Hold on for another lease, where nobody else has it."""
        asked = time.monotonic()
        try:
            held = await asyncio.to_thread(self._lease.renew)
        except CardexError as error:
            logger.warning("the right to write the index was not renewed: %s", error.message)
            return
        self._until = asked + self._lease.lease_s if held else 0.0


@asynccontextmanager
async def alone(lease: Callable[[], IndexLock]) -> AsyncIterator[Writer]:
    """Write the index alone; a gateway that dies meanwhile is waited for no longer than its lease.

    Raises:
        Overloaded: if another client writes, through whichever gateway.
        Unavailable: if the state store is down.
    """
    mine = lease()
    if not await asyncio.to_thread(mine.take):
        raise Overloaded(
            "another client is writing the index, or was cut off just now: try again in"
            f" {mine.lease_s:g} s",
            reason="INDEX_BUSY",
            retry_after_s=mine.lease_s,
        )
    writer = Writer(mine)
    keeping = asyncio.create_task(writer.keep())
    try:
        yield writer
    finally:
        keeping.cancel()
        await asyncio.shield(asyncio.to_thread(mine.release))
