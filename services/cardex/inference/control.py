"""Triton's explicit model control, on every replica behind a name."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from cardex.domain.errors import CardexError, ConfigurationError, Unavailable
from cardex.inference.encoder import served_model
from cardex.inference.triton_client import TritonClient
from cardex.inference.triton_encoder import TritonEncoder

LOAD_S = 600.0
"""A load may build an engine first."""
ASK_S = 5.0
T = TypeVar("T")


class Replica:
    """One Triton server."""

    def __init__(self, address: str) -> None:
        """Prepare a client of `host:port`; nothing is sent until it is used."""
        self.address = address
        self._client = triton.InferenceServerClient(address)

    def load(self, model: str) -> None:
        """Load a model, or load it anew by its configuration on disk; requests in flight go on.

        Raises:
            ConfigurationError: if the server cannot; with its reason.
            Unavailable: if the server is down.
        """
        self._call(lambda: self._client.load_model(model, client_timeout=LOAD_S))

    def serves(self, version: str, repository: Path) -> bool:
        """Return whether a version of `repository` is loaded, fits, and answers its known inputs as it should.

        Raises:
            CardexError: if the server is down, or no version can be used; what is wrong with one is logged.
        """
        encoder = TritonEncoder(TritonClient(self.address), repository)
        return served_model(encoder, version) is not None

    def asked(self, model: str, triton_version: int) -> int:
        """Return how many requests a version has answered since it was loaded."""
        statistics = self._call(
            lambda: self._client.get_inference_statistics(
                model, str(triton_version), client_timeout=ASK_S
            )
        )
        return sum(int(one.inference_stats.success.count) for one in statistics.model_stats)

    def _call(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except InferenceServerException as error:
            raise self._translation(error) from error

    def _translation(self, error: InferenceServerException) -> CardexError:
        words = (error.message() or "")[:500]
        if "UNAVAILABLE" in str(error.status()) and "explicit model load" in words:
            return ConfigurationError(
                f"Triton at {self.address} does not take models: start it with"
                " --model-control-mode=explicit --load-model=*"
            )
        if "UNAVAILABLE" in str(error.status()) or "DEADLINE" in str(error.status()):
            return Unavailable(
                f"Triton at {self.address}: {words}", reason="TRITON_UNAVAILABLE", retry_after_s=2.0
            )
        return ConfigurationError(f"Triton at {self.address}: {words}")


def replicas(url: str) -> list[Replica]:
    """Return every server behind `host:port`, `dns:///host:port` or `ipv4:host:port,...`.

    Raises:
        Unavailable: if the name is not known.
    """
    if url.startswith("ipv4:"):
        return [Replica(address) for address in url.removeprefix("ipv4:").split(",")]
    host, _, port = url.removeprefix("dns:").lstrip("/").rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"there is no Triton at {url} ({error}): set CARDEX_TRITON_URL to host:port",
            reason="TRITON_UNAVAILABLE",
            retry_after_s=5.0,
        ) from error
    # A name for both families of one machine stands for one server.
    four = sorted({str(where[0]) for family, *_, where in found if family == socket.AF_INET})
    six = sorted({f"[{where[0]}]" for family, *_, where in found if family == socket.AF_INET6})
    return [Replica(f"{address}:{port}") for address in four or six]
