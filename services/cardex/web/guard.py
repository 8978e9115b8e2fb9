"""What holds for every request: how large its body may be, and what caches may do with answers."""

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cardex.domain.errors import PayloadTooLarge
from cardex.web.errors import refuse

FORM_MARGIN_BYTES = 64 * 1024
PRIVATE = "/v1/"
"""Answers below this path are about patients: nobody keeps them."""


class Guard:
    """An ASGI application before the application."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        """Let bodies of at most `max_bytes` through to `app`."""
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                if scope["path"].startswith(PRIVATE):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        error = self._too_large(scope)
        app = self._app if error is None else await refuse(Request(scope), error)
        await app(scope, receive, guarded)

    def _too_large(self, scope: Scope) -> PayloadTooLarge | None:
        """Refuse a body that is over the limit, or does not say its length, before it is read."""
        unsaid = "" if scope["method"] == "POST" else "0"
        length = Headers(scope=scope).get("content-length", unsaid)
        if length.isdigit() and int(length) <= self._max_bytes:
            return None
        return PayloadTooLarge(
            f"the request has {length[:20] or 'an unknown number of'} bytes: send Content-Length,"
            f" at most {self._max_bytes}",
            field="files",
        )
