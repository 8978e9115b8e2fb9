"""One process of the local stack: started, checked, watched, stopped."""

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cardex.domain.errors import ConfigurationError

logger = logging.getLogger(__name__)

STOP_S = 10.0
TAIL_BYTES = 2_000
UNKNOWN_STATUS = 0
"""What `subprocess` says too of a process whose status nobody kept."""


@dataclass
class ManagedProcess:
    """A process with a readiness check and a log file.

    Attributes:
        name: what the user is told.
        argv: the command.
        log: file that takes its output.
        ready: True once it can be used.
        env: variables on top of this process's own.
        timeout_s: how long it may take to become ready.
        remedy: what to do when it does not come up.
        cleanup: run after every end of the process.
        process: while it runs.
        asked: whether it was asked to stop.
    """

    name: str
    argv: Sequence[str]
    log: Path
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 60.0
    remedy: str = ""
    cleanup: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None
    asked: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start the process in a session of its own.

        The kernel ends it when this process dies, however that happens.

        Raises:
            ConfigurationError: if the program does not exist.
        """
        self.asked = False
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            try:
                self.process = subprocess.Popen(
                    [*guard, *self.argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.env},
                    start_new_session=True,
                )
            except OSError as error:
                raise ConfigurationError(f"cannot start {self.name}: {error}") from error

    def wait_ready(self) -> None:
        """Wait until it can be used.

        Raises:
            ConfigurationError: with the end of its log and the remedy, if it ends or takes too
                long.
        """
        deadline = time.monotonic() + self.timeout_s
        while not self.ready():
            if (code := self.exit_code()) is not None:
                raise self._trouble(f"ended with status {code}")
            if time.monotonic() > deadline:
                raise self._trouble(f"was not ready within {self.timeout_s:g} s")
            time.sleep(0.05)

    def exit_code(self) -> int | None:
        """Return its exit status, None while it runs."""
        if self.process is None:
            return None
        if self.process.returncode is not None:
            return self.process.returncode
        # Popen.poll() takes a lock that a Ctrl-C in its midst leaves taken, and no wait() would
        # ever end.
        try:
            ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return UNKNOWN_STATUS  # where SIGCHLD is ignored, the kernel keeps no status
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def ask_to_stop(self) -> None:
        """Ask it to stop, once, and do not wait."""
        if not self.asked:
            self.asked = True
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Make it stop at once, and do not wait."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to stop, then make it; its children go with it."""
        if self.process is None:
            return
        self.ask_to_stop()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            logger.warning("%s does not stop: killed", self.name)
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.process = None
        self.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return

    def _trouble(self, what: str) -> ConfigurationError:
        tail = self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        last = "\n  ".join(tail.splitlines()[-8:])
        remedy = f"\n{self.remedy}" if self.remedy else ""
        return ConfigurationError(
            f"{self.name} {what}. The end of {self.log}:\n  {last}{remedy}", reason="PART_NOT_READY"
        )
