"""More processes of one kind beside a stack's own, as a cluster has them."""

import sys
from pathlib import Path

from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.stack import Stack

STOP_S = 60.0


def another(stack: Stack, folder: Path, name: str, *arguments: str, **env: str) -> ManagedProcess:
    """Start one more process of Cardex on the parts of a stack; the caller stops it."""
    ready = folder / f"{name}.ready"
    part = ManagedProcess(
        name=name,
        argv=[sys.executable, "-m", "cardex", *arguments],
        log=folder / f"{name}.log",
        ready=ready.exists,
        env={**stack.processes["gateway"].env, "CARDEX_READY_FILE": str(ready), **env},
        cleanup=lambda: ready.unlink(missing_ok=True),
    )
    part.start()
    part.wait_ready()
    return part


def drained(part: ManagedProcess) -> int:
    """Ask a process to stop, as Kubernetes does, and return how it ended."""
    assert part.process is not None
    part.ask_to_stop()
    status = part.process.wait(STOP_S)
    part.stop()
    return status
