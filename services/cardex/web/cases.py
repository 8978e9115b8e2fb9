"""Cases of the archive."""

from typing import Any

from fastapi import APIRouter, Request

from cardex.api.pb.v1 import case_pb2
from cardex.web.credentials import Credentials
from cardex.web.errors import refusals
from cardex.web.gateway import TIMEOUT_S
from cardex.web.wire import json_of

router = APIRouter(prefix="/v1", tags=["reports"])


@router.get(
    "/cases/{case_id:path}",
    responses=refusals(400, 401, 403, 404, 409, 413, 422, 500, 503, 504),
)
async def get_case(request: Request, credentials: Credentials, case_id: str) -> dict[str, Any]:
    """Return one case, with its report and its ECG; its id may hold '/'."""
    message = case_pb2.GetCaseRequest(case_id=case_id)
    return json_of(
        await request.app.state.gateway.GetCase(message, timeout=TIMEOUT_S, metadata=credentials)
    )
