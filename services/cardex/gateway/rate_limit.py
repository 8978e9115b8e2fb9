"""How much one caller may submit: a token bucket for each API key, in each gateway process."""

import time
from collections.abc import Callable

from cardex.domain.errors import Overloaded, PayloadTooLarge


class RateLimit:
    """Token buckets of one second's worth, one for each caller and one for all.

    They are in this process's memory: with several gateways a caller may submit as much through
    each.
    """

    def __init__(
        self, per_s: float, total_per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Allow `per_s` submissions a second to each caller, and `total_per_s` to all together."""
        self._per_s = per_s
        self._total_per_s = total_per_s
        self._clock = clock
        self._buckets: dict[str | None, tuple[float, float]] = {}

    def wait_s(self, name: str, reserve: float = 0.0) -> float:
        """Take one token; returns how long to wait for it, 0 when it was there.

        Args:
            name: of the caller.
            reserve: share of a full bucket that is left to others.
        """
        now = self._clock()
        own, own_wait_s = self._tokens(name, self._per_s, now, reserve)
        total, total_wait_s = self._tokens(None, self._total_per_s, now, reserve)
        wait_s = max(own_wait_s, total_wait_s)
        taken = 0.0 if wait_s else 1.0
        self._buckets |= {name: (own - taken, now), None: (total - taken, now)}
        return wait_s

    def _tokens(
        self, name: str | None, per_s: float, now: float, reserve: float
    ) -> tuple[float, float]:
        """Return the tokens of a bucket, and how long to wait until it has one to give."""
        full = max(per_s, 1.0)
        tokens, since = self._buckets.get(name, (full, now))
        tokens = min(full, tokens + (now - since) * per_s)
        enough = min(full, 1.0 + reserve * full)
        return tokens, max(0.0, enough - tokens) / per_s

    def check(self, name: str) -> None:
        """Take one token.

        Raises:
            Overloaded: with the delay after which there is one.
        """
        delay = self.wait_s(name)
        if delay > 0.0:
            raise Overloaded(
                f"more than {self._per_s:g} submissions a second of one key, or"
                f" {self._total_per_s:g} of all, through one gateway: send slower, or use"
                " SubmitBatch",
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
