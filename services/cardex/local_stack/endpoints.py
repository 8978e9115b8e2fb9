"""Where the parts of a running stack are, for the other commands of the same machine."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from cardex.domain.settings import Settings

DESCRIPTION = "stack.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the parts of a running stack are; kept in the data folder for the other commands.

    Attributes:
        gateway: gRPC target.
        web: base URL.
        triton: gRPC address of Triton.
        triton_metrics: URL of Triton's metrics.
        milvus: URI.
        state: URL of the state store, with its password.
        cache: URL of the cache, with its password.
        model_repository: that Triton reads, and the processes know their models from.
    """

    gateway: str
    web: str
    triton: str
    triton_metrics: str
    milvus: str
    state: str = field(repr=False)
    cache: str = field(repr=False)
    model_repository: str = ""

    def write(self, folder: Path) -> None:
        """Write it into the data folder, readable by this user only: it holds passwords."""
        path = folder / DESCRIPTION
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(self))


def running_endpoints(settings: Settings) -> Endpoints | None:
    """Return where the stack of this data folder is, None if none runs."""
    path = settings.data_dir / DESCRIPTION
    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoints)
    except (OSError, msgspec.DecodeError):
        return None
