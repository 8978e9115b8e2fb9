"""The commands that make engines and tell what reduced precision costs."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cardex.api.recordings import load, recordings
from cardex.cli.main import app
from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import GRAPHS, ModelVersion
from cardex.inference.tokenizer import ReportTokenizer
from cardex.models.builders import RTX, load_api
from cardex.models.comparison import AIM, Sample, compare
from cardex.models.config import max_batch_size
from cardex.models.plans import build_plans
from cardex.models.precision import Precision
from cardex.signals.cleaning import clean
from cardex.signals.images import draw, window_of
from cardex.signals.readers import read
from tests.helpers.real import demo_data, reports

SHIFTS = 12


@pytest.fixture(scope="module")
def release(root):
    return ModelVersion(root / "model_repository", 1)


@pytest.fixture(scope="module")
def sample(release):
    """Windows of real ECGs, each cut at several places, and real reports."""
    spec = release.spec()
    windows = []
    for files in recordings(demo_data().cpsc):
        cleaned = clean(read(load(files)), spec.rate, spec.filter)
        for shift in range(SHIFTS):
            windows.append(window_of(cleaned[:, shift * 7 :], spec))
    texts = [report.text for report in reports(1500)]
    return Sample(draw(np.stack(windows), spec), ReportTokenizer(release.tokenizer).encode(texts))


def test_fp16_keeps_the_first_ten_reports(release, sample):
    figures = compare(release, Precision.FP16, sample)
    assert figures["ecgs"] == len(sample.images) >= 100
    assert figures["top-10 overlap"] >= AIM
    assert figures["image encoder, smallest cosine"] > 0.9999
    assert figures["report encoder, smallest cosine"] > 0.9999
    assert figures["matcher, largest difference of match logits"] < 0.1
    assert figures["OUT_OF_DISTRIBUTION, share of ECGs that change"] < 0.02


def test_fp32_is_compared_with_itself(release, sample):
    few = Sample(sample.images[:8], sample.tokens[:64])
    figures = compare(release, Precision.FP32, few)
    assert figures["top-10 overlap"] == 1.0
    assert figures["matcher, largest difference of match logits"] == 0.0


def test_every_graph_of_a_version_gets_an_engine_of_its_configurations_batches(release):
    told = []
    plans = build_plans(
        release,
        load_api(RTX),
        "sm_89",
        Precision.FP16,
        on_progress=lambda model, _: told.append(model),
    )
    assert list(plans) == told == list(GRAPHS)
    for model, built in plans.items():
        config = release.repository / model / "configs" / "tensorrt.pbtxt"
        for profile in built.report.profiles.values():
            assert (profile.smallest[0], profile.largest[0]) == (1, max_batch_size(config))


def test_int8_needs_examples(release):
    with pytest.raises(ConfigurationError, match="int8 is calibrated on real ECGs"):
        build_plans(release, load_api(RTX), "sm_89", Precision.INT8)


def test_a_configuration_without_a_largest_batch_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"gone\.pbtxt"):
        max_batch_size(tmp_path / "gone.pbtxt")
    (tmp_path / "tensorrt.pbtxt").write_text('name: "x"\n')
    with pytest.raises(ConfigurationError, match="no line with max_batch_size"):
        max_batch_size(tmp_path / "tensorrt.pbtxt")


def cardex(*arguments: object):
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def test_the_command_writes_engines_with_their_reports_and_says_what_it_chose(tmp_path):
    done = cardex(
        "build", "--builder", RTX, "--gpu", "sm_120", "--precision", "fp32", "--out", tmp_path,
        "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    for model in GRAPHS:
        plan, report = tmp_path / model / "model.plan", tmp_path / model / "model.plan.json"
        assert plan.stat().st_size == said[model]["plan_bytes"]
        assert json.loads(report.read_bytes()) == said[model]
        assert said[model]["gpu"] == "sm_120"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--builder", RTX, "--gpu", "sm_89"), "Triton cannot load what tensorrt_rtx"),
        (("--builder", RTX, "--gpu", "sm_90", "--out", "x"), "not for sm_90"),
        (("--builder", "tensorrt"), "not installed: tensorrt"),
        (("--target", "cpu"), "run the graphs as they are"),
    ],
)
def test_what_cannot_be_built_says_why_and_writes_nothing(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    done = cardex("build", *arguments)
    assert done.exit_code != 0
    assert words in " ".join(done.output.replace("│", " ").split())
    assert not list(tmp_path.rglob("*.plan"))
