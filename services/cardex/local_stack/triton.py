"""NVIDIA's tritonserver from the nvidia-pytriton wheel, with its python backend on the CPU."""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST

SHARED_MEMORY = Path("/dev/shm")
STUB = "triton_python_backend_stub"
"""The program in which the python backend runs a model, a process for each instance."""

# Runs in Triton's own environment and says what is there.
_INSPECT = """
import importlib.util, json, pathlib, sys, sysconfig
spec = importlib.util.find_spec("pytriton")
def version(name):
    try:
        import importlib.metadata as metadata
        return metadata.version(name)
    except Exception:
        return None
print(json.dumps({
    "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
    "bin": str(pathlib.Path(sys.executable).parent),
    "libdir": sysconfig.get_config_var("LIBDIR") or "",
    "library": sysconfig.get_config_var("INSTSONAME") or "",
    "numpy": version("numpy"),
    "onnxruntime": version("onnxruntime"),
    "server": str(pathlib.Path(spec.origin).parent / "tritonserver") if spec else None,
}))
"""


@dataclass(frozen=True, slots=True)
class TritonRuntime:
    """What Triton's environment holds.

    Attributes:
        server: folder of the tritonserver distribution.
        python: version of its Python, for example "3.11".
        bin: folder of its executables.
        libdir: folder of libpython.
    """

    server: Path
    python: str
    bin: Path
    libdir: Path


def inspect_runtime(interpreter: Path) -> TritonRuntime:
    """Look into Triton's environment.

    Raises:
        ConfigurationError: naming what is missing or does not fit, and the remedy.
    """
    if not interpreter.exists():
        raise ConfigurationError(
            f"Triton's environment {interpreter} does not exist: run `make setup`, or set"
            " CARDEX_TRITON_PYTHON"
        )
    try:
        done = subprocess.run(
            [interpreter, "-c", _INSPECT], capture_output=True, text=True, timeout=60, check=True
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ConfigurationError(f"{interpreter} does not run: {error}") from error
    if found["server"] is None or found["onnxruntime"] is None:
        missing = "nvidia-pytriton" if found["server"] is None else "onnxruntime"
        raise ConfigurationError(
            f"{missing} is not installed in {interpreter}'s environment: run `make setup`"
        )
    if found["numpy"] is None or int(found["numpy"].split(".")[0]) >= 2:
        raise ConfigurationError(
            f"Triton's environment has numpy {found['numpy']}: its python backend needs numpy<2"
            " and would return empty tensors; run `make setup`",
            reason="TRITON_NUMPY",
        )
    library = Path(found["libdir"]) / found["library"]
    if ".so" not in found["library"] or not library.exists():
        raise ConfigurationError(
            f"Python {found['python']} of Triton's environment was built without its shared library"
            f" ({library}): Triton cannot embed it; install libpython{found['python']}, or build"
            " Python with --enable-shared",
            reason="LIBPYTHON_MISSING",
        )
    runtime = TritonRuntime(
        Path(found["server"]), found["python"], Path(found["bin"]), Path(found["libdir"])
    )
    stub = _stub(runtime)
    if not stub.exists():
        raise ConfigurationError(
            f"nvidia-pytriton has no python backend for Python {found['python']} ({stub}): use 3.11"
        )
    return runtime


def _stub(runtime: TritonRuntime) -> Path:
    return runtime.server / "python_backend_stubs" / runtime.python / STUB


def triton_process(
    runtime: TritonRuntime,
    repository: Path,
    folder: Path,
    ports: tuple[int, int, int],
    log: Path,
) -> ManagedProcess:
    """Return the part.

    Args:
        runtime: from `inspect_runtime`.
        repository: the model repository.
        folder: takes the assembled backend folder.
        ports: HTTP, gRPC and metrics.
        log: its log file.
    """
    backends = _assemble_backends(runtime, folder)
    http, grpc, metrics = ports
    libraries = runtime.server.parents[1] / "nvidia_pytriton.libs"
    prefix = f"cardex_{grpc}_"
    argv = [
        str(runtime.server / "bin" / "tritonserver"),
        f"--model-repository={repository}", f"--backend-directory={backends}",
        # A stack stops whoever asks it before it: what is left is to unload models, in seconds.
        "--model-config-name=cpu", "--exit-timeout-secs=1",
        # Versions come and go while others answer: the server stays ready meanwhile.
        "--model-control-mode=explicit", "--load-model=*", "--strict-readiness=false",
        f"--http-address={HOST}", f"--http-port={http}",
        f"--grpc-address={HOST}", f"--grpc-port={grpc}",
        f"--metrics-address={HOST}", f"--metrics-port={metrics}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
    ]  # fmt: skip
    return ManagedProcess(
        name="Triton",
        argv=argv,
        log=log,
        ready=lambda: _ready(http),
        env={
            "PATH": f"{runtime.bin}:/usr/local/bin:/usr/bin:/bin",
            # libpython, and the libraries that the wheel keeps beside the package
            "LD_LIBRARY_PATH": f"{runtime.libdir}:{libraries}",
            "PYTHONPATH": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        timeout_s=120.0,
        remedy=(
            "`cardex doctor` checks Triton's environment; each model instance needs 64 MB of"
            " /dev/shm."
        ),
        cleanup=lambda: _remove_remains(backends / "python" / STUB, prefix),
    )


def _assemble_backends(runtime: TritonRuntime, folder: Path) -> Path:
    """Put the stub of this Python beside the backend's library, where Triton looks for it."""
    backends = folder / "backends"
    target = backends / "python"
    if backends.exists():
        shutil.rmtree(backends)
    shutil.copytree(runtime.server / "backends" / "python", target)
    shutil.copy2(_stub(runtime), target)
    for name in (STUB, "libtriton_python.so"):
        (target / name).chmod(0o755)
    (runtime.server / "bin" / "tritonserver").chmod(0o755)
    return backends


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/v2/health/ready", timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _remove_remains(stub: Path, prefix: str) -> None:
    """End the models' processes that a killed server left behind, and remove its shared memory.

    Each of them has a session of its own, and may wait for its server for ever.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if (process / "exe").readlink() == stub.resolve():
                os.kill(int(process.name), signal.SIGKILL)
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
