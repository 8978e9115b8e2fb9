"""What operators ask: what runs here, whether it lives, and what it counted."""

from typing import Any

import grpc
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from grpc_health.v1 import health_pb2

from cardex.web.credentials import Credentials, bearer
from cardex.web.errors import refusals
from cardex.web.gateway import info_of
from cardex.web.metrics import exposition
from cardex.web.wire import json_of

router = APIRouter(tags=["operation"])
SERVICE = "cardex.v1.EcgRetrievalService"
REFUSALS = refusals(401, 403, 413, 500, 503, 504)
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}
UNREADY: dict[int | str, dict[str, Any]] = {503: {"description": "An ECG cannot be answered now."}}


@router.get("/v1/server", responses=REFUSALS)
async def server_info(request: Request, credentials: Credentials) -> dict[str, Any]:
    """Say what this server runs."""
    return json_of(await info_of(request, credentials))


@router.get("/healthz", responses=refusals(413))
async def healthz() -> dict[str, str]:
    """Say that this process lives."""
    return {"status": "alive"}


@router.get("/readyz", responses={**UNREADY, **refusals(413)})
async def readyz(request: Request) -> JSONResponse:
    """Say whether an ECG can be answered now."""
    message = health_pb2.HealthCheckRequest(service=SERVICE)
    try:
        health = await request.app.state.health.Check(message, timeout=5.0)
        state = health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)
    except grpc.aio.AioRpcError as error:
        state = error.code().name
    return JSONResponse({"status": state}, 200 if state == "SERVING" else 503)


@router.get("/metrics", response_class=Response, responses={**TEXT, **REFUSALS})
async def metrics(request: Request, credentials: Credentials) -> Response:
    """Return metrics in Prometheus' text format."""
    key = request.app.state.settings.api_key
    info = await info_of(request, bearer(key) if key else credentials)
    return Response(exposition(info), media_type="text/plain; version=0.0.4; charset=utf-8")
