"""A browser's session: a cookie that holds the API key, and the token that proves who read it."""

import binascii
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

from fastapi import Request, Response

COOKIE, HOST_COOKIE = "cardex_session", "__Host-cardex_session"
MAX_AGE_S = 12 * 3600
MAX_KEY = 512
NONCE_BYTES = 16
_PURPOSE = b"cardex csrf\0"


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie holds.

    Attributes:
        nonce: random bytes, new at each sign-in.
        key: the API key.
    """

    nonce: bytes = field(repr=False)
    key: str = field(repr=False)

    @classmethod
    def begin(cls, key: str) -> "Session":
        """Return a new session of a key."""
        return cls(secrets.token_bytes(NONCE_BYTES), key)

    @classmethod
    def of_cookie(cls, value: str) -> "Session | None":
        """Read the cookie's value; None where it is none that this process wrote."""
        try:
            content = urlsafe_b64decode(value.encode("ascii") + b"=" * (-len(value) % 4))
            session = cls(content[:NONCE_BYTES], content[NONCE_BYTES:].decode("ascii"))
        except (UnicodeError, binascii.Error):
            return None
        return session if is_sendable(session.key) and session.cookie == value else None

    @property
    def cookie(self) -> str:
        """The cookie's value: nonce and key in base64, which every cookie may hold."""
        return urlsafe_b64encode(self.nonce + self.key.encode()).rstrip(b"=").decode()

    @property
    def csrf(self) -> str:
        """The token that unsafe requests have to bring.

        Nobody computes it without the key, and a page of another origin cannot read it.
        """
        return hmac.new(self.key.encode(), _PURPOSE + self.nonce, hashlib.sha256).hexdigest()

    def has_token(self, token: str) -> bool:
        """Compare a token in constant time."""
        return hmac.compare_digest(self.csrf.encode(), token.encode("utf-8", "replace"))


def is_sendable(key: str) -> bool:
    """Tell whether gRPC's metadata can carry a key: 1 to 512 printable ASCII characters."""
    whole = key.isascii() and key.isprintable() and key == key.strip()
    return whole and 1 <= len(key) <= MAX_KEY


def session_of(request: Request) -> Session | None:
    """Return the session of a request, None where it brings no cookie, or a damaged one."""
    value = request.cookies.get(_cookie_name(request))
    return Session.of_cookie(value) if value else None


def keep(session: Session, request: Request, response: Response) -> None:
    """Have the browser keep a session."""
    response.set_cookie(
        _cookie_name(request), session.cookie, max_age=MAX_AGE_S, path="/",
        secure=_is_https(request), httponly=True, samesite="strict",
    )  # fmt: skip


def forget(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(
        _cookie_name(request), path="/",
        secure=_is_https(request), httponly=True, samesite="strict",
    )  # fmt: skip


def _cookie_name(request: Request) -> str:
    """Return the name of the cookie.

    By https it has a prefix with which browsers take it from this very host alone: so no other
    host of the domain, and nobody on a network without TLS, can sign a browser in as somebody else.
    """
    return HOST_COOKIE if _is_https(request) else COOKIE


def _is_https(request: Request) -> bool:
    """Tell whether the browser spoke https, to this process or to a proxy before it.

    Who claims it falsely gets a cookie that is sent more rarely, so the header needs no trust.
    """
    forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    return "https" in (request.url.scheme, forwarded)
