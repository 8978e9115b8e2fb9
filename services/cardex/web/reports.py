"""Reports, found by text."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.jobs import DEFAULT_TOP_K, MAX_TEXT, MAX_TOP_K
from cardex.web.credentials import Credentials
from cardex.web.errors import refusals
from cardex.web.filters import FILTER_SCHEMA, NEARNESS_SCHEMA, filter_of, nearness_of
from cardex.web.gateway import TIMEOUT_S
from cardex.web.wire import Utf8, json_of, wire_number

router = APIRouter(prefix="/v1", tags=["reports"])


class TextQuery(BaseModel):
    """A search for reports by text; in the body, so that it stands in no access log."""

    # Said in the schema and checked by the gateway, whose error names field and remedy.
    text: Utf8 = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TEXT, "pattern": r"\S"})
    top_k: int = Field(DEFAULT_TOP_K, json_schema_extra={"minimum": 1, "maximum": MAX_TOP_K})
    by: str = Field("", json_schema_extra=NEARNESS_SCHEMA)
    filter: dict[str, Any] = Field({}, json_schema_extra=FILTER_SCHEMA)


@router.post("/reports:search", responses=refusals(400, 401, 403, 409, 413, 422, 500, 503, 504))
async def search_reports(
    request: Request, credentials: Credentials, query: TextQuery
) -> dict[str, Any]:
    """Find reports by text."""
    message = pb.SearchReportsRequest(
        text=query.text,
        top_k=wire_number(query.top_k),
        by=nearness_of(query.by),
        filter=filter_of(query.filter),
    )
    return json_of(
        await request.app.state.gateway.SearchReports(
            message, timeout=TIMEOUT_S, metadata=credentials
        )
    )
