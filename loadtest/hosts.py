"""The parts of Cardex on hosts of their own, as on a cluster, on one machine."""

import itertools
import secrets
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import redis

from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST
from cardex.local_stack.triton import inspect_runtime, triton_process
from cardex.local_stack.valkey import server_program
from loadtest.network import Network

NAMES = ("gateway", "worker-1", "worker-2", "triton", "milvus", "state-1", "state-2")
STATES = ("state-1", "state-2")
SENTINELS = ("gateway", "worker-1", "worker-2")
"""Hosts with a sentinel: a majority of them sees more than one that is cut off."""
MASTER, QUORUM = "state", 2
DOWN_AFTER_MS, FAILOVER_MS = 1_000, 3_000
STATE, CACHE, SENTINEL, MILVUS, TRITON, GATEWAY = 6379, 6380, 26379, 19530, 8001, 50051
TRITON_PORTS = (8000, TRITON, 8002)
EVERYWHERE = "0.0.0.0"  # noqa: S104  within a namespace
LEASE_S = 4.0
START_S = 120.0
UNTIL_S = 60.0


class Hosts:
    """Gateway, two workers, Triton, Milvus, and a state store with its replica; a context manager.

    Attributes:
        network: joins them.
        settings: those that reach the gateway.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        """Prepare the parts on the hosts of `network`; everything is kept in `folder`."""
        self.network, self._folder = network, folder
        self._password = secrets.token_hex(8)
        self._parts: dict[str, ManagedProcess] = {}
        self._started = ExitStack()
        self.settings = Settings(gateway_target=self._at("gateway", GATEWAY), insecure=True)

    def _at(self, host: str, port: int) -> str:
        return f"{self.network.hosts[host].address}:{port}"

    def __enter__(self) -> Self:
        """Start all, each when those that it needs are ready."""
        try:
            self._start(*(self._valkey(host) for host in STATES))
            self._start(*map(self._sentinel, SENTINELS), self._cache(), self._milvus())
            until(self._sentinels_agree)
            self._start(self._triton())
            self._start(self._own("gateway", "gateway", ["gateway"]), *self._workers())
        except BaseException:
            self._started.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all, the last first."""
        self._started.close()

    def _start(self, *parts: ManagedProcess) -> None:
        """Start parts together, and wait until all are ready."""
        for part in parts:
            part.start()
            self._parts[part.name] = part
            self._started.callback(_end, part)
        for part in parts:
            part.wait_ready()

    def _part(
        self,
        host: str,
        name: str,
        argv: Sequence[str],
        ready: Callable[[], bool],
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> ManagedProcess:
        command = self.network.hosts[host].within(argv)
        log = self._folder / f"{name}.log"
        return ManagedProcess(name, command, log, ready, env, timeout_s=START_S)

    def _valkey(self, host: str) -> ManagedProcess:
        folder = self._folder / host
        folder.mkdir()
        text = (
            f"bind {EVERYWHERE}\nport {STATE}\nrequirepass {self._password}\n"
            f"masterauth {self._password}\n"
            f'dir "{folder}"\nappendonly yes\nappendfsync always\nsave ""\n'
            "maxmemory 256mb\nmaxmemory-policy noeviction\n"
            "repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\nrepl-timeout 5\n"
            f"replica-announce-ip {self.network.hosts[host].address}\n"
        )
        if host != STATES[0]:
            text += f"replicaof {self.network.hosts[STATES[0]].address} {STATE}\n"
        path = folder / "valkey.conf"
        path.write_text(text)
        ready = lambda: bool(self.store(host).ping())  # noqa: E731
        return self._part(host, host, [server_program(), str(path)], answers(ready))

    def _cache(self) -> ManagedProcess:
        argv = [server_program(), "--bind", EVERYWHERE, "--port", str(CACHE), "--save", "",
                "--protected-mode", "no", "--maxmemory", "128mb"]  # fmt: skip
        return self._part("gateway", "cache", argv, self._listening("gateway", CACHE))

    def _sentinel(self, host: str) -> ManagedProcess:
        folder = self._folder / f"sentinel-{host}"
        folder.mkdir()
        own = self.network.hosts[host].address
        path = folder / "sentinel.conf"
        path.write_text(
            f'bind {EVERYWHERE}\nport {SENTINEL}\nprotected-mode no\ndir "{folder}"\n'
            f"sentinel announce-ip {own}\n"
            f"sentinel monitor {MASTER} {self.network.hosts[STATES[0]].address} {STATE} {QUORUM}\n"
            f"sentinel auth-pass {MASTER} {self._password}\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {MASTER} {FAILOVER_MS}\n"
        )
        argv = [server_program(), str(path), "--sentinel"]
        return self._part(host, f"sentinel-{host}", argv, self._listening(host, SENTINEL))

    def _milvus(self) -> ManagedProcess:
        program = Path(sys.executable).parent / "milvus-lite"
        argv = [str(program), "server", "--data-dir", str(self._folder / "milvus"),
                "--host", EVERYWHERE, "--port", str(MILVUS)]  # fmt: skip
        return self._part("milvus", "milvus", argv, self._listening("milvus", MILVUS))

    def _triton(self) -> ManagedProcess:
        folder = self._folder / "triton"
        part = triton_process(
            inspect_runtime(Settings().triton_python), Settings().model_repository, folder,
            TRITON_PORTS, self._folder / "triton.log",
        )  # fmt: skip
        address = self.network.hosts["triton"].address
        argv = [each.replace(f"address={HOST}", f"address={address}") for each in part.argv]
        part.argv = self.network.hosts["triton"].within(argv)
        part.ready = answers(lambda: self._triton_is_ready(address))
        return part

    def _triton_is_ready(self, address: str) -> bool:
        url = f"http://{address}:{TRITON_PORTS[0]}/v2/health/ready"
        with urllib.request.urlopen(url, timeout=2.0) as response:
            return bool(response.status == 200)  # noqa: PLR2004

    def _workers(self) -> Iterator[ManagedProcess]:
        """Return a worker of each queue on both hosts."""
        for host, queue in itertools.product(("worker-1", "worker-2"), ("stat", "routine")):
            name = f"{host}-{queue}"
            yield self._own(host, name, ["worker", "--queue", queue, "--name", name])

    def _own(self, host: str, name: str, arguments: Sequence[str]) -> ManagedProcess:
        ready = self._folder / f"{name}.ready"
        env = {
            "CARDEX_STATE_URL": self._state_url(),
            "CARDEX_STATE_REPLICAS": "1",
            "CARDEX_CACHE_URL": f"redis://{self._at('gateway', CACHE)}/0",
            "CARDEX_MILVUS_URI": f"http://{self._at('milvus', MILVUS)}",
            "CARDEX_TRITON_URL": self._at("triton", TRITON),
            "CARDEX_GATEWAY_BIND": f"{EVERYWHERE}:{GATEWAY}",
            "CARDEX_INSECURE": "true",
            "CARDEX_LEASE_S": f"{LEASE_S:g}",
            "CARDEX_MEMORY_REPORTS": "0",  # each search is a call of Milvus
            "CARDEX_READY_FILE": str(ready),
        }
        argv = [sys.executable, "-m", "cardex", *arguments]
        return self._part(host, name, argv, ready.exists, env)

    def _state_url(self) -> str:
        sentinels = ",".join(self._at(host, SENTINEL) for host in SENTINELS)
        return f"sentinel://:{self._password}@{sentinels}/0?master={MASTER}"

    def _listening(self, host: str, port: int) -> Callable[[], bool]:
        def connects() -> bool:
            address = (self.network.hosts[host].address, port)
            with socket.create_connection(address, timeout=1.0):
                return True

        return answers(connects)

    def store(self, host: str) -> redis.Redis:
        """Return a client of the state store on one host."""
        address = self.network.hosts[host].address
        return redis.Redis(host=address, port=STATE, password=self._password, socket_timeout=2)

    def primary(self) -> str:
        """Return the host whose state store a majority of the sentinels names.

        Raises:
            RedisError: if too few sentinels answer.
        """
        named = [self._named_by(host) for host in SENTINELS]
        for name in STATES:
            if named.count(self.network.hosts[name].address) >= QUORUM:
                return name
        raise redis.exceptions.RedisError("the sentinels do not agree")

    def _named_by(self, host: str) -> str:
        client = redis.Redis(host=self.network.hosts[host].address, port=SENTINEL, socket_timeout=2)
        found: Any = client.sentinel_master(MASTER)
        return str(found["ip"])

    def _sentinels_agree(self) -> bool:
        """Return whether each knows the others and the replica."""
        for host in SENTINELS:
            address = self.network.hosts[host].address
            found: Any = redis.Redis(host=address, port=SENTINEL).sentinel_master(MASTER)
            if found["num-slaves"] != 1 or found["num-other-sentinels"] != len(SENTINELS) - 1:
                return False
        return True

    def replicated(self) -> bool:
        """Return whether the primary has a replica that hears it, whichever of the two it is."""
        info = self.store(self.primary()).info("replication")
        return bool(info["role"] == "master" and info["connected_slaves"] == 1)

    def kill_primary(self) -> str:
        """Kill the primary; returns its host, for `start_again`."""
        name = self.primary()
        _end(self._parts[name])
        return name

    def start_again(self, name: str) -> None:
        """Start a state store that was killed; the sentinels make it the other's replica."""
        self._start(self._parts[name])


def _end(part: ManagedProcess) -> None:
    part.kill()
    part.stop()


def answers(function: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that is False where the other one cannot connect."""

    def asked() -> bool:
        try:
            return function()
        except (OSError, redis.exceptions.RedisError):
            return False

    return asked


def until(condition: Callable[[], bool], seconds: float = UNTIL_S) -> None:
    """Wait for a condition; that a part cannot be reached counts as no.

    Raises:
        ConfigurationError: if it does not come.
    """
    deadline, asked = time.monotonic() + seconds, answers(condition)
    while not asked():
        if time.monotonic() > deadline:
            raise ConfigurationError(f"what was waited for did not come within {seconds:g} s")
        time.sleep(0.1)
