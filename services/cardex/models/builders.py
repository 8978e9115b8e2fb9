"""Finds NVIDIA's engine builders, TensorRT and TensorRT for RTX, and the GPUs they build for."""

import ctypes
import importlib
import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

from cardex.domain.errors import ConfigurationError

logger = logging.getLogger(__name__)

TENSORRT, RTX = "tensorrt", "tensorrt_rtx"
_MODULES = {TENSORRT: (TENSORRT,), RTX: (RTX, "tensorrt_rtx_bindings")}
"""Python modules of each builder, in order of preference; RTX's bindings go by two names."""
_REMEDIES = {
    TENSORRT: "for engines that Triton loads, on a machine with the GPU: pip install tensorrt, in"
    " the version of Triton's container, from NVIDIA's package index",
    RTX: "to compile without a GPU: pip install tensorrt_rtx_cu12_libs tensorrt_rtx_cu12_bindings",
}
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


@dataclass(frozen=True, slots=True)
class Api:
    """One of the two modules, which have the same classes.

    Attributes:
        name: "tensorrt", which builds for the GPU of this machine, or "tensorrt_rtx", which builds
            for any GPU.
        module: the Python module.
        log: the logger that the module writes to; it keeps its first one until the process ends.
        errors: error messages since the last build began.
    """

    name: str
    module: Any
    log: Any
    errors: list[str]

    def __str__(self) -> str:
        """Return the name of the builder."""
        return f"{self.name} {self.module.__version__}"

    @property
    def gpus(self) -> list[str]:
        """Compute capabilities that it builds for, as in "sm_89".

        Raises:
            ConfigurationError: if it builds only for the GPU of this machine, and there is none.
        """
        if self.name == TENSORRT:
            return [gpu_at_hand()]
        names = self.module.ComputeCapability.__members__
        return [name.replace("SM", "sm_") for name in names if name.startswith("SM")]


def load_api(name: str | None = None) -> Api:
    """Import a builder: the named one, or else TensorRT, or else TensorRT for RTX.

    Raises:
        ConfigurationError: if it is not installed, or does not load.
    """
    if name not in (None, *_MODULES):
        raise ConfigurationError(f"there is no builder {name!r}: name {' or '.join(_MODULES)}")
    wanted = [name] if name else list(_MODULES)
    for each in wanted:
        if (api := _load(each)) is not None:
            return api
    remedies = "; ".join(_REMEDIES[each] for each in wanted)
    raise ConfigurationError(f"not installed: {' or '.join(wanted)}; {remedies}")


@cache
def _load(name: str) -> Api | None:
    for package in _MODULES[name]:
        try:
            module = importlib.import_module(package)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError) as error:
            raise ConfigurationError(f"{package} does not load: {error}") from error
        errors: list[str] = []
        return Api(name, module, _log(module, errors), errors)
    return None


def _log(module: Any, errors: list[str]) -> Any:  # noqa: ANN401  # TensorRT has no types
    """Return a TensorRT logger that appends errors to a list and passes the rest to logging."""
    severity = module.ILogger.Severity
    levels = {severity.WARNING: logging.WARNING, severity.INFO: logging.DEBUG}

    def log(_self: object, level: Any, message: str) -> None:  # noqa: ANN401
        if level in (severity.INTERNAL_ERROR, severity.ERROR):
            errors.append(message)
        elif level in levels:
            logger.log(levels[level], "%s", message)

    return type("Log", (module.ILogger,), {"log": log})()


def gpu_at_hand(driver: str = "libcuda.so.1") -> str:
    """Return the compute capability of the first GPU that CUDA shows, as in "sm_89".

    Raises:
        ConfigurationError: if there is no driver or no GPU.
    """
    try:
        cuda = ctypes.CDLL(driver)
    except OSError as error:
        raise ConfigurationError(f"no NVIDIA driver on this machine: {error}") from error
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    failed = (
        cuda.cuInit(0)
        or cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    )
    if failed:
        raise ConfigurationError(f"no GPU that CUDA can use on this machine (CUDA error {failed})")
    return f"sm_{major.value}{minor.value}"
