"""Files from a web server: continued where they broke off, tried again where they failed."""

import threading
import urllib.request
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ReadTimeoutError

from cardex.domain.errors import ConfigurationError

CHUNK = 64 * 1024
CONNECT_S = 15.0
READ_S = 30.0
"""A connection that brings nothing for so long is given up."""
ATTEMPTS = 6
"""Attempts in a row that bring nothing new before a file counts as failed."""
MAX_DELAY_S = 30.0
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTED = urllib3.Retry(
    total=5, connect=0, read=0, status=0, redirect=5, respect_retry_after_header=False
)
"""Redirects are followed; every failure is counted here instead."""


class Stopped(Exception):
    """The download was stopped; what came so far is kept."""


class FileFailed(Exception):
    """A file could not be fetched.

    Attributes:
        server: whether the server could not be reached or had no answer, as it may have for others.
    """

    def __init__(self, problem: str, *, server: bool = False) -> None:
        """Say what is wrong."""
        super().__init__(problem)
        self.server = server


class _TryAgain(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
        delay_s: how long the server asked to wait, 0 where it did not say.
    """

    def __init__(self, problem: str, delay_s: float = 0.0) -> None:
        super().__init__(problem)
        self.delay_s = delay_s


class HttpFiles:
    """The files below an address, over connections that are kept for the next file.

    Several threads may share it.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        read_s: float = READ_S,
        first_delay_s: float = 0.5,
    ) -> None:
        """Fetch from below `url`.

        Args:
            url: address of the folder.
            connections: kept for the next file.
            read_s: a connection that brings nothing for so long is given up.
            first_delay_s: how long to wait after the first failure; it doubles with each.

        Raises:
            ConfigurationError: if the address is none.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigurationError(f"{url!r} is no address: it must begin with https://")
        self.stop = threading.Event()
        self._url = url.rstrip("/") + "/"
        self._read_s = read_s
        self._first_delay_s = first_delay_s
        self._pool = _pool(self._url, connections, urllib3.Timeout(connect=CONNECT_S, read=read_s))

    def complete(self, path: str, part: Path) -> None:
        """Fetch a file to `part`, or what it lacks; its content is not checked.

        Raises:
            FileFailed: if the server has no such file, or attempt after attempt brought nothing.
            Stopped: if `stop` was set.
            OSError: if the file cannot be written.
        """
        failed = 0
        while True:
            before = _size(part)
            try:
                self._attempt(path, part)
            except _TryAgain as error:
                failed = 0 if _size(part) > before else failed + 1
                if failed == ATTEMPTS:
                    raise FileFailed(f"{error}, {ATTEMPTS} times", server=True) from error
                delay = max(error.delay_s, self._first_delay_s * 2**failed)
                if self.stop.wait(min(delay, MAX_DELAY_S)):
                    raise Stopped from error
            else:
                return

    def _attempt(self, path: str, part: Path) -> None:
        start = _size(part)
        try:
            response = self._request(path, start)
            try:
                self._save(response, start, part)
            finally:
                # One that was read to its end is back in the pool already.
                response.close()
        except HTTPError as error:
            raise _TryAgain(self._words(error)) from error

    def _request(self, path: str, start: int) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        return self._pool.request(
            "GET",
            self._url + quote(path),
            headers=headers,
            preload_content=False,
            retries=_REDIRECTED,
        )

    def _save(self, response: urllib3.BaseHTTPResponse, start: int, part: Path) -> None:
        status = response.status
        if start and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is no more: the checksum tells whether it is the file
        if status in TEMPORARY:
            raise _TryAgain(f"HTTP {status}", _seconds(response.headers.get("retry-after", "")))
        if status == HTTPStatus.PARTIAL_CONTENT:
            begins = response.headers.get("content-range", "").startswith(f"bytes {start}-")
            if not (start and begins):
                part.unlink(missing_ok=True)
                raise _TryAgain("another part of the file than was asked for")
        elif status != HTTPStatus.OK:
            raise FileFailed(f"HTTP {status}")
        with part.open("ab" if status == HTTPStatus.PARTIAL_CONTENT else "wb") as out:
            # read1 returns what has come, so that nothing is lost where the rest never comes.
            while chunk := response.read1(CHUNK, decode_content=False):
                out.write(chunk)
                if self.stop.is_set():
                    raise Stopped

    def _words(self, error: Exception) -> str:
        if isinstance(error, MaxRetryError) and error.reason is not None:
            error = error.reason
        if isinstance(error, ReadTimeoutError):
            return f"nothing came for {self._read_s:g} s"
        return f"the connection failed ({type(error).__name__})"


def _pool(url: str, connections: int, timeout: urllib3.Timeout) -> urllib3.PoolManager:
    """Return a pool that goes through the environment's proxy, if there is one for this host."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(proxy, maxsize=connections, timeout=timeout)
    return urllib3.PoolManager(maxsize=connections, timeout=timeout)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdigit() else 0.0
