"""A real Milvus server from the peers' environment, on a data folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymilvus.exceptions import MilvusException

from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST, free_ports
from cardex.stores.milvus import connect
from loadtest.peers.ways import PEERS
from loadtest.processes import resident_bytes

STARTS_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class MilvusServer:
    """A running server.

    Attributes:
        uri: where it is.
        pid: its first process, which starts the server itself.
    """

    uri: str
    pid: int

    def resident_gb(self) -> float:
        """Return the memory that its processes have now."""
        return resident_bytes(self.pid) / 1e9


@contextmanager
def milvus_server(folder: Path) -> Iterator[MilvusServer]:
    """Run Milvus standalone on `folder`.

    It also listens on addresses of other machines: run it where nobody reaches those.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    uri = f"http://{HOST}:{port}"
    program = str((PEERS / "milvus-server").resolve())
    argv = [program, "--data", str(folder), "--proxy-port", str(port)]
    # It ends with its group: the process that it starts does not end by itself.
    server = ManagedProcess(
        "Milvus", argv, folder / "out.log", lambda: _answers(uri), timeout_s=STARTS_WITHIN_S
    )
    try:
        server.start()
        server.wait_ready()
        assert server.process is not None
        yield MilvusServer(uri, server.process.pid)
    finally:
        server.stop()


def _answers(uri: str) -> bool:
    try:
        client = connect(uri, timeout_s=2.0)
        client.list_collections(timeout=2.0)
    except MilvusException:
        return False
    client.close()
    return True
