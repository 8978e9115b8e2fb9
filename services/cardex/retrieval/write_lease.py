"""The right to write the index: one client at a time over all processes."""

import logging
import threading
import time
from typing import Protocol

from cardex.domain.errors import CardexError, Overloaded, Unavailable

logger = logging.getLogger(__name__)


class Lock(Protocol):
    """A lock over all processes that ends by itself `lease_s` after it was taken or renewed."""

    lease_s: float

    def take(self) -> bool:
        """Take it; False where another has it. Raises Unavailable."""

    def renew(self) -> bool:
        """Hold it for another `lease_s`; False where it was lost. Raises Unavailable."""

    def release(self) -> None:
        """Let go."""


class WriteLease:
    """The right to write the index: taken, renewed from a thread of its own, and let go."""

    def __init__(self, lock: Lock) -> None:
        """Prepare; nothing is taken yet."""
        self._lock = lock
        self._until = 0.0
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._keep, name="write-lease", daemon=True)

    def take(self) -> None:
        """Take the right to write.

        Raises:
            Overloaded: if another client writes, through whichever gateway.
            Unavailable: if the state store is down.
        """
        # The lock's own time began before its answer came, so ours begins before it is asked for.
        asked = time.monotonic()
        if not self._lock.take():
            raise Overloaded(
                "another client is writing the index, or was cut off just now: try again in"
                f" {self._lock.lease_s:g} s",
                reason="INDEX_BUSY",
                retry_after_s=self._lock.lease_s,
            )
        self._until = asked + self._lock.lease_s
        self._renewing.start()

    def require(self) -> None:
        """Refuse to write where another may have begun; call it right before each write.

        Raises:
            Unavailable: if the lease could not be renewed in time.
        """
        if time.monotonic() >= self._until:
            raise Unavailable(
                f"the state store was away for {self._lock.lease_s:g} s, so another client may"
                " write the index: send the reports again",
                reason="INDEX_BUSY",
                retry_after_s=self._lock.lease_s,
            )

    def _keep(self) -> None:
        while not self._ended.wait(self._lock.lease_s / 3):
            self.renew()

    def renew(self) -> None:
        """Hold on for another lease, where nobody else has it."""
        asked = time.monotonic()
        try:
            held = self._lock.renew()
        except CardexError as error:
            logger.warning("the right to write the index was not renewed: %s", error.message)
            return
        self._until = asked + self._lock.lease_s if held else 0.0

    def release(self) -> None:
        """Stop renewing, and let go of what was taken."""
        self._ended.set()
        if self._renewing.is_alive():
            self._renewing.join()
        if self._until:
            self._until = 0.0
            self._lock.release()
