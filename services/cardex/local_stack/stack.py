"""Everything on this machine: starts the parts in order, restarts what dies, stops all of them."""

import fcntl
import logging
import secrets
import shutil
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from cardex.api.bind import check_bind
from cardex.domain.errors import ConfigurationError
from cardex.domain.jobs import Priority
from cardex.domain.settings import Settings
from cardex.local_stack.endpoints import DESCRIPTION, Endpoints
from cardex.local_stack.interrupts import uninterrupted
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.milvus import milvus_process
from cardex.local_stack.ports import HOST, check_free, free_ports
from cardex.local_stack.triton import inspect_runtime, triton_process
from cardex.local_stack.valkey import ValkeyConfig, valkey_process
from cardex.telemetry.metrics import MULTIPROC_DIR

logger = logging.getLogger(__name__)

MIN_FREE_BYTES = 1024**3
MAX_RESTARTS = 5
RESTART_WINDOW_S = 60.0


class Stack:
    """The parts of one data folder; a context manager that always stops what it started."""

    def __init__(
        self,
        settings: Settings,
        *,
        gateway_port: int = 0,
        web_port: int = 0,
        host: str = HOST,
        on_progress: Callable[[str], None] = logger.info,
    ) -> None:
        """Prepare a stack.

        Args:
            settings: of every process; addresses of the parts are chosen here.
            gateway_port: 0 for a free one.
            web_port: 0 for a free one.
            host: address that gateway and web serve.
            on_progress: is told each step in words.
        """
        self._settings = settings
        self._gateway_port = gateway_port
        self._web_port = web_port
        self._host = host
        self._on_progress = on_progress
        self._folder = settings.data_dir.resolve()
        self._lock: IO[str] | None = None
        self._restarts: defaultdict[str, deque[float]] = defaultdict(deque)
        self._groups: list[dict[str, ManagedProcess]] = []
        self.endpoints: Endpoints | None = None
        self.gateway_bind = ""

    @property
    def processes(self) -> dict[str, ManagedProcess]:
        """The processes by name, in the order in which they started."""
        return {name: part for group in self._groups for name, part in group.items()}

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of those that run, by name; each is the first of a group of its own."""
        return {name: part.process.pid for name, part in self.processes.items() if part.process}

    def __enter__(self) -> "Stack":
        """Start everything; on failure stop what was started."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.stop()

    def _start(self) -> None:
        self._check_host()
        self._take_folder()
        self._check_disk()
        groups, self.endpoints = self._plan()
        for group in groups:
            self._groups.append(group)
            for part in group.values():
                part.start()
            for part in group.values():
                start = time.monotonic()
                part.wait_ready()
                self._on_progress(f"{part.name} is ready ({time.monotonic() - start:.1f} s)")
        self.endpoints.write(self._folder)

    def _check_host(self) -> None:
        for port, option in (
            (self._gateway_port, "--gateway-port"),
            (self._web_port, "--web-port"),
        ):
            bind = f"{self._host}:{port}"
            check_bind(bind, self._settings)
            if port:
                check_free(bind, option)

    def _take_folder(self) -> None:
        try:
            (self._folder / "logs").mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            self._lock = (self._folder / "lock").open("w")
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the data folder {self._folder}: {error.strerror}; set"
                f" CARDEX_DATA_DIR"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise ConfigurationError(
                f"another stack runs on {self._folder}: stop it, or set CARDEX_DATA_DIR to another"
                " folder",
                reason="FOLDER_TAKEN",
            ) from error

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < MIN_FREE_BYTES:
            raise ConfigurationError(
                f"{self._folder} has {free // 2**20} MiB free: the append-only file and the index"
                f" need {MIN_FREE_BYTES // 2**20} MiB; make room, or set CARDEX_DATA_DIR",
                reason="DISK_FULL",
            )

    def _plan(self) -> tuple[list[dict[str, ManagedProcess]], Endpoints]:
        """Return the parts in groups that start together, and where they will be.

        A part whose address is set is used where it is, and not started.
        """
        settings, folder = self._settings, self._folder
        state_port, cache_port, milvus, http, grpc, metrics, gateway, web = free_ports(8)
        gateway, web = self._gateway_port or gateway, self._web_port or web
        self.gateway_bind = f"{self._host}:{gateway}"
        state, cache = self._valkeys(state_port, cache_port)
        scheme = "https" if settings.tls_cert else "http"
        given = settings.model_fields_set
        endpoints = Endpoints(
            gateway=f"unix:{folder / 'gateway.sock'}",
            web=f"{scheme}://{self._host}:{web}",
            triton=settings.triton_url if "triton_url" in given else f"{HOST}:{grpc}",
            triton_metrics="" if "triton_url" in given else f"http://{HOST}:{metrics}/metrics",
            milvus=settings.milvus_uri if "milvus_uri" in given else f"http://{HOST}:{milvus}",
            state=settings.state_url if "state_url" in given else state.url,
            cache=settings.cache_url if "cache_url" in given else cache.url,
            model_repository=str(settings.model_repository.resolve()),
        )
        logs = folder / "logs"
        makers: dict[str, tuple[str, Callable[[], ManagedProcess]]] = {
            "state": ("state_url", lambda: valkey_process(state, logs / "state.log")),
            "cache": ("cache_url", lambda: valkey_process(cache, logs / "cache.log")),
            "milvus": ("milvus_uri", lambda: self._milvus(milvus)),
            "triton": ("triton_url", lambda: self._triton((http, grpc, metrics))),
        }
        stores = {name: make() for name, (field, make) in makers.items() if field not in given}
        env = self._environment(endpoints, web)
        return [stores, *self._processes(env)], endpoints

    def _valkeys(self, state_port: int, cache_port: int) -> tuple[ValkeyConfig, ValkeyConfig]:
        settings, folder = self._settings, self._folder
        state = ValkeyConfig(
            "state", state_port, secrets.token_hex(16), folder / "state",
            settings.state_maxmemory, settings.state_fsync,
        )  # fmt: skip
        cache = ValkeyConfig(
            "cache", cache_port, secrets.token_hex(16), folder / "cache", settings.cache_maxmemory
        )
        return state, cache

    def _triton(self, ports: tuple[int, int, int]) -> ManagedProcess:
        return triton_process(
            inspect_runtime(self._settings.triton_python),
            self._settings.model_repository,
            self._folder / "triton",
            ports,
            self._folder / "logs" / "triton.log",
        )

    def _processes(self, env: Mapping[str, str]) -> list[dict[str, ManagedProcess]]:
        workers = {
            name: self._own(name, ["worker", "--queue", queue.value, "--name", name], env)
            for queue, name in self._workers()
        }
        gateway = {"gateway": self._own("gateway", ["gateway"], env)}
        return [gateway | workers, {"web": self._own("web", ["web"], env)}]

    def _workers(self) -> Iterator[tuple[Priority, str]]:
        """Yield each worker's queue and name."""
        yield Priority.STAT, f"worker-{Priority.STAT}"
        for number in range(1, self._settings.routine_workers + 1):
            yield Priority.ROUTINE, f"worker-{Priority.ROUTINE}-{number}"

    def _environment(self, endpoints: Endpoints, web: int) -> dict[str, str]:
        """Return the settings of the processes, which read nothing else."""
        metrics = self._folder / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir()
        return {
            "CARDEX_STATE_URL": endpoints.state,
            "CARDEX_CACHE_URL": endpoints.cache,
            "CARDEX_MILVUS_URI": endpoints.milvus,
            "CARDEX_TRITON_URL": endpoints.triton,
            "CARDEX_MODEL_REPOSITORY": endpoints.model_repository,
            "CARDEX_GATEWAY_BIND": self.gateway_bind,
            "CARDEX_GATEWAY_SOCKET": str(self._folder / "gateway.sock"),
            "CARDEX_GATEWAY_TARGET": endpoints.gateway,
            "CARDEX_WEB_BIND": f"{self._host}:{web}",
            "CARDEX_INSECURE": str(self._settings.insecure).lower(),
            MULTIPROC_DIR: str(metrics),
        }

    def _milvus(self, port: int) -> ManagedProcess:
        log = self._folder / "logs" / "milvus.log"
        return milvus_process(self._folder / "milvus", port, log)

    def _own(self, name: str, arguments: list[str], env: Mapping[str, str]) -> ManagedProcess:
        ready = self._folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        return ManagedProcess(
            name=name,
            argv=[sys.executable, "-m", "cardex", *arguments],
            log=self._folder / "logs" / f"{name}.log",
            ready=ready.exists,
            env={**env, "CARDEX_READY_FILE": str(ready)},
            cleanup=lambda: ready.unlink(missing_ok=True),
        )

    def watch(self) -> None:
        """Restart parts that die, until interrupted.

        Raises:
            ConfigurationError: if a part dies again and again.
        """
        while True:
            self.tend()
            time.sleep(0.2)

    def tend(self) -> None:
        """Restart the parts that died since the last call; raises as `watch`."""
        for part in self.processes.values():
            if (code := part.exit_code()) is not None:
                self._on_progress(f"{part.name} ended with status {code}: starting it again")
                self._allow_restart(part)
                part.stop()
                part.start()
                part.wait_ready()

    def _allow_restart(self, part: ManagedProcess) -> None:
        now = time.monotonic()
        restarts = self._restarts[part.name]
        restarts.append(now)
        while now - restarts[0] > RESTART_WINDOW_S:
            restarts.popleft()
        if len(restarts) > MAX_RESTARTS:
            raise ConfigurationError(
                f"{part.name} ended {MAX_RESTARTS} times within {RESTART_WINDOW_S:g} s: see"
                f" {part.log}",
                reason="PART_KEEPS_DYING",
            )

    def stop(self) -> None:
        """Stop every process: the group that started last first, those of a group together.

        A signal that comes meanwhile kills what still runs, and leaves nothing running.
        """
        with uninterrupted(self._kill):
            for group in reversed(self._groups):
                for process in group.values():
                    process.ask_to_stop()
                for process in group.values():
                    process.stop()
            self._groups.clear()
            self._release_folder()

    def _kill(self) -> None:
        for process in self.processes.values():
            process.kill()

    def _release_folder(self) -> None:
        if self._lock is not None:
            (self._folder / DESCRIPTION).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
