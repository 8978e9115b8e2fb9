"""Addresses to serve on: which need TLS and API keys, and the credentials of a server."""

import ipaddress
from pathlib import Path

import grpc

from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings


def check_bind(bind: str, settings: Settings) -> None:
    """Check that an address may be served with these settings.

    Raises:
        ConfigurationError: if others can reach it and it has no TLS or no API keys.
    """
    if is_loopback(bind) or settings.insecure:
        return
    missing = [
        name
        for name, value in (
            ("CARDEX_TLS_CERT", settings.tls_cert),
            ("CARDEX_TLS_KEY", settings.tls_key),
            ("CARDEX_API_KEYS", settings.api_keys),
        )
        if value is None
    ]
    if missing:
        raise ConfigurationError(
            f"{bind} can be reached from other machines: set {', '.join(missing)}"
            " (`cardex keys add` makes a key file), bind to 127.0.0.1, or give --insecure",
            reason="DOOR_OPEN",
        )


def is_loopback(bind: str) -> bool:
    """True where only this machine can connect."""
    for scheme in ("dns:", "ipv4:", "ipv6:"):
        bind = bind.removeprefix(scheme)
    host = bind.lstrip("/").rsplit(":", 1)[0].strip("[]")
    if bind.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return TLS credentials, mutual where a client CA is set; None where no certificate is set.

    Raises:
        ConfigurationError: if a file cannot be read.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    client_ca = _read(settings.client_ca) if settings.client_ca else None
    return grpc.ssl_server_credentials(
        [(_read(settings.tls_key), _read(settings.tls_cert))],
        root_certificates=client_ca,
        require_client_auth=client_ca is not None,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
