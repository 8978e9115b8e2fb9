"""A primary, its replica and three sentinels, all real, on this machine."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from cardex.local_stack.ports import HOST, free_ports
from cardex.local_stack.valkey import server_program
from tests.helpers.waiting import until

MASTER, PASSWORD = "state", "of-the-test"
SENTINELS = 3
DOWN_AFTER_MS = 500


class Failover:
    """Processes that fail over.

    Attributes:
        url: by which Cardex finds the primary.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare them in a folder."""
        self._folder = folder
        self._primary, self._replica, *self._sentinels = free_ports(2 + SENTINELS)
        hosts = ",".join(f"{HOST}:{port}" for port in self._sentinels)
        self.url = f"sentinel://:{PASSWORD}@{hosts}/0?master={MASTER}"
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all, and wait until the sentinels know of the replica."""
        data = f'requirepass {PASSWORD}\nmasterauth {PASSWORD}\nappendonly yes\nsave ""\n'
        data += "repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n"
        self._start(self._primary, data)
        self._start(self._replica, f"{data}replicaof {HOST} {self._primary}\n")
        _settle(lambda: self.client(self._primary).info("replication")["connected_slaves"] == 1)
        for port in self._sentinels:
            watched = f"sentinel monitor {MASTER} {HOST} {self._primary} 2\n"
            watched += f"sentinel auth-pass {MASTER} {PASSWORD}\n"
            watched += f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n"
            watched += f"sentinel failover-timeout {MASTER} 2000\n"
            self._start(port, watched, "--sentinel")
        _settle(lambda: all(map(self._knows_all, self._sentinels)))

    def _start(self, port: int, settings: str, *options: str) -> None:
        folder = self._folder / str(port)
        folder.mkdir()
        path = folder / "valkey.conf"
        path.write_text(f'bind {HOST}\nport {port}\ndir "{folder}"\n{settings}')
        with (folder / "log").open("wb") as log:
            command = [server_program(), str(path), *options]
            self._processes[port] = subprocess.Popen(command, stdout=log, stderr=log)

    def _knows_all(self, port: int) -> bool:
        try:
            found: Any = redis.Redis(host=HOST, port=port).sentinel_master(MASTER)
        except redis.exceptions.RedisError:
            return False
        return bool(found["num-slaves"] == 1 and found["num-other-sentinels"] == SENTINELS - 1)

    def client(self, port: int) -> redis.Redis:
        """Return a client of one of the two."""
        return redis.Redis(host=HOST, port=port, password=PASSWORD, socket_timeout=2)

    @property
    def replica(self) -> redis.Redis:
        """A client of the replica."""
        return self.client(self._replica)

    def kill_primary(self) -> None:
        """Kill the primary; the sentinels promote the replica."""
        self._processes[self._primary].kill()

    @contextmanager
    def replica_cut_off(self) -> Iterator[None]:
        """Let the replica hear nothing while the block runs, nor later what was said meanwhile."""
        self._processes[self._replica].send_signal(signal.SIGSTOP)
        try:
            self.client(self._primary).client_kill_filter(_type="replica")
            yield
        finally:
            self._processes[self._replica].send_signal(signal.SIGCONT)

    def wait_promoted(self) -> None:
        """Wait until the replica is the primary, for itself and for the sentinels."""
        _settle(lambda: self.client(self._replica).info("replication")["role"] == "master")
        _settle(lambda: all(self._names(port) == self._replica for port in self._sentinels))

    def _names(self, port: int) -> int:
        found: Any = redis.Redis(host=HOST, port=port).sentinel_master(MASTER)
        return int(found["port"])

    def stop(self) -> None:
        """Kill all."""
        for process in self._processes.values():
            process.kill()
            process.wait()


def _settle(condition: Callable[[], bool]) -> None:
    """Wait for what the processes come to by themselves; meanwhile they may refuse to answer."""
    until(condition, 30.0, despite=(redis.exceptions.RedisError,))
