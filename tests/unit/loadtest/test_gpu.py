"""`make gpu-check` from its arguments to its exit status, on a machine that stands in for one with a GPU."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import GRAPHS
from cardex.models.comparison import Sample
from cardex.models.precision import Precision
from loadtest import gpu, gpu_machine, gpu_triton, report
from loadtest.gpu import Wish, main, parse
from loadtest.gpu_speed import CPU, Pace
from tests.unit.loadtest.machines import StandIn, Wrong, raising

QUICK = Wish(None, 9, False, Pace(1, 0.0), Pace(1, 0.0))


@pytest.fixture
def results(monkeypatch, tmp_path):
    """The file that is written."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    return tmp_path / "results" / "gpu-check.json"


@pytest.fixture
def quick(monkeypatch, sample, results):
    """Few ECGs and reports, each call timed once, no Triton."""
    few = Sample(sample.images[:4], sample.tokens[:40])
    monkeypatch.setattr(gpu, "parse", lambda argv: QUICK)
    monkeypatch.setattr(gpu, "_sample", lambda wish, settings, release: few)
    monkeypatch.setattr(gpu_triton, "find_program", lambda: None)


def words(capsys):
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


@pytest.fixture
def no_environment(monkeypatch):
    for name in ("PTB", "FOLD"):
        monkeypatch.delenv(name, raising=False)


def test_without_arguments_the_demos_data_is_asked(no_environment):
    wish = parse([])
    assert (wish.ptbxl, wish.fold, wish.int8) == (None, 9, False)
    assert wish.precisions == [Precision.FP32, Precision.FP16]


def test_make_hands_data_and_fold_over_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PTB", str(tmp_path))
    monkeypatch.setenv("FOLD", "10")
    assert (parse([]).ptbxl, parse([]).fold) == (tmp_path, 10)
    assert parse(["--fold", "3"]).fold == 3


def test_int8_is_an_option(no_environment, tmp_path):
    wish = parse(["--int8", "--ptbxl", str(tmp_path)])
    assert wish.precisions == [Precision.FP32, Precision.FP16, Precision.INT8]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--int8"], "--int8 is calibrated on real ECGs and reports: give --ptbxl DIR"),
        (["--ptbxl", "/gone"], "--ptbxl /gone is no folder"),
        (["--fold", "x"], "invalid int value"),
    ],
)
def test_wrong_arguments_are_named(no_environment, capsys, argv, said):
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_gpu_one_message_says_what_is_needed_and_nothing_is_written(
    no_environment, monkeypatch, results, capsys
):
    def none():
        raise ConfigurationError("no NVIDIA driver on this machine: libcuda.so.1")

    monkeypatch.setattr(gpu_machine, "gpu_at_hand", none)
    assert main([]) == 1
    said = words(capsys)
    assert said.startswith("error (CONFIGURATION): no NVIDIA driver on this machine")
    assert "nvcr.io/nvidia/tritonserver" in said and "pip install tensorrt" in said
    assert not results.parent.exists()


def test_without_tensorrt_it_says_so_and_nothing_is_written(
    no_environment, monkeypatch, results, capsys
):
    def none(name):
        raise ConfigurationError(f"not installed: {name}")

    monkeypatch.setattr(gpu_machine, "gpu_at_hand", lambda: "sm_90")
    monkeypatch.setattr(gpu_machine, "load_api", none)
    assert main([]) == 1
    assert "not installed: tensorrt" in words(capsys)
    assert not results.parent.exists()


@pytest.mark.usefixtures("quick")
def test_the_whole_check_writes_what_it_found(results, capsys):
    assert main([], StandIn(largest=1)) == 0
    body = json.loads(results.read_bytes())
    assert body["date"] and "cores" in body["machine"]
    assert body["gpu"] == {
        "gpu": "Stand-in", "capability": "sm_00", "driver": "1.2.3", "builder": "tensorrt 99",
        "cpu": "Some CPU",
    }  # fmt: skip
    assert body["model_version"].startswith("cardex-")
    assert body["asked"] == "4 ECGs, 40 reports of the demo's data"
    assert body["aims"]["fp16 engine: top-10 overlap"] == "at least 0.99"
    assert body["aims"]["fp32 engine: image encoder, largest difference"] == "at most 0.001"
    assert body["aims"].keys() <= body["figures"].keys()
    assert body["figures"]["fp16 engine: top-10 overlap"] >= 0.99
    assert not body["missed"] and not body["failed"]
    (left_out,) = body["left_out"]
    assert left_out.startswith("Triton: there is no tritonserver on PATH")
    assert [(one["model"], one["precision"]) for one in body["builds"]] == [
        (model, precision) for precision in ("fp32", "fp16") for model in GRAPHS
    ]
    assert body["builds"][0]["tf32"] is True and body["builds"][0]["seconds"] == 1.5
    shapes = {(one["model"], one["runner"], one["shape"]) for one in body["speeds"]}
    assert {("ecg_report_matcher", runner, "1 x 128") for runner in (CPU, "fp16 engine")} <= shapes
    assert "fp16 engine: ecg_image_encoder, 1, over the CPU" in body["figures"]
    said = words(capsys)
    assert "Stand-in (sm_00), driver 1.2.3, tensorrt 99" in said
    assert "left out: Triton" in said


