"""A connection to a gateway, and its errors in the words of the error tree."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from cardex.api.channel import channel_credentials, channel_options
from cardex.api.status import error_of_call
from cardex.domain.errors import Unavailable
from cardex.domain.settings import Settings, settings_of
from cardex.telemetry.tracing import TRACEPARENT, current_trace


class Connection:
    """A connection to a gateway, with the caller's key. Threads may share it."""

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        api_key: str = "",
        ca: Path | None = None,
        insecure: bool = False,
    ) -> None:
        """Prepare a connection; nothing is sent until the first call.

        Args:
            target: `host:port`, `dns:///host:port` for several gateways, or `unix:PATH`.
            api_key: key with the scopes that the calls need; none is needed on loopback.
            ca: PEM file of the CA that signed the gateway's certificate; the system's CAs where
                left out.
            insecure: send everything in clear to another machine.

        Raises:
            ConfigurationError: if the CA cannot be read, or a `CARDEX_*` variable is wrong.
        """
        self._open(
            settings_of(gateway_target=target, api_key=api_key, gateway_ca=ca, insecure=insecure)
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Prepare a connection by the `CARDEX_*` settings, as the command line does."""
        connection = cls.__new__(cls)
        connection._open(settings)
        return connection

    def _open(self, settings: Settings) -> None:
        credentials, options = channel_credentials(settings), channel_options(settings)
        self._settings = settings
        self._target = settings.gateway_target
        self._max_payload_bytes = settings.max_payload_bytes
        self._channel = (
            grpc.insecure_channel(self._target, options)
            if credentials is None
            else grpc.secure_channel(self._target, credentials, options)
        )
        key = settings.api_key
        self._key = [("authorization", f"Bearer {key}")] if key else []

    @property
    def _metadata(self) -> list[tuple[str, str]]:
        """What goes with each call: the caller's key, and the span in which it is made."""
        trace = current_trace()
        return [*self._key, (TRACEPARENT, trace)] if trace else self._key

    def __enter__(self) -> Self:
        """Use the connection in a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as call:
            error = error_of_call(call)
            if isinstance(error, Unavailable) and error.reason == grpc.StatusCode.UNAVAILABLE.name:
                # gRPC's own words, where no gateway answered that has better ones.
                error.message = (
                    f"no gateway answers at {self._target} ({error.message}): start one with"
                    " `cardex up`, or set CARDEX_GATEWAY_TARGET to one that runs"
                )
            raise error from call
