"""Connections to Redis or Valkey, and its errors in the words of the error tree."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from cardex.domain.errors import ConfigurationError, Overloaded, Unavailable

RETRY_AFTER_S = 2.0
SENTINEL = "sentinel"
SENTINEL_PORT = 26_379
_CONNECTING: dict[str, Any] = {"socket_timeout": 5.0, "socket_connect_timeout": 2.0}
_ASKING: dict[str, Any] = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """A primary that sentinels know: `sentinel://:PASSWORD@HOST:PORT,HOST:PORT/DB?master=NAME`.

    Attributes:
        addresses: of the sentinels.
        master: the name by which they know it.
        database: number of the database.
        username: at the primary; None for the default user.
        password: of the primary.
        sentinel_password: of the sentinels themselves (`&sentinel_password=`).
    """

    addresses: tuple[tuple[str, int], ...]
    master: str
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> "SentinelUrl | None":
        """Read a URL; None where it is of another scheme.

        Raises:
            ConfigurationError: if it has no sentinel or names no primary.
        """
        parts = urlsplit(url)
        if parts.scheme != SENTINEL:
            return None
        login, _, hosts = parts.netloc.rpartition("@")
        asked = parse_qs(parts.query)
        try:
            return cls(
                tuple(_address(host) for host in hosts.split(",")),
                asked["master"][0],
                int(parts.path.strip("/") or 0),
                unquote(login.partition(":")[0]) or None,
                unquote(login.partition(":")[2]) or None,
                asked.get("sentinel_password", [""])[0] or None,
            )
        except (KeyError, ValueError) as error:
            raise ConfigurationError(
                "a sentinel URL is sentinel://:PASSWORD@HOST:PORT,HOST:PORT/0?master=NAME"
            ) from error

    @property
    def asking(self) -> dict[str, Any]:
        """How a sentinel is asked: once, since there are others."""
        return _ASKING | {"password": self.sentinel_password}

    @property
    def connecting(self) -> dict[str, Any]:
        """How the primary is connected to."""
        return _CONNECTING | {
            "username": self.username,
            "password": self.password,
            "db": self.database,
        }


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    if not name:
        name, port = port, str(SENTINEL_PORT)
    if not name:
        raise ValueError("no host")
    return name, int(port)


def connect(url: str, *, connections: int = 64) -> redis.Redis:
    """Return a thread-safe client with bounded waits; nothing is sent until it is used.

    Behind sentinels it follows a failover: each new connection goes to the primary of that moment.
    """
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), 2)
    kept: dict[str, Any] = {"health_check_interval": 15, "retry": retry}
    behind = SentinelUrl.of(url)
    if behind is not None:
        sentinel: Any = Sentinel(
            behind.addresses, sentinel_kwargs=behind.asking | {"retry": Retry(NoBackoff(), 0)}
        )  # type: ignore[no-untyped-call]
        client: redis.Redis = sentinel.master_for(
            behind.master, max_connections=connections, **behind.connecting, **kept
        )
        return client
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=5.0, **_CONNECTING, **kept
    )
    return redis.Redis(connection_pool=pool)


def connect_async(url: str, *, timeout_s: float) -> redis.asyncio.Redis:
    """Return a client for one event loop, whose calls may wait for `timeout_s`; as `connect`."""
    behind = SentinelUrl.of(url)
    if behind is None:
        return redis.asyncio.Redis.from_url(url, socket_timeout=timeout_s)
    sentinel: Any = AsyncSentinel(
        behind.addresses, sentinel_kwargs=behind.asking | {"retry": AsyncRetry(NoBackoff(), 0)}
    )  # type: ignore[no-untyped-call]
    options = behind.connecting | {"socket_timeout": timeout_s}
    client: redis.asyncio.Redis = sentinel.master_for(behind.master, **options)
    return client


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
