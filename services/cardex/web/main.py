"""The web process."""

import logging
import socket
import ssl

import uvicorn
from fastapi import FastAPI

from cardex.api.bind import check_bind
from cardex.domain.settings import Settings
from cardex.telemetry.probes import mark_alive, mark_ready, mark_starting, mark_stopping
from cardex.telemetry.tracing import start_tracing
from cardex.web.app import web_app

logger = logging.getLogger(__name__)


ALIVE_TICKS = 50
"""uvicorn ticks ten times a second."""


class WebServer(uvicorn.Server):
    """A server that tells the supervisor when it listens, that it gets on, and when it stops."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        """Serve `app` as `config` says."""
        super().__init__(config)
        self._app = app
        self._settings: Settings = app.state.settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.started:
            mark_ready(self._settings)

    async def on_tick(self, counter: int) -> bool:
        """Say that the loop turns; returns whether to stop."""
        if counter % ALIVE_TICKS == 0:
            mark_alive(self._settings)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it stops, end the streams that would hold it up, and stop."""
        mark_stopping(self._settings)
        self._app.state.stopping.set()
        await super().shutdown(sockets)


def run_web(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: if the address may not be served with these settings.
    """
    mark_starting(settings)
    check_bind(settings.web_bind, settings)
    start_tracing("web")
    host, _, port = settings.web_bind.rpartition(":")
    app = web_app(settings)
    server = WebServer(
        uvicorn.Config(
            app,
            host=host.strip("[]"),
            port=int(port),
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            ssl_ca_certs=str(settings.client_ca) if settings.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if settings.client_ca else ssl.CERT_NONE,
        ),
        app,
    )
    server.run()
