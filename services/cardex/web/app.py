"""The REST application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import grpc
from fastapi import Depends, FastAPI, File, Form, Header, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import AfterValidator, BaseModel, Field
from starlette.exceptions import HTTPException

from cardex import __version__
from cardex.api.channel import channel_credentials, channel_options
from cardex.api.pb.v1 import ecg_pb2, ecg_retrieval_pb2_grpc
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import CardexError, InvalidEcg, PayloadTooLarge, Unauthenticated
from cardex.domain.jobs import (
    DEFAULT_TOP_K,
    DISCLAIMER,
    MAX_REQUEST_ID,
    MAX_RERANK,
    MAX_TEXT,
    MAX_TOP_K,
    MIN_RERANK,
)
from cardex.domain.settings import Settings
from cardex.telemetry.calls import client_interceptors
from cardex.telemetry.tracing import tracing_wanted
from cardex.web.errors import (
    refusals,
    refuse,
    refuse_call,
    refuse_form,
    refuse_http,
    refuse_unforeseen,
)
from cardex.web.metrics import exposition

TIMEOUT_S = 60.0
UNTRACED = "healthz,readyz,metrics"
FORM_MARGIN_BYTES = 64 * 1024
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}
FILE_SCHEMA: dict[str, Any] = {
    "type": "string",
    "contentMediaType": "application/octet-stream",
    "minLength": 1,
}


def _whole(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can hold and no message carries."""
    if _encodable(text) != text:
        raise ValueError("holds what is no Unicode text")
    return text


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


Utf8 = Annotated[str, AfterValidator(_whole)]


class TextQuery(BaseModel):
    """A search for reports by text; in the body, so that it stands in no access log."""

    # Said in the schema and checked by the gateway, whose error names field and remedy.
    text: Utf8 = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TEXT, "pattern": r"\S"})
    top_k: int = Field(DEFAULT_TOP_K, json_schema_extra={"minimum": 1, "maximum": MAX_TOP_K})


