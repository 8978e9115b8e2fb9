"""How long an archive goes on trying, and which errors it tries again after."""

import random
import threading
import time
from collections.abc import Callable

from cardex.domain.errors import (
    CardexError,
    ConfigurationError,
    DeadlineExceeded,
    IndexMissing,
    JobCancelled,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)

PATIENCE_S = 15 * 60.0
SHORTEST_S, LONGEST_S = 0.2, 5.0
ENDED = "PATIENCE_ENDED"

NEEDS_THE_OPERATOR = (
    Unauthenticated, PermissionDenied, VersionMismatch, IndexMissing, ConfigurationError
)  # fmt: skip
"""Errors that every other recording would meet too."""


def may_pass(error: CardexError) -> bool:
    """Tell whether the same call may succeed later, whatever it carries."""
    if isinstance(error, Overloaded):
        # gRPC's own word, without details, stands for a message that is too large.
        return error.reason != "RESOURCE_EXHAUSTED"
    return isinstance(error, Unavailable | DeadlineExceeded | JobCancelled)


class Patience:
    """Waits between tries, longer the longer nothing was heard, and gives up at last."""

    def __init__(
        self,
        seconds: float,
        halted: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wait for at most `seconds` without a word from the gateway; `halted` ends every wait."""
        self._seconds = seconds
        self._halted = halted
        self._clock = clock
        self._heard = clock()

    def heard(self) -> None:
        """Note that the gateway answered."""
        self._heard = self._clock()

    def wait_after(self, error: CardexError) -> None:
        """Wait before the next try.

        Raises:
            CardexError: the error itself if the operator must mend its cause; Unavailable, with the
                reason `PATIENCE_ENDED`, if nothing was heard for too long.
        """
        if isinstance(error, NEEDS_THE_OPERATOR):
            raise error
        silent_s = self._clock() - self._heard
        if silent_s >= self._seconds:
            raise Unavailable(
                f"the gateway took and told nothing for {silent_s / 60:.1f} minutes; it last said:"
                f" {error.message}",
                reason=ENDED,
            ) from error
        self._halted.wait(self._delay_s(silent_s, error))

    def _delay_s(self, silent_s: float, error: CardexError) -> float:
        growing = min(max(silent_s / 4, SHORTEST_S), LONGEST_S) * random.uniform(0.5, 1.0)
        return min(max(growing, error.retry_after_s or 0.0), self._seconds)
