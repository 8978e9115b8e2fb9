"""The gateway, as the REST process calls it."""

import grpc
from fastapi import Request

from cardex.api.channel import channel_credentials, channel_options
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.settings import Settings
from cardex.telemetry.calls import client_interceptors

TIMEOUT_S = 60.0
INFO_TIMEOUT_S = 10.0

Metadata = list[tuple[str, str]]
"""What goes with a call: the caller's key, where there is one."""


def open_channel(settings: Settings) -> grpc.aio.Channel:
    """Return a channel to the gateway.

    Raises:
        ConfigurationError: if a file of its credentials cannot be read.
    """
    credentials = channel_credentials(settings)
    options = channel_options(settings)
    interceptors = client_interceptors()
    if credentials is None:
        return grpc.aio.insecure_channel(
            settings.gateway_target, options, interceptors=interceptors
        )
    return grpc.aio.secure_channel(
        settings.gateway_target, credentials, options, interceptors=interceptors
    )


async def info_of(request: Request, metadata: Metadata) -> pb.GetServerInfoResponse:
    """Ask what the server runs, which any key may.

    What this process does by itself asks it first, so that nobody without a key has it done.
    """
    info: pb.GetServerInfoResponse = await request.app.state.gateway.GetServerInfo(
        pb.GetServerInfoRequest(), timeout=INFO_TIMEOUT_S, metadata=metadata
    )
    return info
