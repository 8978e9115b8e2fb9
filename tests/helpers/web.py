"""The web process's application, served on a port by a thread of this process."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import uvicorn

from cardex.api.pb.v1 import ecg_retrieval_pb2_grpc
from cardex.domain.settings import Settings
from cardex.web.app import web_app
from cardex.web.main import WebServer


@contextmanager
def serving(servicer: ecg_retrieval_pb2_grpc.EcgRetrievalServiceServicer) -> Iterator[str]:
    """Serve a gateway made up for a test; yields its address."""
    server = grpc.server(ThreadPoolExecutor(8))
    ecg_retrieval_pb2_grpc.add_EcgRetrievalServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


@contextmanager
def running_web(settings: Settings, page: Path) -> Iterator[tuple[httpx.Client, WebServer]]:
    """Serve the application; yields a client that keeps cookies, and the server."""
    app = web_app(settings, page)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = WebServer(config, app)
    up = threading.Event()
    startup = server.startup

    async def started(sockets=None):
        await startup(sockets)
        up.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert up.wait(30)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client, server
    finally:
        server.should_exit = True
        thread.join()
