"""The REST application, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from grpc_health.v1 import health_pb2_grpc
from starlette.exceptions import HTTPException

from cardex import __version__
from cardex.api.pb.v1 import ecg_retrieval_pb2_grpc
from cardex.domain.errors import CardexError
from cardex.domain.jobs import DISCLAIMER
from cardex.domain.settings import Settings
from cardex.telemetry.tracing import tracing_wanted
from cardex.web import (
    cases,
    ecgs,
    examples,
    jobs,
    operation,
    reports,
    sign_in,
    traces,
)
from cardex.web.errors import refuse, refuse_call, refuse_form, refuse_http, refuse_unforeseen
from cardex.web.gateway import open_channel
from cardex.web.guard import FORM_MARGIN_BYTES, Guard
from cardex.web.page import FOLDER, page_router
from cardex.web.reading_pool import ReadingPool

UNTRACED = "healthz,readyz,metrics,/v1/cases/"
"""Paths that have no span: probes, and those that name a case, which a span would keep."""
MODULES = (ecgs, traces, jobs, cases, reports, examples, sign_in, operation)


def web_app(settings: Settings, page: Path = FOLDER) -> FastAPI:
    """Return the application; it holds one channel to the gateway.

    Args:
        settings: the settings.
        page: the folder with the page's files.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_channel(settings) as channel:
            app.state.gateway = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(channel)
            app.state.health = health_pb2_grpc.HealthStub(channel)
            yield
        app.state.reading.close()

    app = FastAPI(
        title="Cardex",
        version=__version__,
        description=DISCLAIMER,
        lifespan=lifespan,
        # FastAPI's pages of the schema load scripts from elsewhere into this origin.
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.stopping = asyncio.Event()
    app.state.reading = ReadingPool()
    app.add_exception_handler(grpc.aio.AioRpcError, refuse_call)
    app.add_exception_handler(CardexError, refuse)
    app.add_exception_handler(RequestValidationError, refuse_form)
    app.add_exception_handler(HTTPException, refuse_http)
    app.add_exception_handler(Exception, refuse_unforeseen)
    app.add_middleware(Guard, max_bytes=settings.max_payload_bytes + FORM_MARGIN_BYTES)
    routers = [*(module.router for module in MODULES), page_router(page)]
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]
    if tracing_wanted():
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(
            app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"]
        )
    return app
