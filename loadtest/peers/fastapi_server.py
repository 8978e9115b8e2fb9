"""FastAPI and uvicorn: two worker processes, one record a request, no batching.

Its settings: one uvicorn worker a core, with uvloop and httptools; records computed by one thread
beside the event loop, so that requests are read meanwhile and no more threads share the
interpreter's lock; ONNX Runtime and BLAS with one thread each; no access log.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from fastapi import FastAPI, Request, Response

from cardex.local_stack.ports import HOST
from loadtest.peers.work import load_work

WORKERS = 2


@asynccontextmanager
async def _loaded(app: FastAPI) -> AsyncIterator[None]:
    app.state.work = load_work()
    app.state.one_at_a_time = anyio.CapacityLimiter(1)
    yield


app = FastAPI(lifespan=_loaded)


@app.get("/ready")
async def ready() -> Response:
    """Answer once a worker has loaded."""
    return Response()


@app.post("/answer")
async def answer(request: Request) -> Response:
    """Answer one payload, the body, with an `Answer` message."""
    payload = await request.body()
    (message,) = await anyio.to_thread.run_sync(
        app.state.work.answer, [payload], limiter=app.state.one_at_a_time
    )
    return Response(message, media_type="application/x-protobuf")


def main() -> None:
    """Serve on `--port`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(
        "loadtest.peers.fastapi_server:app",
        host=HOST, port=parser.parse_args().port, workers=WORKERS, access_log=False,
        loop="uvloop", http="httptools", log_level="warning",
        timeout_worker_healthcheck=60,  # a worker that is slow to load would be killed after 5 s
    )  # fmt: skip


if __name__ == "__main__":
    main()
