"""A circuit breaker with retries, around calls to a part that may be down."""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from cardex.domain.errors import Busy, CardexError, TooSlow, Unavailable

T = TypeVar("T")


class Circuit:
    """Retries a failing call with back-off, and stops calling a part that keeps failing.

    Closed: calls go through. After `threshold` failures in a row it opens, and calls fail at once
    for `reset_s`. Then one call is let through; its outcome closes or re-opens the circuit.
    """

    def __init__(
        self,
        part: str,
        *,
        attempts: int = 3,
        backoff_s: float = 0.05,
        threshold: int = 3,
        reset_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Guard calls to `part`, each tried `attempts` times."""
        self.part = part
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._threshold = threshold
        self._reset_s = reset_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None

    @property
    def open(self) -> bool:
        """True while calls fail at once."""
        return self._opened_at is not None and self._clock() - self._opened_at < self._reset_s

    def call(self, function: Callable[[], T]) -> T:
        """Call `function`, and again while it raises `Unavailable` and another call may help.

        Raises:
            Unavailable: if the circuit is open or every attempt failed.
            TooSlow: as `function` raised it, at once; it counts as a failure.
            Busy: as `function` raised it, at once; the part is there.
        """
        for attempt in range(1, self._attempts + 1):
            self._admit()
            try:
                result = function()
            except Busy:
                self._succeeded()
                raise
            except Unavailable as error:
                self._failed()
                if attempt == self._attempts or isinstance(error, TooSlow):
                    raise
                self._sleep(self._backoff_s * 2**attempt * random.uniform(0.5, 1.0))
            except CardexError:  # the part answered, if only to refuse
                self._succeeded()
                raise
            else:
                self._succeeded()
                return result
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _admit(self) -> None:
        with self._lock:
            if self._opened_at is None:
                return
            if self._clock() - self._opened_at < self._reset_s:
                raise Unavailable(
                    f"{self.part} is down; it is tried again every {self._reset_s:g} s",
                    retry_after_s=self._reset_s,
                )
            self._opened_at = self._clock()  # half open: this call alone goes through

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= self._threshold:
                self._opened_at = self._clock()

    def _succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self._opened_at = None
