import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from cardex.api.status import status_of
from cardex.domain.errors import CardexError, InvalidEcg, Overloaded
from tests.unit.domain.test_errors import KINDS

DETAILS = "grpc-status-details-bin"


def details(error: CardexError) -> dict[str, object]:
    status = Status.FromString(dict(status_of(error).trailing_metadata)[DETAILS])
    found = {}
    for packed in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo):
            message = kind()
            if packed.Unpack(message):
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
