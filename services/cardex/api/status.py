"""Errors of the tree as google.rpc.Status."""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from cardex.domain.errors import CardexError

DOMAIN = "cardex"


def status_of(error: CardexError) -> grpc.Status:
    """Return the rich status: ErrorInfo always, the field and the retry delay where there is one."""
    info = ErrorInfo(reason=error.reason, domain=DOMAIN)
    info.metadata["http_status"] = str(error.http_status)
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


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
