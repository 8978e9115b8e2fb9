import json

import grpc
import pytest

from cardex.api.status import status_of
from cardex.domain.errors import CardexError, InvalidEcg, Overloaded
from cardex.web.errors import refused_by_gateway, refused_here
from tests.unit.domain.test_errors import KINDS


def over_the_wire(error: CardexError) -> grpc.aio.AioRpcError:
    """Return what a client of the gateway gets for an error."""
    status = status_of(error)
    return grpc.aio.AioRpcError(
        status.code,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(*status.trailing_metadata),
        status.details,
    )


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
async def test_an_error_of_the_gateway_keeps_its_reason_and_http_status(kind):
    response = await refused_by_gateway(None, over_the_wire(kind("what is wrong")))
    assert response.status_code == kind.http_status
    assert json.loads(response.body) == {
        "error": {"reason": kind.reason, "message": "what is wrong", "field": ""}
    }


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
async def test_an_error_found_here_looks_the_same(kind):
    error = kind("what is wrong", field="files")
    here = await refused_here(None, error)
    there = await refused_by_gateway(None, over_the_wire(error))
    assert (here.status_code, here.body) == (there.status_code, there.body)


async def test_the_field_at_fault_is_named():
    error = InvalidEcg("too short", reason="DURATION", field="ecg.samples.leads")
    response = await refused_by_gateway(None, over_the_wire(error))
    assert json.loads(response.body)["error"]["field"] == "ecg.samples.leads"


@pytest.mark.parametrize(("delay", "header"), [(0.2, "1"), (2.0, "2"), (5.0, "5")])
async def test_a_delay_becomes_a_header_of_at_least_a_second(delay, header):
    error = over_the_wire(Overloaded("later", retry_after_s=delay))
    response = await refused_by_gateway(None, error)
    assert response.headers["retry-after"] == header


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
        (grpc.StatusCode.UNKNOWN, 500),
    ],
)
async def test_a_gateway_that_does_not_answer_has_its_code_as_reason(code, status):
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "no connection")
    response = await refused_by_gateway(None, error)
    assert response.status_code == status
    assert json.loads(response.body)["error"]["reason"] == code.name
