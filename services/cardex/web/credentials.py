"""Whose key a request brings: in its header, or in the cookie of a session."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Header, Request

from cardex.domain.errors import PermissionDenied, Unauthenticated
from cardex.web.gateway import Metadata
from cardex.web.session import Session, session_of

SAFE = ("GET", "HEAD", "OPTIONS")
OWN_SITES = ("same-origin", "none")
"""What a browser's Sec-Fetch-Site says of requests by our page, and of those by its user."""


def bearer(key: str) -> Metadata:
    """Return the metadata that tell the gateway a key."""
    return [("authorization", f"Bearer {key}")]


def _credentials(
    request: Request,
    authorization: Annotated[
        str | None, Header(description="Bearer and an API key. It goes before a session's cookie.")
    ] = None,
    x_cardex_csrf: Annotated[
        str | None,
        Header(description="For POST with a session's cookie: csrf of GET /v1/session."),
    ] = None,
) -> Metadata:
    """Pass the caller's key on; this process has none of its own to lend.

    Raises:
        Unauthenticated: if the header holds what gRPC's metadata cannot carry, which no key does.
        PermissionDenied: if a page of another origin may have sent the request.
    """
    if authorization:
        if not (authorization.isascii() and authorization.isprintable()):
            raise Unauthenticated("this API key is not known", reason="API_KEY_UNKNOWN")
        return [("authorization", authorization)]
    session = session_of(request)
    if request.method not in SAFE:
        refuse_other_origins(request)
        if session is not None:
            _refuse_without_token(session, x_cardex_csrf or "")
    return bearer(session.key) if session else []


Credentials = Annotated[Metadata, Depends(_credentials)]


def refuse_other_origins(request: Request) -> None:
    """Refuse what a browser sends for a page that is not ours; programs say nothing of pages.

    Raises:
        PermissionDenied: naming what to do.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        own = site in OWN_SITES
    else:  # a browser that is old, or that speaks http to another machine
        own = origin is None or _host_of(origin) == request.headers.get("host", "").lower()
    if not own:
        raise PermissionDenied(
            "a page of another origin sent this: open Cardex's own page, or send the API key as"
            ' header "Authorization: Bearer KEY"',
            reason="ORIGIN",
        )


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _refuse_without_token(session: Session, token: str) -> None:
    if not session.has_token(token):
        raise PermissionDenied(
            "the header X-Cardex-Csrf does not belong to this session: send csrf of"
            " GET /v1/session, or load the page anew",
            reason="CSRF",
            field="X-Cardex-Csrf",
        )
