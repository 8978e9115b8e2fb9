from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from cardex.api.status import error_of_call, status_of
from cardex.domain.errors import CardexError, InvalidEcg, Overloaded
from tests.unit.domain.test_errors import KINDS

DETAILS = "grpc-status-details-bin"


def details(error: CardexError) -> dict[str, Any]:
    """Return the details of the status of an error, by the names of their kinds."""
    status = Status.FromString(dict(status_of(error).trailing_metadata)[DETAILS])
    found: dict[str, Any] = {}
    for packed in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo):
            if packed.Unpack(message := kind()):
                found[kind.__name__] = message
    return found


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
def test_every_error_has_its_code_and_message(kind):
    status = status_of(kind("what is wrong"))
    assert status.code is grpc.StatusCode[kind.grpc_code]
    assert status.details == "what is wrong"


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
def test_every_error_says_its_reason_and_http_status(kind):
    info = details(kind("what is wrong"))["ErrorInfo"]
    assert (info.reason, info.domain) == (kind.reason, "cardex")
    assert info.metadata["http_status"] == str(kind.http_status)


def test_a_field_at_fault_becomes_a_violation():
    error = InvalidEcg("too short", reason="DURATION", field="ecg.samples.leads")
    (violation,) = details(error)["BadRequest"].field_violations
    assert (violation.field, violation.description) == ("ecg.samples.leads", "too short")


def test_a_delay_becomes_retry_information():
    delay = details(Overloaded("later", retry_after_s=2.5))["RetryInfo"].retry_delay
    assert (delay.seconds, delay.nanos) == (2, 500_000_000)


def test_without_field_and_delay_there_is_only_the_reason():
    assert details(InvalidEcg("no ECG")).keys() == {"ErrorInfo"}


def over_the_wire(error: CardexError) -> grpc.aio.AioRpcError:
    status = status_of(error)
    metadata = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), metadata, status.details)


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
def test_an_error_keeps_its_class_over_the_wire(kind):
    found = error_of_call(over_the_wire(kind("what is wrong", field="ecg", retry_after_s=2.5)))
    assert type(found) is kind
    assert (found.message, found.reason, found.field) == ("what is wrong", kind.reason, "ecg")
    assert found.retry_after_s == 2.5


@pytest.mark.parametrize("damage", [b"\xff\xff", Status(code=3).SerializeToString()])
def test_details_that_a_server_between_damaged_are_left_out(damage):
    metadata = grpc.aio.Metadata((DETAILS, damage))
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), metadata, "no connection"
    )
    assert error_of_call(error).http_status == 503


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.NOT_FOUND, 404),
        (grpc.StatusCode.FAILED_PRECONDITION, 409),
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
        (grpc.StatusCode.UNKNOWN, 500),
    ],
)
def test_a_status_without_details_means_what_its_code_says(code, status):
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "no connection")
    found = error_of_call(error)
    assert (found.reason, found.message, found.http_status) == (code.name, "no connection", status)
