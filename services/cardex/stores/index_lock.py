"""The right to do a thing alone, across all processes that use one Redis."""

import contextlib

import redis
from redis.lock import Lock

from cardex.stores.redis import mapped

PREFIX = "cardex:lock:"


class IndexLock:
    """A lock that its holder has to renew: a holder that dies blocks nobody for long."""

    def __init__(self, client: redis.Redis, name: str, lease_s: float) -> None:
        """Prepare the lock `name`; it ends `lease_s` after it was taken or renewed."""
        self.lease_s = lease_s
        self._lock = Lock(client, f"{PREFIX}{name}", timeout=lease_s, thread_local=False)

    def take(self) -> bool:
        """Take the lock; False where another has it.

        Raises:
            Unavailable: if Redis is down.
        """
        with mapped("the state store"):
            return bool(self._lock.acquire(blocking=False))

    def renew(self) -> bool:
        """Hold on for another `lease_s`; False where the lock was lost.

        Raises:
            Unavailable: if Redis is down; the lock may be held still.
        """
        with mapped("the state store"):
            try:
                return bool(self._lock.reacquire())
            except redis.exceptions.LockError:
                return False

    def release(self) -> None:
        """Let go; a lock that cannot be let go ends by itself."""
        with contextlib.suppress(redis.exceptions.RedisError):
            self._lock.release()
