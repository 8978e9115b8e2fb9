"""The web process."""

import logging
import socket
import ssl

import uvicorn

from cardex.api.bind import check_bind
from cardex.domain.settings import Settings
from cardex.telemetry import mark_ready
from cardex.web.app import web_app

logger = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """A server that tells the supervisor when it listens."""

    settings: Settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.started:
            mark_ready(self.settings)


def run_web(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: if the address may not be served with these settings.
    """
    check_bind(settings.web_bind, settings)
    host, _, port = settings.web_bind.rpartition(":")
    server = _Server(
        uvicorn.Config(
            web_app(settings),
            host=host.strip("[]"),
            port=int(port),
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            ssl_ca_certs=str(settings.client_ca) if settings.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if settings.client_ca else ssl.CERT_NONE,
        )
    )
    server.settings = settings
    server.run()
