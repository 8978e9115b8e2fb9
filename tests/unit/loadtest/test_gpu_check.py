"""The GPU check on a machine without a GPU: ONNX Runtime stands in for the engines."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from cardex.inference.repository import IMAGE_ENCODER, newest
from cardex.models.comparison import Sample
from loadtest import gpu_check, report
from loadtest.gpu_check import cpu_runner, is_within, main, sample_of
from tests.helpers.real import ROOT, demo_data

RELEASE = newest(ROOT / "model_repository")


@pytest.fixture(scope="module")
def sample():
    whole = sample_of(RELEASE, demo_data())
    assert (len(whole.images), len(whole.tokens)) == (110, gpu_check.REPORTS)
    return Sample(whole.images[::28], whole.tokens[::50])


@pytest.fixture
def spoil(monkeypatch, tmp_path, sample):
    """Run the check with engines that ONNX Runtime stands in for; set `change` to alter answers."""
    wanted = SimpleNamespace(change=lambda model, answer: answer)

    @contextmanager
    def engine_runner(plans):
        run = cpu_runner(RELEASE)
        yield lambda model, inputs: wanted.change(model, run(model, inputs))

    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(gpu_check, "ROUND_S", 0.01)
    monkeypatch.setattr(gpu_check, "sample_of", lambda release, data: sample)
    monkeypatch.setattr(gpu_check, "load_api", lambda name: SimpleNamespace(gpus=["sm_90"]))
    monkeypatch.setattr(gpu_check, "build_plans", lambda release, api, gpu, precision: {})
    monkeypatch.setattr(gpu_check, "engine_runner", engine_runner)
    monkeypatch.delenv("CARDEX_TRITON_URL", raising=False)
    return wanted


def test_engines_that_answer_as_the_cpu_does_pass(spoil, tmp_path):
    assert main() == 0
    figures = json.loads((tmp_path / "gpu-check.json").read_text())["figures"]
    assert figures["fp16 engine: top-10 overlap"] == 1.0
    assert figures["fp32 engine, 64 images a call, images/s"] > 0


def test_engines_that_answer_otherwise_end_with_exit_code_1(spoil, tmp_path):
    spoil.change = lambda model, a: np.roll(a, 1, axis=-1) if model == IMAGE_ENCODER else a
    assert main() == 1
    assert (tmp_path / "gpu-check.json").is_file()


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "fetch", lambda *_: pytest.fail("went on without a GPU"))
    assert main() == 1
    assert "error (CONFIGURATION)" in capsys.readouterr().err


def test_a_figure_that_is_no_number_keeps_no_limit():
    assert is_within(0.99, ("at least", 0.99)) and is_within(0.1, ("at most", 0.1))
    assert not is_within(np.nan, ("at least", 0.99)) and not is_within(np.nan, ("at most", 0.1))
