"""Errors as HTTP answers: one body and one table of statuses, wherever the error came from."""

from http import HTTPStatus
from typing import Any

import grpc
from fastapi import Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from cardex.api.status import error_of_call
from cardex.domain.errors import CardexError


class ErrorBody(BaseModel):
    """Why a request was refused.

    Attributes:
        reason: stable reason, the same as in `google.rpc.ErrorInfo`.
        message: what is wrong and what to do.
        field: the field at fault, or "".
    """

    reason: str
    message: str
    field: str


class Refusal(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorBody


_MEANINGS = {
    400: "The request is at fault: the same request will fail again.",
    401: "No API key, or one that is not known.",
    403: "The API key lacks the scope that this needs, or another page may have sent it.",
    404: "There is no such thing, or its record has expired.",
    405: "The path has no such method.",
    409: "It does not fit what is there: a used request_id, a cancelled job, no index.",
    410: "The ECG of this job has expired.",
    413: "The request is too large, or does not say its length.",
    422: "The request does not have the form that the schema says.",
    429: "Too many requests, or too many jobs wait: see Retry-After.",
    500: "An error of the server.",
    503: "A part is down: see Retry-After.",
    504: "No answer in time.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of these statuses, as FastAPI takes it."""
    return {
        status: {"model": Refusal, "description": _MEANINGS[status]} for status in sorted(statuses)
    }


async def refuse(_: Request, error: Exception) -> JSONResponse:
    """Answer with an error of the tree."""
    assert isinstance(error, CardexError)
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return JSONResponse(body_of(error), error.http_status, headers)


def body_of(error: CardexError) -> dict[str, dict[str, str]]:
    """Return the body that tells an error of the tree."""
    return _body(error.reason, error.message, error.field)


async def refuse_call(request: Request, error: Exception) -> JSONResponse:
    """Answer with what the gateway said."""
    assert isinstance(error, grpc.aio.AioRpcError)
    return await refuse(request, error_of_call(error))


async def refuse_form(_: Request, error: Exception) -> JSONResponse:
    """Answer where the request has not the form of the schema; the first fault is named."""
    assert isinstance(error, RequestValidationError)
    first = jsonable_encoder(error.errors()[0], exclude={"input", "ctx"})
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return _answer(422, "SCHEMA", f"{field or 'the body'}: {first['msg']}", field)


async def refuse_http(request: Request, error: Exception) -> JSONResponse:
    """Answer where no route fits."""
    assert isinstance(error, HTTPException)
    reason, headers = HTTPStatus(error.status_code).name, dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return _answer(error.status_code, reason, str(error.detail), "", headers)


def _methods(request: Request) -> set[str]:
    """Return the methods of all routes of a path: one route knows its own alone."""
    found: set[str] = set()
    for route in request.app.state.routes:
        matched, _ = route.matches(request.scope)
        if matched is not Match.NONE:
            found |= route.methods
    return found


async def refuse_unforeseen(_: Request, error: Exception) -> JSONResponse:
    """Answer where the server is at fault; the log has the error."""
    return _answer(500, "INTERNAL", "an error of the server: see its log", "")


def _answer(
    status: int, reason: str, message: str, field: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(_body(reason, message, field), status, headers)


def _body(reason: str, message: str, field: str) -> dict[str, dict[str, str]]:
    return {"error": {"reason": reason, "message": message, "field": field}}
