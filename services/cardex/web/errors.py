"""Statuses of the gateway as HTTP answers."""

from typing import cast

import grpc
from fastapi import Request
from fastapi.responses import JSONResponse
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from cardex.domain.errors import CardexError

_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.CANCELLED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


async def refused_by_gateway(_: Request, error: Exception) -> JSONResponse:
    """Answer with what the gateway said: reason, field, and when to try again."""
    assert isinstance(error, grpc.aio.AioRpcError)
    body = {"reason": error.code().name, "message": error.details() or "", "field": ""}
    status = _HTTP.get(error.code(), 500)
    headers: dict[str, str] = {}
    rich = rpc_status.from_call(cast("grpc.Call", error))
    for detail in rich.details if rich else ():
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            body["reason"] = info.reason
            status = int(info.metadata.get("http_status", status))
        elif detail.Unpack(bad):
            body["field"] = bad.field_violations[0].field
        elif detail.Unpack(retry):
            headers["Retry-After"] = str(
                max(1, round(retry.retry_delay.ToTimedelta().total_seconds()))
            )
    return JSONResponse({"error": body}, status, headers)


async def refused_here(_: Request, error: Exception) -> JSONResponse:
    """Answer with an error that the web process itself found."""
    assert isinstance(error, CardexError)
    body = {"reason": error.reason, "message": error.message, "field": error.field}
    return JSONResponse({"error": body}, error.http_status)
