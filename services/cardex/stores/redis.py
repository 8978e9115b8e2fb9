"""Connections to Redis or Valkey, and its errors in the words of the error tree."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from cardex.domain.errors import Overloaded, Unavailable

RETRY_AFTER_S = 2.0


def connect(url: str, *, connections: int = 64) -> redis.Redis:
    """Return a thread-safe client with bounded waits; nothing is sent until it is used."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=5.0,
        socket_timeout=5.0,
        socket_connect_timeout=2.0,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
    )
    return redis.Redis(connection_pool=pool)


@contextmanager
def mapped(part: str) -> Iterator[None]:
    """Map Redis errors of one call.

    Raises:
        Overloaded: if the instance is out of memory.
        Unavailable: if it is down, loading, too slow or cannot write its file.
    """
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise Overloaded(
            f"{part} is out of memory: try later, or raise its maxmemory",
            reason="STORE_FULL",
            retry_after_s=RETRY_AFTER_S,
        ) from error
    except redis.exceptions.RedisError as error:
        raise Unavailable(
            f"{part} does not answer ({type(error).__name__})", retry_after_s=RETRY_AFTER_S
        ) from error
