"""The machine that has the GPU: what it is, what builds engines for it, and what runs them."""

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import ModelVersion
from cardex.models.builders import TENSORRT, gpu_at_hand, load_api
from cardex.models.comparison import Sample
from cardex.models.engine import Built
from cardex.models.plans import build_plans
from cardex.models.precision import Precision
from loadtest.gpu_runners import EngineRunner, Runner

Tell = Callable[[str, Built], None]
QUERY = ("--query-gpu=name,driver_version", "--format=csv,noheader")
NEEDS = (
    "`make gpu-check` needs an NVIDIA GPU with its driver, and tensorrt. To have Triton measured too, run it in"
    " NVIDIA's container: docker run --gpus=all --shm-size=1g nvcr.io/nvidia/tritonserver:YY.MM-py3, and there"
    " .venv/bin/pip install tensorrt==VERSION --extra-index-url https://pypi.nvidia.com with that container's"
    " version of TensorRT"
)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the figures were measured on.

    Attributes:
        gpu: its name.
        capability: compute capability, as in "sm_90".
        driver: version of NVIDIA's driver.
        builder: module and version that makes the engines.
        cpu: name of the processor that ONNX Runtime computes on.
    """

    gpu: str
    capability: str
    driver: str
    builder: str
    cpu: str


class DistributedContext(Protocol):
    """Builds engines and runs them."""

    def hardware(self) -> Hardware:
        """Return what is there; raises ConfigurationError where no engine can be built or run."""

    def build(
        self, release: ModelVersion, precision: Precision, examples: Sample | None, tell: Tell
    ) -> dict[str, Built]:
        """Return an engine for every graph of a version; raises ConfigurationError."""

    def engine(self, plan: bytes) -> AbstractContextManager[Runner]:
        """Load a serialised engine, and give its memory back at the end; raises ConfigurationError."""


class Nvidia:
    """The GPU at hand, with TensorRT."""

    def __init__(self, folder: Path) -> None:
        """Keep the timing cache in `folder`."""
        self._timing_cache = folder / "timing.cache"

    def hardware(self) -> Hardware:
        """Return what is there.

        Raises:
            ConfigurationError: if GPU, driver or tensorrt is missing; says what to install.
        """
        try:
            capability = gpu_at_hand()
            builder = str(load_api(TENSORRT))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error.message}\n{NEEDS}") from error
        gpu, driver = name_and_driver()
        return Hardware(gpu, capability, driver, builder, processor())

    def build(
        self, release: ModelVersion, precision: Precision, examples: Sample | None, tell: Tell
    ) -> dict[str, Built]:
        """Build for the GPU at hand; a second build finds the first one's kernel timings."""
        return build_plans(
            release, load_api(TENSORRT), None, precision,
            timing_cache=self._timing_cache, examples=examples, tell=tell,
        )  # fmt: skip

    def engine(self, plan: bytes) -> AbstractContextManager[Runner]:
        """Prepare an engine, which loads at `with`."""
        return EngineRunner(plan)


def name_and_driver() -> tuple[str, str]:
    """Return the first GPU's name and its driver's version as nvidia-smi tells them, or "unknown"."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *QUERY], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown", "unknown"
    name, _, driver = done.stdout.partition("\n")[0].rpartition(", ")
    return name or "unknown", driver or "unknown"


def processor(table: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, or "unknown"."""
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")
