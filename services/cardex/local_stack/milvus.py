"""Milvus Lite as a part of the stack."""

import sys
from pathlib import Path

from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST, listening


def milvus_process(data: Path, port: int, log: Path) -> ManagedProcess:
    """Return Milvus Lite, serving the folder `data`."""
    program = Path(sys.executable).parent / "milvus-lite"
    return ManagedProcess(
        name="Milvus Lite",
        argv=[
            str(program), "server", "--data-dir", str(data), "--host", HOST, "--port", str(port)
        ],
        log=log,
        ready=lambda: listening(port),
        remedy=f"Only one process may use {data}. Deleting it loses the index: `cardex index`.",
    )  # fmt: skip
