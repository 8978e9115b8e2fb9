import json
from typing import Any

import grpc
import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cardex.domain.errors import CardexError, InvalidEcg, Overloaded
from cardex.web.errors import refuse, refuse_call, refuse_form, refuse_http
from tests.unit.api.test_status import over_the_wire
from tests.unit.domain.test_errors import KINDS

REQUEST = Request({"type": "http"})


def said(response: JSONResponse) -> dict[str, Any]:
    """Return the object of an answer's body that says what is wrong."""
    body: dict[str, dict[str, Any]] = json.loads(bytes(response.body))
    assert body.keys() == {"error"}
    return body["error"]


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
async def test_an_error_looks_the_same_whether_found_here_or_by_the_gateway(kind):
    error = kind("what is wrong", field="files")
    here, there = await refuse(REQUEST, error), await refuse_call(REQUEST, over_the_wire(error))
    assert (here.status_code, here.body) == (there.status_code, there.body)
    assert here.status_code == kind.http_status
    assert said(here) == {"reason": kind.reason, "message": "what is wrong", "field": "files"}


async def test_the_field_at_fault_is_named():
    error = InvalidEcg("too short", reason="DURATION", field="ecg.samples.leads")
    response = await refuse_call(REQUEST, over_the_wire(error))
    assert said(response)["field"] == "ecg.samples.leads"


@pytest.mark.parametrize(("delay", "header"), [(0.2, "1"), (2.0, "2"), (5.0, "5")])
async def test_a_delay_becomes_a_header_of_at_least_a_second(delay, header):
    response = await refuse(REQUEST, Overloaded("later", retry_after_s=delay))
    assert response.headers["retry-after"] == header


async def test_a_gateway_that_does_not_answer_has_its_code_as_reason():
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "no connection")
    response = await refuse_call(REQUEST, error)
    assert response.status_code == 503
    assert said(response)["reason"] == "UNAVAILABLE"


async def test_a_form_that_is_wrong_names_its_field_and_quotes_nothing_of_it():
    fault = {"loc": ("body", "files"), "msg": "Field required", "type": "missing", "input": "Doe"}
    response = await refuse_form(REQUEST, RequestValidationError([fault]))
    assert response.status_code == 422
    assert said(response) == {
        "reason": "SCHEMA", "message": "files: Field required", "field": "files"
    }  # fmt: skip


async def test_a_path_that_is_not_there_has_the_same_body():
    response = await refuse_http(REQUEST, HTTPException(404, "Not Found"))
    assert said(response)["reason"] == "NOT_FOUND"


def test_a_refused_method_names_those_that_the_path_has(web):
    response = web.options("/v1/session")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, POST")
