"""What this machine has, what it lacks, and what to do about it."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cardex.domain.errors import CardexError, ConfigurationError
from cardex.domain.settings import Settings
from cardex.inference.repository import GRAPHS, newest
from cardex.inference.tokenizer import ReportTokenizer
from cardex.local_stack.stack import MIN_FREE_BYTES
from cardex.local_stack.triton import SHARED_MEMORY, inspect_runtime
from cardex.local_stack.valkey import server_program

SHM_PER_INSTANCE = 64 * 1024**2
INSTANCES = 9


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Look at everything that `cardex up` needs."""
    return [
        _checked("Python", _python),
        _checked("packages", _packages),
        _checked("Valkey or Redis", server_program),
        _checked("Triton's environment", lambda: _triton(settings)),
        _checked("models", lambda: _models(settings)),
        _checked("tokenizer", lambda: _tokenizer(settings)),
        _checked("shared memory", _shared_memory),
        _checked("data folder", lambda: _folder(settings.data_dir)),
    ]


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except CardexError as error:
        return Check(name, False, error.message)


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _packages() -> str:
    names = ("celery", "grpcio", "milvus-lite", "numpy", "pymilvus", "tritonclient")
    try:
        return ", ".join(f"{name} {version(name)}" for name in names)
    except PackageNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: run `make setup`") from error


def _triton(settings: Settings) -> str:
    runtime = inspect_runtime(settings.triton_python)
    return f"{runtime.server}, Python {runtime.python}"


def _models(settings: Settings) -> str:
    release = newest(settings.model_repository)
    graphs = [release.graph(model) for model in GRAPHS]
    megabytes = sum(graph.stat().st_size for graph in graphs if graph.is_file()) / 1e6
    return f"{release.version()}, version {release.triton_version}: {megabytes:.1f} MB"


def _tokenizer(settings: Settings) -> str:
    return ReportTokenizer(newest(settings.model_repository).tokenizer).fingerprint[:12]


def _shared_memory() -> str:
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < INSTANCES * SHM_PER_INSTANCE:
        raise ConfigurationError(
            f"/dev/shm has {free // 2**20} MiB free, Triton's {INSTANCES} model instances need"
            f" {INSTANCES * SHM_PER_INSTANCE // 2**20} MiB: give the container a larger one"
        )
    return f"{free // 2**20} MiB free"


def _folder(folder: Path) -> str:
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < MIN_FREE_BYTES:
        raise ConfigurationError(
            f"{folder} has {free // 2**20} MiB free, {MIN_FREE_BYTES // 2**20} MiB are needed: make"
            " room, or set CARDEX_DATA_DIR"
        )
    return f"{folder}, {free // 2**30} GiB free"
