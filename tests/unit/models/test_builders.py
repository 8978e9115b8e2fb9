"""Which builder is taken, and what is said where none is."""

import ctypes
from types import SimpleNamespace

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.models import builders
from cardex.models.builders import Api, gpu_at_hand, load_api


@pytest.fixture
def installed(monkeypatch):
    """Pretend that only these modules are installed."""

    class Log:
        Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

    def pretend(**modules):
        def import_module(name):
            found = modules.get(name)
            if found is None:
                raise ModuleNotFoundError(name)
            if isinstance(found, Exception):
                raise found
            return SimpleNamespace(__version__=found, ILogger=Log)

        # The real ones are cached: their libraries keep their loggers for ever.
        monkeypatch.setattr(builders, "_load", builders._load.__wrapped__)
        monkeypatch.setattr("cardex.models.builders.importlib.import_module", import_module)

    return pretend


def test_tensorrt_is_preferred(installed):
    installed(tensorrt="10.9", tensorrt_rtx_bindings="1.7")
    assert str(load_api()) == "tensorrt 10.9"
    assert str(load_api("tensorrt_rtx")) == "tensorrt_rtx 1.7"


@pytest.mark.parametrize("package", ["tensorrt_rtx", "tensorrt_rtx_bindings"])
def test_rtx_is_found_under_either_name(installed, package):
    installed(**{package: "1.7"})
    assert str(load_api()) == "tensorrt_rtx 1.7"


def test_where_none_is_installed_the_packages_are_named(installed):
    installed()
    with pytest.raises(ConfigurationError, match=r"pip install tensorrt,.*tensorrt_rtx_cu12_libs"):
        load_api()


def test_the_one_that_is_asked_for_is_not_replaced(installed):
    installed(tensorrt_rtx="1.7")
    with pytest.raises(
        ConfigurationError, match=r"not installed: tensorrt; .*pip install tensorrt,"
    ):
        load_api("tensorrt")


@pytest.mark.parametrize("error", [ImportError("libnvinfer.so.10"), OSError("libnvinfer.so.10")])
def test_one_that_does_not_load_says_why(installed, error):
    installed(tensorrt=error)
    with pytest.raises(ConfigurationError, match="tensorrt does not load: libnvinfer"):
        load_api()


def test_an_unknown_builder_is_refused():
    with pytest.raises(ConfigurationError, match="'openvino': name tensorrt or tensorrt_rtx"):
        load_api("openvino")


def test_errors_are_kept_and_warnings_logged(installed, caplog):
    installed(tensorrt="10.9")
    api = load_api()
    api.log.log(api.module.ILogger.Severity.ERROR, "no kernel")
    api.log.log(api.module.ILogger.Severity.WARNING, "slow")
    api.log.log(api.module.ILogger.Severity.VERBOSE, "chatter")
    assert api.errors == ["no kernel"]
    assert caplog.messages == ["slow"]


class Driver:
    """CUDA's driver, with one GPU or an error."""

    def __init__(self, capability=(8, 9), error=0):
        self._values = dict(zip((75, 76), capability, strict=True))
        self._error = error

    def cuInit(self, _flags):
        return self._error

    def cuDeviceGet(self, _device, _number):
        return 0

    def cuDeviceGetAttribute(self, value, attribute, _device):
        value._obj.value = self._values[attribute]
        return 0


@pytest.mark.parametrize("capability, name", [((8, 9), "sm_89"), ((12, 0), "sm_120")])
def test_the_gpu_at_hand_is_named_by_its_compute_capability(monkeypatch, capability, name):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver(capability))
    assert gpu_at_hand() == name
    assert Api("tensorrt", None, None, []).gpus == [name]


def test_a_driver_without_a_gpu_is_told(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver(error=100))
    with pytest.raises(ConfigurationError, match="CUDA error 100"):
        gpu_at_hand()


def test_a_machine_without_a_driver_is_told():
    with pytest.raises(ConfigurationError, match="no NVIDIA driver"):
        gpu_at_hand("libcuda-of-nobody.so")
