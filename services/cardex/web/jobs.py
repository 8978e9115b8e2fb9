"""Jobs: one as it is, and the changes of many as they happen."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import grpc
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, StrictBool
from starlette.background import BackgroundTask

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.status import error_of_call
from cardex.domain.errors import CardexError, Unavailable
from cardex.web.credentials import Credentials
from cardex.web.errors import body_of, refusals
from cardex.web.gateway import TIMEOUT_S
from cardex.web.wire import Utf8, json_of

router = APIRouter(prefix="/v1", tags=["ECGs"])
MAX_WATCHED = 10_000
COMMENT_S = 15.0
"""So often something is sent, so that nothing on the way takes the connection for dead."""
FIRST_S = 2.0
"""How long a refusal may take to become the status of the answer; a later one is an event."""
STREAM_HEADERS = {"X-Accel-Buffering": "no"}
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


class WatchQuery(BaseModel):
    """Which jobs to watch, in the body, since there may be many."""

    job_ids: list[Annotated[Utf8, Field(json_schema_extra={"maxLength": 64})]] = Field(
        min_length=1, max_length=MAX_WATCHED
    )
    cursor: Utf8 = Field("", json_schema_extra={"pattern": r"^([0-9]{1,15}-[0-9]{1,15})?$"})
    with_answers: StrictBool = True


@router.get("/jobs/{job_id}", responses=refusals(401, 403, 404, 413, 422, 500, 503, 504))
async def get_job(request: Request, credentials: Credentials, job_id: str) -> dict[str, Any]:
    """Return one job."""
    message = pb.GetJobRequest(job_id=job_id)
    return json_of(
        await request.app.state.gateway.GetJob(message, timeout=TIMEOUT_S, metadata=credentials)
    )


@router.post(
    "/jobs:watch",
    response_class=Response,
    responses={**STREAM, **refusals(400, 401, 403, 404, 413, 422, 500, 503, 504)},
)
async def watch_jobs(request: Request, credentials: Credentials, query: WatchQuery) -> Response:
    """Stream the named jobs as they are, then every change until all of them are final.

    The events are "jobs" with {"jobs": [...], "cursor": "..."}, at the end "end", or "error" with
    the body of a refusal. Whoever was cut off goes on from the last cursor.
    """
    message = pb.WatchJobsRequest(
        job_ids=query.job_ids, cursor=query.cursor, with_answers=query.with_answers, many=True
    )
    call = request.app.state.gateway.WatchJobs(message, metadata=credentials)
    first = asyncio.ensure_future(call.read())
    await asyncio.wait({first}, timeout=FIRST_S)
    if first.done():
        first.result()  # raises what the gateway refused
    events = _events(call, first, request.app.state.stopping)
    return StreamingResponse(
        events,
        media_type="text/event-stream",
        headers=STREAM_HEADERS,
        background=BackgroundTask(_cancel, call),  # events of a browser that left never begin
    )


async def _events(
    call: Any,  # noqa: ANN401  gRPC's calls have no type that both its APIs share
    first: "asyncio.Future[Any]",
    stopping: asyncio.Event,
) -> AsyncIterator[str]:
    """Yield the events of one stream, and cancel it when the browser is gone."""
    reading, stop = first, asyncio.ensure_future(stopping.wait())
    try:
        while not stop.done():
            done, _ = await asyncio.wait(
                {reading, stop}, timeout=COMMENT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if reading in done:
                response = reading.result()
                if response is grpc.aio.EOF:
                    yield _event("end", {})
                    return
                yield _event("jobs", await run_in_threadpool(_changes, response))
                reading = asyncio.ensure_future(call.read())
            elif not done:
                yield ": nothing new\n\n"
        yield _error(_restarting())
    except grpc.aio.AioRpcError as error:
        yield _error(error_of_call(error))
    finally:
        call.cancel()
        stop.cancel()
        reading.cancel()


async def _cancel(call: Any) -> None:  # noqa: ANN401
    call.cancel()


def _changes(response: pb.WatchJobsResponse) -> dict[str, Any]:
    return {"jobs": [json_of(job) for job in response.jobs], "cursor": response.cursor}


def _error(error: CardexError) -> str:
    """Return an error as an event, with the status that it would have as an answer."""
    body = body_of(error)
    return _event("error", {"error": {**body["error"], "http_status": error.http_status}})


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def _restarting() -> CardexError:
    return Unavailable(
        "this server stops: watch again from the last cursor",
        reason="STOPPING",
        retry_after_s=1.0,
    )
