"""What the gateway does on its own: sweeps the queues, watches the parts, tells the health service."""

import asyncio
import logging

from grpc_health.v1 import health, health_pb2

from cardex.domain.errors import CardexError, ConfigurationError, Unavailable
from cardex.domain.jobs import Priority
from cardex.gateway.keys import KeyRing
from cardex.gateway.metrics import SWEPT
from cardex.retrieval.dependencies import Dependencies
from cardex.stores.broker import Doorbell

logger = logging.getLogger(__name__)

PERIOD_S = 1.0
PATIENCE_BEATS = 4
RETRIEVAL = "cardex.v1.EcgRetrievalService"
INDEX = "cardex.v1.ReportIndexService"


class HealthMonitor:
    """Beats once a second, from the start of the gateway to its end."""

    def __init__(
        self,
        parts: Dependencies,
        doorbell: Doorbell,
        servicer: health.aio.HealthServicer,
        keys: KeyRing | None,
    ) -> None:
        """Watch `parts` and tell `servicer`."""
        self._parts = parts
        self._doorbell = doorbell
        self._health = servicer
        self._keys = keys
        self._trouble: CardexError | None = Unavailable("starting", retry_after_s=PERIOD_S)
        self._troubled_beats = 0
        self.lasting = asyncio.Event()
        """Set while a trouble has lasted so long that nobody should go on waiting."""

    def require(self) -> None:
        """Refuse what would have to wait for a part that is down or does not fit.

        Raises:
            CardexError: the trouble found by the last beat.
        """
        if self._trouble is not None:
            raise self._trouble.with_traceback(None)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(PERIOD_S)

    async def beat(self) -> None:
        """Beat once."""
        before = self._trouble
        self._trouble = await asyncio.to_thread(self._examine)
        self._troubled_beats = self._troubled_beats + 1 if self._trouble else 0
        if self._troubled_beats >= PATIENCE_BEATS:
            self.lasting.set()
        else:
            self.lasting.clear()
        await self._tell()
        if (self._trouble and self._trouble.reason) != (before and before.reason):
            logger.info("state: %s", self._trouble.message if self._trouble else "serving")
        if self._keys is not None:
            try:
                self._keys.reload()
            except ConfigurationError as error:
                logger.warning("%s; the old keys stay in force", error.message)

    def _examine(self) -> CardexError | None:
        try:
            for priority in Priority:
                self._sweep(priority)
            self._parts.encoder.ping()
            self._parts.catalogue.current()
        except CardexError as error:
            return error
        return None

    def _sweep(self, priority: Priority) -> None:
        swept = self._parts.jobs.sweep(priority)
        SWEPT.labels(priority.value, "requeued").inc(swept.requeued)
        SWEPT.labels(priority.value, "failed").inc(swept.failed)
        if swept.requeued or swept.failed:
            logger.warning(
                "%s: %d jobs of lost workers wait again, %d gave up",
                priority.value, swept.requeued, swept.failed,
            )  # fmt: skip
        if swept.wake:
            self._doorbell.ring(priority)

    async def _tell(self) -> None:
        serving = health_pb2.HealthCheckResponse.SERVING
        retrieval = health_pb2.HealthCheckResponse.NOT_SERVING if self._trouble else serving
        # The index service is what mends a missing or mismatched index, so it serves without one.
        down = isinstance(self._trouble, Unavailable)
        index = health_pb2.HealthCheckResponse.NOT_SERVING if down else serving
        for service, status in (("", retrieval), (RETRIEVAL, retrieval), (INDEX, index)):
            await self._health.set(service, status)
