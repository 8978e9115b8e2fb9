"""To wait until something holds."""

import time
from collections.abc import Callable

DEADLINE_S = 120.0
"""Far longer than anything here takes, so that a test fails and does not hang."""


def until(
    condition: Callable[[], object],
    seconds: float = DEADLINE_S,
    despite: tuple[type[Exception], ...] = (),
) -> None:
    """Wait for a condition, which may raise meanwhile what it holds `despite`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
            assert time.monotonic() < deadline
        except despite:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.05)
