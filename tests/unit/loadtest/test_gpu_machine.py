"""What is told of a GPU, and what a build is asked for."""

import os

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.models.precision import Precision
from loadtest import gpu_machine
from loadtest.gpu_machine import Nvidia, name_and_driver, processor
from loadtest.gpu_runners import EngineRunner


@pytest.fixture
def nvidia_smi(monkeypatch, tmp_path):
    def make(script):
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return make


def test_the_first_gpus_name_and_driver(nvidia_smi):
    nvidia_smi(
        '[ "$*" = "--query-gpu=name,driver_version --format=csv,noheader" ] || exit 1\n'
        'echo "NVIDIA H100 80GB HBM3, 570.86.15"; echo "NVIDIA L4, 570.86.15"'
    )
    assert name_and_driver() == ("NVIDIA H100 80GB HBM3", "570.86.15")


def test_a_machine_that_cannot_tell_is_unknown(nvidia_smi, tmp_path):
    nvidia_smi("exit 9")
    assert name_and_driver() == ("unknown", "unknown")
    assert processor(tmp_path / "gone") == "unknown"
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert processor(tmp_path / "cpuinfo") == "Some CPU @ 2 GHz"


def test_hardware_is_what_the_parts_tell(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(gpu_machine, "gpu_at_hand", lambda: "sm_89")
    monkeypatch.setattr(gpu_machine, "load_api", lambda name: asked.append(name) or "tensorrt 10")
    monkeypatch.setattr(gpu_machine, "name_and_driver", lambda: ("L4", "570"))
    found = Nvidia(tmp_path).hardware()
    assert (found.gpu, found.capability, found.driver, found.builder) == (
        "L4", "sm_89", "570", "tensorrt 10",
    )  # fmt: skip
    assert asked == ["tensorrt"]


def test_a_missing_part_is_named_with_what_to_install(monkeypatch, tmp_path):
    def none(name):
        raise ConfigurationError("not installed: tensorrt")

    monkeypatch.setattr(gpu_machine, "gpu_at_hand", lambda: "sm_89")
    monkeypatch.setattr(gpu_machine, "load_api", none)
    with pytest.raises(ConfigurationError) as missing:
        Nvidia(tmp_path).hardware()
    assert missing.value.message.startswith("not installed: tensorrt\n")
    assert "pip install tensorrt==" in missing.value.message


def test_engines_are_built_for_the_gpu_at_hand_with_a_timing_cache(monkeypatch, tmp_path, release):
    asked = {}

    def build_plans(release, api, gpu, precision, **more):
        asked.update(more, release=release, api=api, gpu=gpu, precision=precision)
        return {}

    def tell(model, built):
        """Hear nothing."""

    monkeypatch.setattr(gpu_machine, "load_api", lambda name: name)
    monkeypatch.setattr(gpu_machine, "build_plans", build_plans)
    assert Nvidia(tmp_path).build(release, Precision.FP16, None, tell) == {}
    assert asked == {
        "release": release, "api": "tensorrt", "gpu": None, "precision": Precision.FP16,
        "timing_cache": tmp_path / "timing.cache", "examples": None, "tell": tell,
    }  # fmt: skip


def test_an_engine_is_run_by_polygraphy(tmp_path):
    assert isinstance(Nvidia(tmp_path).engine(b"plan"), EngineRunner)
