"""Signing in and out of a session."""

import grpc
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from cardex.domain.errors import Unauthenticated
from cardex.web.credentials import bearer, refuse_other_origins
from cardex.web.errors import refusals
from cardex.web.gateway import Metadata, info_of
from cardex.web.session import MAX_KEY, Session, forget, is_sendable, keep, session_of
from cardex.web.wire import Utf8

router = APIRouter(prefix="/v1/session", tags=["session"])


class SignIn(BaseModel):
    """An API key, in the body, so that it stands in no access log."""

    key: Utf8 = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_KEY})


class SessionState(BaseModel):
    """Where a browser stands.

    Attributes:
        needs_key: whether the server wants an API key at all.
        signed_in: whether the cookie holds a key that the server knows.
        csrf: what unsafe requests with the cookie bring as header X-Cardex-Csrf; "" where not
            signed in.
    """

    needs_key: bool
    signed_in: bool
    csrf: str


@router.get("", responses=refusals(413, 500, 503, 504))
async def get_session(request: Request, response: Response) -> SessionState:
    """Say whether a key is needed, and whether this browser is signed in."""
    needs_key = not await _knows(request, [])
    session = session_of(request)
    if session is not None and needs_key and not await _knows(request, bearer(session.key)):
        forget(request, response)  # the key was taken back meanwhile
        session = None
    return _state(needs_key, session)


@router.post("", responses=refusals(400, 401, 403, 413, 422, 500, 503, 504))
async def sign_in(request: Request, response: Response, body: SignIn) -> SessionState:
    """Check a key, and have the browser keep it in a cookie that no script can read."""
    refuse_other_origins(request)
    if not is_sendable(body.key):
        raise _unknown()
    if await _knows(request, []):
        return _state(False, None)
    if not await _knows(request, bearer(body.key)):
        raise _unknown()
    session = Session.begin(body.key)
    keep(session, request, response)
    return _state(True, session)


@router.delete("", status_code=204, responses=refusals(403, 413, 500))
async def sign_out(request: Request, response: Response) -> None:
    """Have the browser forget its key, whatever has become of the gateway or of the token."""
    refuse_other_origins(request)
    forget(request, response)


async def _knows(request: Request, metadata: Metadata) -> bool:
    """Ask the gateway whether it lets these metadata in."""
    try:
        await info_of(request, metadata)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return False
        raise
    return True


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "this API key is not known: check it, or ask for a new one",
        reason="API_KEY_UNKNOWN",
        field="key",
    )


def _state(needs_key: bool, session: Session | None) -> SessionState:
    csrf = session.csrf if session else ""
    return SessionState(needs_key=needs_key, signed_in=session is not None, csrf=csrf)
