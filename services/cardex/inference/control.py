"""Triton's explicit model control, on every replica behind a name."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from cardex.domain.errors import (
    Busy,
    CardexError,
    ConfigurationError,
    TooSlow,
    Unavailable,
    VersionMismatch,
)
from cardex.inference.encoder import served_model
from cardex.inference.triton_client import TritonClient
from cardex.inference.triton_encoder import TritonEncoder

LOAD_S = 600.0
"""How long a load may take; it may build an engine first."""
STATISTICS_S = 5.0
T = TypeVar("T")


class Replica:
    """One Triton server."""

    def __init__(self, address: str, *, timeout_s: float) -> None:
        """Prepare a client; nothing is sent until it is used.

        Args:
            address: `host:port` of the gRPC service.
            timeout_s: how long an inference may take before it is given up.
        """
        self.address = address
        self._timeout_s = timeout_s
        self._client = triton.InferenceServerClient(address)

    def load(self, model: str) -> None:
        """Load a model, or load it anew by its configuration on disk; requests in flight go on.

        Raises:
            ConfigurationError: if the server cannot load it; the message has the server's reason.
            Unavailable: if the server is down.
        """
        self._call(lambda: self._client.load_model(model, client_timeout=LOAD_S))

    def serves(self, version: str, repository: Path) -> bool:
        """Return whether a version is loaded, fits this process, and answers its probes correctly.

        Args:
            version: the model version, as its card names it.
            repository: the model repository, which holds the version's tokenizer.

        Returns:
            False also if the server answers but has no usable version at all; the log says why.

        Raises:
            Unavailable: if the server is down, full, or slower than the time-out.
        """
        client = TritonClient(self.address, timeout_s=self._timeout_s)
        try:
            return served_model(TritonEncoder(client, repository), version) is not None
        except (VersionMismatch, ConfigurationError):
            return False
        except (Busy, TooSlow):
            raise
        except Unavailable:
            client.ping()  # raises Unavailable if the server is down
            return False

    def asked(self, model: str, triton_version: int) -> int:
        """Return how many requests a version has answered since it was loaded."""
        statistics = self._call(
            lambda: self._client.get_inference_statistics(
                model, str(triton_version), client_timeout=STATISTICS_S
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


def replicas(url: str, *, timeout_s: float) -> list[Replica]:
    """Return every server behind a name.

    Args:
        url: `host:port`, `dns:///host:port` or `ipv4:host:port,...`.
        timeout_s: as for `Replica`.

    Raises:
        Unavailable: if the name cannot be resolved.
    """
    if url.startswith("ipv4:"):
        addresses = url.removeprefix("ipv4:").split(",")
        return [Replica(address, timeout_s=timeout_s) for address in addresses]
    host, _, port = url.removeprefix("dns:").lstrip("/").rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"there is no Triton at {url} ({error}): set CARDEX_TRITON_URL to host:port",
            reason="TRITON_UNAVAILABLE",
            retry_after_s=5.0,
        ) from error
    # One machine may have an address of each family: count it once.
    four = sorted({str(where[0]) for family, *_, where in found if family == socket.AF_INET})
    six = sorted({f"[{where[0]}]" for family, *_, where in found if family == socket.AF_INET6})
    return [Replica(f"{address}:{port}", timeout_s=timeout_s) for address in four or six]
