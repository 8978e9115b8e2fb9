"""Channels to the gateway, for the web process and the command line."""

from pathlib import Path

import grpc

from cardex.api.bind import is_loopback
from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings

MARGIN_BYTES = 64 * 1024
MAX_RECONNECT_MS = 5_000  # a gateway that is back is found soon; gRPC waits for up to 2 minutes


def channel_options(settings: Settings) -> list[tuple[str, int | str]]:
    """Return options that let the largest payload through and use every gateway behind a name."""
    return [
        ("grpc.max_send_message_length", settings.max_payload_bytes + MARGIN_BYTES),
        ("grpc.max_receive_message_length", -1),
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_MS),
    ]


def channel_credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """Return TLS credentials for the gateway, by the system's CAs where none is set.

    None stands for a plain channel to this machine.

    Raises:
        ConfigurationError: if a file cannot be read.
    """
    if settings.gateway_ca is not None:
        pair = (settings.tls_key, settings.tls_cert) if settings.client_ca else (None, None)
        return grpc.ssl_channel_credentials(_read(settings.gateway_ca), *map(_read, pair))
    if is_loopback(settings.gateway_target) or settings.insecure:
        return None
    return grpc.ssl_channel_credentials()


def _read(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
