"""Errors of the tree as `google.rpc.Status`, and back."""

from collections.abc import Iterable
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from cardex.domain.errors import (
    ERRORS,
    CardexError,
    DeadlineExceeded,
    InvalidInput,
    JobCancelled,
    JobNotFound,
    Overloaded,
    PermissionDenied,
    RequestIdReused,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)

DOMAIN = "cardex"
KIND, HTTP_STATUS = "kind", "http_status"

# What a status without details means: one that gRPC itself made, or a server between.
_BY_CODE: dict[grpc.StatusCode, type[CardexError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: JobCancelled,
    grpc.StatusCode.NOT_FOUND: JobNotFound,
    grpc.StatusCode.ALREADY_EXISTS: RequestIdReused,
    grpc.StatusCode.FAILED_PRECONDITION: VersionMismatch,
}


def status_of(error: CardexError) -> grpc.Status:
    """Return the rich status: ErrorInfo, and where there is one the field and the retry delay."""
    info = ErrorInfo(reason=error.reason, domain=DOMAIN)
    info.metadata[HTTP_STATUS] = str(error.http_status)
    info.metadata[KIND] = type(error).__name__
    details: list[Message] = [info]
    if error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_after_s * 1000))
        details.append(RetryInfo(retry_delay=delay))
    code: int = grpc.StatusCode[error.grpc_code].value[0]
    status = Status(code=code, message=error.message, details=[_packed(item) for item in details])
    return rpc_status.to_status(status)


def error_of_call(call: grpc.RpcError) -> CardexError:
    """Return the error that a failed call tells, with its class, field and retry delay."""
    assert isinstance(call, grpc.Call | grpc.aio.AioRpcError)
    code = call.code()
    kind, reason, field = _BY_CODE.get(code, CardexError), code.name, ""
    retry_after_s: float | None = None
    for detail in _details_of(call):
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
            kind = ERRORS.get(info.metadata.get(KIND, ""), kind)
        elif detail.Unpack(bad):
            field = bad.field_violations[0].field if bad.field_violations else ""
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    message = call.details() or ""
    return kind(message, reason=reason, field=field, retry_after_s=retry_after_s)


def _details_of(call: grpc.RpcError) -> Iterable[Any]:
    """Return the details of a status; none where a server between damaged them."""
    try:
        rich = rpc_status.from_call(cast("grpc.Call", call))
    except (ValueError, DecodeError):
        return ()
    return rich.details if rich else ()


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
