"""How much one caller may submit: a token bucket for each API key, in each gateway process."""

import time
from collections.abc import Callable

from cardex.domain.errors import Overloaded, PayloadTooLarge


class RateLimit:
    """Token buckets of one second's worth, one for each caller.

    They are in this process's memory: with several gateways a caller may submit as much through
    each.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow `per_s` submissions a second to each caller."""
        self._per_s = per_s
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, name: str) -> float:
        """Take one token; returns how long to wait for it, 0 when it was there."""
        now, full = self._clock(), max(self._per_s, 1.0)
        tokens, since = self._buckets.get(name, (full, now))
        tokens = min(full, tokens + (now - since) * self._per_s) - 1.0
        if tokens >= 0.0:
            self._buckets[name] = (tokens, now)
            return 0.0
        self._buckets[name] = (tokens + 1.0, now)
        return -tokens / self._per_s

    def check(self, name: str) -> None:
        """Take one token.

        Raises:
            Overloaded: with the delay after which there is one.
        """
        delay = self.wait_s(name)
        if delay > 0.0:
            raise Overloaded(
                f"more than {self._per_s:g} submissions a second through one gateway: send"
                f" slower, or use SubmitBatch",
                reason="RATE_LIMIT",
                retry_after_s=delay,
            )


def check_size(payload: bytes, limit: int) -> None:
    """Check the size of an ECG.

    Raises:
        PayloadTooLarge: if it is over the limit.
    """
    if len(payload) > limit:
        raise PayloadTooLarge(
            f"the ECG has {len(payload)} bytes: at most {limit} (CARDEX_MAX_PAYLOAD_BYTES)",
            field="ecg",
        )
