import json

import grpc
import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cardex.domain.errors import CardexError, InvalidEcg, Overloaded
from cardex.web.errors import refuse, refuse_call, refuse_form, refuse_http
from tests.unit.api.test_status import over_the_wire
from tests.unit.domain.test_errors import KINDS


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
async def test_an_error_looks_the_same_whether_found_here_or_by_the_gateway(kind):
    error = kind("what is wrong", field="files")
    here, there = await refuse(None, error), await refuse_call(None, over_the_wire(error))
    assert (here.status_code, here.body) == (there.status_code, there.body)
    assert here.status_code == kind.http_status
    assert json.loads(here.body) == {
        "error": {"reason": kind.reason, "message": "what is wrong", "field": "files"}
    }


async def test_the_field_at_fault_is_named():
    error = InvalidEcg("too short", reason="DURATION", field="ecg.samples.leads")
    response = await refuse_call(None, over_the_wire(error))
    assert json.loads(response.body)["error"]["field"] == "ecg.samples.leads"


@pytest.mark.parametrize(("delay", "header"), [(0.2, "1"), (2.0, "2"), (5.0, "5")])
async def test_a_delay_becomes_a_header_of_at_least_a_second(delay, header):
    response = await refuse(None, Overloaded("later", retry_after_s=delay))
    assert response.headers["retry-after"] == header


async def test_a_gateway_that_does_not_answer_has_its_code_as_reason():
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "no connection")
    response = await refuse_call(None, error)
    assert response.status_code == 503
    assert json.loads(response.body)["error"]["reason"] == "UNAVAILABLE"


async def test_a_form_that_is_wrong_names_its_field_and_quotes_nothing_of_it():
    fault = {"loc": ("body", "files"), "msg": "Field required", "type": "missing", "input": "Doe"}
    response = await refuse_form(None, RequestValidationError([fault]))
    assert response.status_code == 422
    assert json.loads(response.body) == {
        "error": {"reason": "SCHEMA", "message": "files: Field required", "field": "files"}
    }


async def test_a_path_that_is_not_there_has_the_same_body():
    response = await refuse_http(None, HTTPException(404, "Not Found"))
    assert json.loads(response.body)["error"]["reason"] == "NOT_FOUND"
