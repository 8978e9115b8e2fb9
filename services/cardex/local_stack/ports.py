"""Free ports on the loopback address, and a clear word about taken ones."""

import socket
from contextlib import ExitStack

from cardex.domain.errors import ConfigurationError

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return different free ports; they are held together, so that none is given twice."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((HOST, 0))
        return [sock.getsockname()[1] for sock in sockets]


def check_free(bind: str, option: str) -> None:
    """Check that an address can be bound.

    Raises:
        ConfigurationError: naming the address and the option that changes it.
    """
    host, _, port = bind.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host.strip("[]"), int(port)))
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigurationError(
                f"cannot listen on {bind} ({error}): stop what uses it, or choose another with"
                f" {option}",
                reason="PORT_TAKEN",
            ) from error


def listening(port: int) -> bool:
    """True where something accepts connections on a loopback port."""
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex((HOST, port)) == 0
