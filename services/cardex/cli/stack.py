"""What `cardex up` does."""

import signal
from typing import NoReturn

from rich.console import Console

from cardex.domain.settings import Settings
from cardex.local_stack.stack import Stack


class _Stopped(Exception):
    """SIGTERM, as an exception that unwinds to the stack's end."""


def run_up(
    settings: Settings, *, gateway_port: int, web_port: int, host: str, console: Console
) -> None:
    """Run the stack until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: if a part does not come up, or dies again and again.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        with Stack(
            settings,
            gateway_port=gateway_port,
            web_port=web_port,
            host=host,
            on_progress=console.print,
        ) as stack:
            assert stack.endpoints is not None
            console.print(f"gRPC on {stack.gateway_bind}, page and REST on {stack.endpoints.web}")
            console.print("Ctrl-C stops everything. RESEARCH USE ONLY.")
            stack.watch()
    except (KeyboardInterrupt, _Stopped):
        console.print("stopped")


def _stop(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped
