"""The engines in NVIDIA's Triton: started as docs/serving.md says, checked, asked and put under load."""

import shutil
import statistics
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import MODELS, ModelVersion
from cardex.inference.triton_client import TritonClient
from cardex.inference.triton_encoder import TritonEncoder
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST, free_ports
from cardex.models.config import set_versions
from cardex.models.engine import Built, write
from loadtest.gpu_parity import Figures, Reference, compare
from loadtest.gpu_runners import ServedRunner
from loadtest.gpu_speed import Pace
from loadtest.triton import TARGETS as OF_BENCH
from loadtest.triton import priority
from loadtest.tritons import WORKERS, Load, Server

PROGRAM = "tritonserver"
TARGET = "tensorrt"
START_S = 300.0
LARGEST, SINGLES = 64, 64
"""Images in a call at saturation, and clients that send one each."""
REMEDY = (
    "A plan loads only in the TensorRT that built it: install tensorrt in the version of this container. Start"
    " the container with --gpus=all --shm-size=1g."
)
STAT_RATIO = "STAT p99 beside routine over idle"
TARGETS = {STAT_RATIO: OF_BENCH[STAT_RATIO]}
Ports = tuple[int, int, int]


def find_program() -> Path | None:
    """Return the server on PATH, None where there is none."""
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


def models_of(release: ModelVersion) -> list[str]:
    """Return the models that came with a version."""
    return [model for model in MODELS if release.folder(model).is_dir()]


def install(release: ModelVersion, plans: Mapping[str, Built], folder: Path) -> ModelVersion:
    """Return a copy of a version's model repository that has the plans, and serves this version alone."""
    repository = folder / "models"
    for model in models_of(release):
        shutil.copytree(release.repository / model, repository / model, symlinks=True)
        set_versions(repository / model / "configs" / f"{TARGET}.pbtxt", [release.triton_version])
    copy = ModelVersion(repository, release.triton_version)
    for model, built in plans.items():
        write(built, copy.folder(model))
    return copy


def server_argv(program: Path, repository: Path, ports: Ports) -> list[str]:
    """Return the command line of docs/serving.md, on these HTTP, gRPC and metrics ports of the loopback."""
    http, grpc, metrics = ports
    return [
        str(program),
        f"--model-repository={repository}", f"--model-config-name={TARGET}",
        "--model-control-mode=explicit", "--load-model=*", "--strict-readiness=false",
        "--rate-limit=execution_count", "--rate-limit-resource=execution:4",
        f"--http-address={HOST}", f"--http-port={http}",
        f"--grpc-address={HOST}", f"--grpc-port={grpc}",
        f"--metrics-address={HOST}", f"--metrics-port={metrics}",
        "--exit-timeout-secs=5",
    ]  # fmt: skip


@contextmanager
def serving(program: Path, release: ModelVersion, folder: Path) -> Iterator[Ports]:
    """Run Triton on a model repository, and stop it; its log is in `folder`.

    Raises:
        ConfigurationError: if it does not come up; with the end of its log.
    """
    http, grpc, metrics = free_ports(3)
    ports = (http, grpc, metrics)
    part = ManagedProcess(
        name="Triton",
        argv=server_argv(program, release.repository, ports),
        log=folder / "triton.log",
        ready=partial(_ready, http, release),
        timeout_s=START_S,
        remedy=REMEDY,
    )
    part.start()
    try:
        part.wait_ready()
        yield ports
    finally:
        part.stop()


def check(server: TritonClient, release: ModelVersion, reference: Reference) -> Figures:
    """Let the client check and probe every model, and compare what they answer with the reference.

    Raises:
        CardexError: if a model is missing or not what the client sends to.
    """
    (info,) = TritonEncoder(server, release.repository).models()
    if info.matcher != release.has_matcher:
        raise ConfigurationError("Triton serves no matcher, which this version has")
    runners = {m: ServedRunner(server, m, release.triton_version) for m in reference.calls}
    return compare(runners, reference)


def loads(server: Server, pace: Pace) -> Figures:
    """Measure micro-batches at saturation, many clients with one image each, and STAT beside routine."""
    full = [server.load(WORKERS, LARGEST, pace.seconds) for _ in range(pace.rounds)]
    singles = [server.load(SINGLES, 1, pace.seconds) for _ in range(pace.rounds)]
    name = f"{SINGLES} clients with one image"
    return {
        f"{WORKERS} x {LARGEST} images in flight, images/s": _median(full, _images_per_s),
        f"{name}, images/s": _median(singles, _images_per_s),
        f"{name}, mean batch": _median(singles, lambda load: load.mean_batch),
        f"{name}, p50 ms": _median(singles, lambda load: load.percentile(50)),
        f"{name}, p99 ms": _median(singles, lambda load: load.percentile(99)),
        **priority(server),
    }


def _median(loads: Iterable[Load], figure: Callable[[Load], float]) -> float:
    return statistics.median(map(figure, loads))


def _images_per_s(load: Load) -> float:
    return load.images_per_s


def _ready(port: int, release: ModelVersion) -> bool:
    """Return whether every model can be called: "ready" alone, not strict, does not mean that."""
    base = f"http://{HOST}:{port}/v2/models"
    try:
        for model in models_of(release):
            with urllib.request.urlopen(
                f"{base}/{model}/versions/{release.triton_version}/ready", timeout=1
            ):
                pass
    except OSError:  # URLError too: refused, or 400 for a model that is not ready
        return False
    return True