def web_app(settings: Settings) -> FastAPI:
    """Return the application; it holds one channel to the gateway."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _channel(settings) as channel:
            app.state.gateway = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(channel)
            app.state.health = health_pb2_grpc.HealthStub(channel)
            app.state.settings = settings
            yield

    app = FastAPI(title="Cardex", version=__version__, description=DISCLAIMER, lifespan=lifespan)
    app.add_exception_handler(grpc.aio.AioRpcError, refuse_call)
    app.add_exception_handler(CardexError, refuse)
    app.add_exception_handler(RequestValidationError, refuse_form)
    app.add_exception_handler(HTTPException, refuse_http)
    app.add_exception_handler(Exception, refuse_unforeseen)
    app.middleware("http")(_refuse_large)
    _add_routes(app)
    if tracing_wanted():
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(
            app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"]
        )
    return app


def _add_routes(app: FastAPI) -> None:
    every = (401, 403, 413, 500, 503, 504)
    app.post(
        "/v1/ecgs:retrieve", tags=["ECGs"], responses=refusals(400, 409, 410, 422, 429, *every)
    )(retrieve)
    app.get("/v1/jobs/{job_id}", tags=["ECGs"], responses=refusals(404, 422, *every))(get_job)
    app.post("/v1/reports:search", tags=["reports"], responses=refusals(400, 409, 422, *every))(
        search_reports
    )
    app.get("/v1/server", tags=["operation"], responses=refusals(*every))(server_info)
    app.get("/healthz", tags=["operation"], responses=refusals(413))(healthz)
    app.get(
        "/readyz",
        tags=["operation"],
        responses={503: {"description": "An ECG cannot be answered now."}, **refusals(413)},
    )(readyz)
    app.get(
        "/metrics",
        tags=["operation"],
        response_class=Response,
        responses={**TEXT, **refusals(*every)},
    )(metrics)


def _channel(settings: Settings) -> grpc.aio.Channel:
    credentials = channel_credentials(settings)
    options = channel_options(settings)
    interceptors = client_interceptors()
    if credentials is None:
        return grpc.aio.insecure_channel(
            settings.gateway_target, options, interceptors=interceptors
        )
    return grpc.aio.secure_channel(
        settings.gateway_target, credentials, options, interceptors=interceptors
    )


async def _refuse_large(request: Request, call_next: Any) -> Response:  # noqa: ANN401
    """Refuse a body that is over the limit, or does not say its length, before it is read."""
    limit = request.app.state.settings.max_payload_bytes + FORM_MARGIN_BYTES
    unsaid = "" if request.method == "POST" else "0"
    length = request.headers.get("content-length", unsaid)
    if not length.isdigit() or int(length) > limit:
        error = PayloadTooLarge(
            f"the request has {length[:20] or 'an unknown number of'} bytes: send Content-Length,"
            f" at most {limit}",
            field="files",
        )
        return await refuse(request, error)
    response: Response = await call_next(request)
    return response


def _credentials(
    authorization: Annotated[str | None, Header()] = None,
) -> list[tuple[str, str]]:
    """Pass the caller's key on; this process has none of its own to lend.

    Raises:
        Unauthenticated: if it holds what gRPC's metadata cannot carry, which no key does.
    """
    if not authorization:
        return []
    if not (authorization.isascii() and authorization.isprintable()):
        raise Unauthenticated("this API key is not known", reason="API_KEY_UNKNOWN")
    return [("authorization", authorization)]


Credentials = Annotated[list[tuple[str, str]], Depends(_credentials)]


async def retrieve(
    request: Request,
    credentials: Credentials,
    files: Annotated[
        list[UploadFile],
        File(
            description="The ECG file; for WFDB the .hea and its signal files, or one zip.",
            json_schema_extra={"minItems": 1, "items": FILE_SCHEMA},
        ),
    ],
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
    request_id: Annotated[
        Utf8,
        Form(
            description="Makes the call idempotent.",
            json_schema_extra={"maxLength": MAX_REQUEST_ID},
        ),
    ] = "",
    priority: Annotated[
        str, Form(description="STAT or ROUTINE.", json_schema_extra={"enum": ["STAT", "ROUTINE"]})
    ] = "STAT",
) -> dict[str, Any]:
    """Find the reports of the most similar ECGs, and wait for the answer."""
    if priority.upper() not in ("STAT", "ROUTINE"):
        raise InvalidEcg("priority must be STAT or ROUTINE", reason="PRIORITY", field="priority")
    message = pb.RetrieveRequest(
        ecg=ecg_pb2.Ecg(file=await _clinical_file(files)),
        question=pb.Question(top_k=_wire_number(top_k), rerank=_wire_number(rerank)),
        request_id=request_id,
        priority=f"PRIORITY_{priority.upper()}",
    )
    answer = await request.app.state.gateway.Retrieve(
        message, timeout=TIMEOUT_S, metadata=credentials
    )
    return _json(answer)


async def _clinical_file(files: list[UploadFile]) -> ecg_pb2.ClinicalFile:
    named = [(_encodable(file.filename or ""), await file.read()) for file in files]
    # The header names the others, so it goes first.
    named.sort(key=lambda item: not item[0].lower().endswith(".hea"))
    (name, content), *rest = named
    companions = [ecg_pb2.CompanionFile(name=other, content=data) for other, data in rest]
    return ecg_pb2.ClinicalFile(name=name, content=content, companions=companions)


def _wire_number(number: int) -> int:
    """Return a number that the contract can carry; the gateway says what is wrong with it."""
    return max(-1, min(number, 2**31 - 1))


async def get_job(request: Request, credentials: Credentials, job_id: str) -> dict[str, Any]:
    """Return one job."""
    message = pb.GetJobRequest(job_id=job_id)
    return _json(
        await request.app.state.gateway.GetJob(message, timeout=TIMEOUT_S, metadata=credentials)
    )


async def search_reports(
    request: Request, credentials: Credentials, query: TextQuery
) -> dict[str, Any]:
    """Find reports by text."""
    message = pb.SearchReportsRequest(text=query.text, top_k=_wire_number(query.top_k))
    return _json(
        await request.app.state.gateway.SearchReports(
            message, timeout=TIMEOUT_S, metadata=credentials
        )
    )


async def server_info(request: Request, credentials: Credentials) -> dict[str, Any]:
    """Say what this server runs."""
    return _json(await _info(request, credentials))


async def healthz() -> dict[str, str]:
    """Say that this process lives."""
    return {"status": "alive"}


async def readyz(request: Request) -> JSONResponse:
    """Say whether an ECG can be answered now."""
    message = health_pb2.HealthCheckRequest(service="cardex.v1.EcgRetrievalService")
    try:
        health = await request.app.state.health.Check(message, timeout=5.0)
        state = health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)
    except grpc.aio.AioRpcError as error:
        state = error.code().name
    return JSONResponse({"status": state}, 200 if state == "SERVING" else 503)


async def metrics(request: Request, credentials: Credentials) -> Response:
    """Return metrics in Prometheus' text format."""
    key = request.app.state.settings.api_key
    own = [("authorization", f"Bearer {key}")] if key else credentials
    info = await _info(request, own)
    return Response(exposition(info), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _info(request: Request, credentials: list[tuple[str, str]]) -> pb.GetServerInfoResponse:
    info: pb.GetServerInfoResponse = await request.app.state.gateway.GetServerInfo(
        pb.GetServerInfoRequest(), timeout=10.0, metadata=credentials
    )
    return info


def _json(message: Message) -> dict[str, Any]:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