@pytest.mark.usefixtures("quick")
def test_a_wrong_engine_ends_with_status_1_and_its_figures_are_written(
    monkeypatch, results, capsys
):
    monkeypatch.setattr(gpu, "_race", lambda *_: None)

    def spoil(model, runner):
        return Wrong(runner, lambda a: np.roll(a, 1, axis=-1)) if model == GRAPHS[1] else runner

    assert main([], StandIn(spoil, largest=1)) == 1
    body = json.loads(results.read_bytes())
    assert any(line.startswith("fp16 engine: top-10 overlap is 0.") for line in body["missed"])
    assert not any("fp32" in line for line in body["missed"])
    assert "missed: fp16 engine: top-10 overlap" in words(capsys)


@pytest.mark.usefixtures("quick")
def test_a_step_that_fails_keeps_the_others_figures(results, capsys):
    assert main([], StandIn(raising, largest=1)) == 1
    body = json.loads(results.read_bytes())
    assert body["failed"] == [
        "parity: the engine does not run: out of memory",
        "speed: the engine does not run: out of memory",
    ]
    assert "fp32 engine: top-10 overlap" in body["figures"]
    assert "failed: parity: the engine does not run: out of memory" in words(capsys)


@pytest.mark.usefixtures("quick")
def test_engines_that_cannot_be_built_end_the_check_and_nothing_is_written(results, capsys):
    class Unable(StandIn):
        def build(self, release, precision, examples, tell):
            raise ConfigurationError("tensorrt 99 cannot build for sm_00: no kernel")

    assert main([], Unable()) == 1
    assert "cannot build for sm_00" in words(capsys)
    assert not results.parent.exists()


@pytest.mark.usefixtures("quick")
def test_a_triton_that_does_not_come_up_is_a_failure_with_its_words(monkeypatch, results, tmp_path):
    program = tmp_path / "tritonserver"
    program.write_text("#!/bin/sh\necho version 10.9 cannot load plan of 10.3\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(gpu_triton, "find_program", lambda: program)
    monkeypatch.setattr(gpu, "_race", lambda *_: None)
    assert main([], StandIn(largest=1)) == 1
    body = json.loads(results.read_bytes())
    (failed,) = body["failed"]
    assert failed.startswith("Triton: Triton ended with status 1")
    assert "cannot load plan of 10.3" in failed and "A plan loads only in the TensorRT" in failed
    assert "fp16 engine: top-10 overlap" in body["figures"]


@pytest.mark.usefixtures("quick")
def test_what_is_served_is_compared_loaded_and_stopped(monkeypatch, results, release):
    served = []

    @contextmanager
    def serving(program, release, folder):
        served.append((program, (release.folder(GRAPHS[0]) / "model.plan").is_file()))
        yield 1, 2, 3
        served.append("stopped")

    monkeypatch.setattr(gpu, "_race", lambda *_: None)
    monkeypatch.setattr(gpu_triton, "find_program", lambda: "tritonserver")
    monkeypatch.setattr(gpu_triton, "serving", serving)
    monkeypatch.setattr(gpu_triton, "check", lambda *_: {"top-10 overlap": 0.5})
    stat = "STAT p99 beside routine over idle"
    monkeypatch.setattr(gpu_triton, "loads", lambda server, pace: {stat: 9.0})
    monkeypatch.setattr(gpu, "memories", lambda *_: {"memory inline": 1.0})
    assert main([], StandIn(largest=1)) == 1
    assert served == [("tritonserver", True), "stopped"]
    body = json.loads(results.read_bytes())
    assert body["missed"] == ["fp16 in Triton: top-10 overlap is 0.5, aim: at least 0.99"]
    assert body["figures"]["Triton: memory inline"] == 1.0
    assert body["aims"][f"Triton: {stat}"] == "at most 2.5"  # told; it decides no exit status


@pytest.mark.usefixtures("quick")
def test_int8_engines_are_calibrated_measured_and_have_no_aim(
    monkeypatch, results, sample, tmp_path
):
    examples = Sample(sample.images[40:44], sample.tokens[40:80])
    monkeypatch.setattr(gpu, "parse", lambda argv: replace(QUICK, ptbxl=tmp_path, int8=True))
    monkeypatch.setattr(gpu, "open_dataset", lambda path: path)
    monkeypatch.setattr(gpu, "examples_of", lambda release, dataset: examples)
    monkeypatch.setattr(gpu, "_race", lambda *_: None)
    machine = StandIn(largest=1)
    main([], machine)
    body = json.loads(results.read_bytes())
    assert machine.examples is examples
    assert body["asked"].endswith(f"{tmp_path}, fold 9")
    assert "int8 engine: top-10 overlap" in body["figures"]
    assert not any(name.startswith("int8") for name in body["aims"])
