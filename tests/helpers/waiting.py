"""To wait until something holds."""

import time
from collections.abc import Callable

import redis

from cardex.domain.errors import Unavailable

DEADLINE_S = 120.0
"""Far longer than anything here takes, so that a test fails and does not hang."""


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; a part that does not answer counts as no, and is named in the end."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            if condition():
                return
            assert time.monotonic() < deadline
        except (redis.exceptions.RedisError, Unavailable):
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.05)
