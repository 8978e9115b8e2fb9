"""Sweeps the queues, watches what the gateway depends on, and tells the health service."""

import asyncio
import logging
from collections.abc import Callable

from grpc_health.v1 import health, health_pb2

from cardex.domain.errors import CardexError, ConfigurationError, Unavailable
from cardex.domain.jobs import Priority
from cardex.gateway.keys import KeyRing
from cardex.gateway.metrics import SWEPT
from cardex.retrieval.dependencies import Dependencies

logger = logging.getLogger(__name__)

PERIOD_S = 1.0
EXAMINATION_S = 5.0
"""An examination that takes longer means that a part hangs."""
PATIENCE_TICKS = 4
RETRIEVAL = "cardex.v1.EcgRetrievalService"
INDEX = "cardex.v1.ReportIndexService"


class HealthMonitor:
    """Ticks once a second, from the start of the gateway to its end."""

    def __init__(
        self,
        dependencies: Dependencies,
        servicer: health.aio.HealthServicer,
        keys: KeyRing | None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Watch `dependencies`, tell `servicer`, and call `on_tick` after each look."""
        self._dependencies = dependencies
        self._health = servicer
        self._keys = keys
        self._on_tick = on_tick
        self._one_at_a_time = asyncio.Lock()
        self._examining: asyncio.Task[CardexError | None] | None = None
        self._outage: CardexError | None = Unavailable("starting", retry_after_s=PERIOD_S)
        self._ticks_of_outage = 0
        self.lasting_outage = asyncio.Event()
        """Set while an outage has lasted so long that nobody should go on waiting."""

    def require(self) -> None:
        """Refuse what would have to wait for a part that is down or does not fit.

        Raises:
            CardexError: the outage found by the last tick.
        """
        if self._outage is not None:
            raise self._outage.with_traceback(None)

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await self.tick()
            await asyncio.sleep(PERIOD_S)

    async def tick(self) -> None:
        """Examine the parts once, and tell what was found."""
        async with self._one_at_a_time:
            await self._tick()
        self._on_tick()

    async def _tick(self) -> None:
        before = self._outage
        self._outage = await self._examined()
        self._ticks_of_outage = self._ticks_of_outage + 1 if self._outage else 0
        if self._ticks_of_outage >= PATIENCE_TICKS:
            self.lasting_outage.set()
        else:
            self.lasting_outage.clear()
        await self._tell()
        if (self._outage and self._outage.reason) != (before and before.reason):
            logger.info("state: %s", self._outage.message if self._outage else "serving")
        if self._keys is not None:
            try:
                self._keys.reload()
            except ConfigurationError as error:
                logger.warning("%s; the old keys stay in force", error.message)

    async def _examined(self) -> CardexError | None:
        """Wait for the examination that runs, or a new one, but not longer than a part may take."""
        if self._examining is None:
            self._examining = asyncio.create_task(asyncio.to_thread(self._examine))
        done, _ = await asyncio.wait([self._examining], timeout=EXAMINATION_S)
        if not done:
            return Unavailable(
                f"a part has not answered for {EXAMINATION_S:g} s", retry_after_s=PERIOD_S
            )
        found, self._examining = self._examining.result(), None
        return found

    def _examine(self) -> CardexError | None:
        try:
            for priority in Priority:
                self._sweep(priority)
            self._dependencies.encoder.ping()
            self._dependencies.active_index.current()
        except CardexError as error:
            return error
        return None

    def _sweep(self, priority: Priority) -> None:
        swept = self._dependencies.jobs.sweep(priority)
        SWEPT.labels(priority.value, "requeued").inc(swept.requeued)
        SWEPT.labels(priority.value, "failed").inc(swept.failed)
        if swept.requeued or swept.failed:
            logger.warning(
                "%s: %d jobs of lost workers wait again, %d gave up",
                priority.value, swept.requeued, swept.failed,
            )  # fmt: skip

    async def _tell(self) -> None:
        serving = health_pb2.HealthCheckResponse.SERVING
        retrieval = health_pb2.HealthCheckResponse.NOT_SERVING if self._outage else serving
        # The index service is what mends a missing or mismatched index, so it serves without one.
        down = isinstance(self._outage, Unavailable)
        index = health_pb2.HealthCheckResponse.NOT_SERVING if down else serving
        for service, status in (("", retrieval), (RETRIEVAL, retrieval), (INDEX, index)):
            await self._health.set(service, status)
