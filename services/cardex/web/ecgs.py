"""ECGs with their question: answered at once, or submitted."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from pydantic import BeforeValidator

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import InvalidEcg
from cardex.domain.jobs import DEFAULT_TOP_K, MAX_REQUEST_ID, MAX_RERANK, MAX_TOP_K, MIN_RERANK
from cardex.web.credentials import Credentials
from cardex.web.errors import refusals
from cardex.web.filters import FIELD, FILTER_SCHEMA, NEARNESS_SCHEMA, filter_of, nearness_of
from cardex.web.gateway import TIMEOUT_S
from cardex.web.uploads import Files, ecg_of
from cardex.web.wire import Utf8, json_of, parse_json, wire_number

router = APIRouter(prefix="/v1", tags=["ECGs"])
REFUSALS = refusals(400, 401, 403, 409, 410, 413, 422, 429, 500, 503, 504)
PRIORITIES = ("STAT", "ROUTINE")

RequestId = Annotated[
    Utf8,
    Form(description="Makes the call idempotent.", json_schema_extra={"maxLength": MAX_REQUEST_ID}),
]
PriorityName = Annotated[
    str, Form(description="STAT or ROUTINE.", json_schema_extra={"enum": list(PRIORITIES)})
]


def _truth(value: str) -> bool:
    """Read a form's true or false; nothing else is taken for one of them."""
    if value.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return value.lower() == "true"


def _question(
    top_k: Annotated[
        int,
        Form(
            description="How many reports, 1 to 100.",
            json_schema_extra={"minimum": 1, "maximum": MAX_TOP_K},
        ),
    ] = DEFAULT_TOP_K,
    rerank: Annotated[
        int,
        Form(
            description="How many of the nearest the matcher puts in order: 0, or 2 to 128.",
            json_schema_extra={
                "anyOf": [{"const": 0}, {"minimum": MIN_RERANK, "maximum": MAX_RERANK}]
            },
        ),
    ] = 0,
    by: Annotated[
        str,
        Form(
            description="What nearness means: REPORT, ECG or BOTH; empty: as the server was set.",
            json_schema_extra=NEARNESS_SCHEMA,
        ),
    ] = "",
    filter: Annotated[  # noqa: A002  the contract's name
        str,
        Form(
            description="JSON of a CaseFilter: which cases may be found.",
            json_schema_extra={
                "contentMediaType": "application/json",
                "contentSchema": FILTER_SCHEMA,
            },
        ),
    ] = "",
    trace: Annotated[
        bool,
        BeforeValidator(_truth),
        Form(description="Whether the answer is to hold the ECG itself, as a trace."),
    ] = False,
) -> pb.Question:
    """Make the question of a form's fields.

    Raises:
        InvalidQuestion: naming the field that has no meaning.
    """
    return pb.Question(
        top_k=wire_number(top_k),
        rerank=wire_number(rerank),
        by=nearness_of(by),
        filter=filter_of(parse_json(filter, FIELD)),
        trace=trace,
    )


Question = Annotated[pb.Question, Depends(_question)]


@router.post("/ecgs:retrieve", responses=REFUSALS)
async def retrieve(
    request: Request,
    credentials: Credentials,
    files: Files,
    question: Question,
    request_id: RequestId = "",
    priority: PriorityName = "STAT",
) -> dict[str, Any]:
    """Find the reports of the most similar ECGs, and wait for the answer."""
    message = pb.RetrieveRequest(
        ecg=await ecg_of(files),
        question=question,
        request_id=request_id,
        priority=_priority(priority),
    )
    return json_of(
        await request.app.state.gateway.Retrieve(message, timeout=TIMEOUT_S, metadata=credentials)
    )


@router.post("/ecgs:submit", responses=REFUSALS)
async def submit(
    request: Request,
    credentials: Credentials,
    files: Files,
    question: Question,
    request_id: RequestId = "",
    priority: PriorityName = "ROUTINE",
) -> dict[str, Any]:
    """Submit an ECG, and return its job as soon as it is durable."""
    message = pb.SubmitEcgRequest(
        ecg=await ecg_of(files),
        question=question,
        request_id=request_id,
        priority=_priority(priority),
    )
    return json_of(
        await request.app.state.gateway.SubmitEcg(message, timeout=TIMEOUT_S, metadata=credentials)
    )


def _priority(name: str) -> str:
    if name.upper() not in PRIORITIES:
        raise InvalidEcg("priority must be STAT or ROUTINE", reason="PRIORITY", field="priority")
    return f"PRIORITY_{name.upper()}"
