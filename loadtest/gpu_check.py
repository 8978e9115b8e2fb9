"""`make gpu-check`: whether TensorRT engines answer as ONNX Runtime on the CPU does, and how fast.

Builds the fp32 and fp16 engines of the newest version for the GPU at hand, asks them and the CPU
about real ECGs and reports, and times the image encoder by batch size. Where CARDEX_TRITON_URL
names a Triton that serves the `tensorrt` target, that is asked and timed as well. Nothing is
started. The exit code is 1 if an answer differs by more than its limit, or if something is missing.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from polygraphy.backend.trt import EngineFromBytes, TrtRunner
from polygraphy.exception import PolygraphyException
from polygraphy.logger import G_LOGGER

from cardex.api.recordings import load, recordings
from cardex.domain.ecg import Image, Waveform
from cardex.domain.errors import CardexError, ConfigurationError
from cardex.domain.settings import Settings, load_settings
from cardex.inference.encoder import served_model
from cardex.inference.repository import GRAPHS, IMAGE_ENCODER, MATCHER, ModelVersion, newest
from cardex.inference.served_model import IMAGE_INPUT, MATCH_OUTPUT, OUTPUT
from cardex.inference.tokenizer import ReportTokenizer
from cardex.inference.triton_client import InferenceRequest, TritonClient
from cardex.inference.triton_encoder import TritonEncoder
from cardex.local_stack.dataset import DemoData, fetch
from cardex.models.builders import TENSORRT, load_api
from cardex.models.comparison import AIM, Sample, differences
from cardex.models.plans import build_plans
from cardex.models.precision import Inputs, Precision
from cardex.reports.ptbxl import distinct_reports
from cardex.signals.images import image_of
from cardex.signals.readers import read
from loadtest.report import publish

Runner = Callable[[str, Inputs], NDArray[np.float32]]
"""Takes a model's name and the tensors of one call; returns the model's one output."""

WINDOWS = 10
"""ECGs that are cut out of each record."""
WINDOW_S = 8.0
REPORTS = 2000
BATCHES = (1, 4, 16, 64)
"""Images in a call; 64 is the `max_batch_size` of the image encoder's tensorrt target."""
ROUNDS = 5
ROUND_S = 1.0
MATCH_LIMITS = {Precision.FP32: 0.02, Precision.FP16: 0.1}
"""Largest difference of a match logit; on the CPU, rounding to TF32 gives 0.003, to fp16 0.016."""
SMALLEST_COSINE = 0.9999
"""fp16's rounding, computed on the CPU, leaves 1 - 6e-7."""


def sample_of(release: ModelVersion, data: DemoData) -> Sample:
    """Return the demo's records, each cut into windows and drawn, and reports of PTB-XL."""
    texts = sorted(report.text for report in distinct_reports(data.ptbxl))
    places = np.linspace(0, len(texts) - 1, REPORTS).astype(int)
    tokens = ReportTokenizer(release.tokenizer).encode([texts[place] for place in places])
    images = [
        image_of(window, release.spec())
        for files in recordings([*data.cpsc, data.dicom])
        for window in windows_of(read(load(files)))
    ]
    return Sample(np.stack(images), tokens)


def windows_of(record: Waveform) -> Iterator[Waveform]:
    """Yield `WINDOWS` windows of at most `WINDOW_S` seconds, spread evenly over a record."""
    samples = record.signal.shape[1]
    width = min(int(WINDOW_S * record.rate), int(0.8 * samples))
    for start in np.linspace(0, samples - width, WINDOWS).astype(int):
        yield Waveform(record.signal[:, start : start + width], record.rate)


def cpu_runner(release: ModelVersion) -> Runner:
    """Run the fp32 graphs in ONNX Runtime, with all cores that this process may use."""
    sessions = {
        model: onnxruntime.InferenceSession(
            str(release.graph(model)), providers=["CPUExecutionProvider"]
        )
        for model in models_of(release)
    }

    def run(model: str, inputs: Inputs) -> NDArray[np.float32]:
        (found,) = sessions[model].run(None, dict(inputs))
        return np.asarray(found, dtype=np.float32)

    return run


@contextmanager
def engine_runner(plans: Mapping[str, bytes]) -> Iterator[Runner]:
    """Load serialised engines, by model; each call copies its tensors to the GPU and back.

    Raises:
        ConfigurationError: if an engine does not load or run; also out of the block of `with`.
    """
    G_LOGGER.module_severity = G_LOGGER.WARNING
    try:
        with ExitStack() as loaded:
            engines = {
                model: loaded.enter_context(TrtRunner(EngineFromBytes(plan)))
                for model, plan in plans.items()
            }

            def run(model: str, inputs: Inputs) -> NDArray[np.float32]:
                feed = {name: np.ascontiguousarray(tensor) for name, tensor in inputs.items()}
                (found,) = engines[model].infer(feed).values()
                return np.array(found, dtype=np.float32)  # the next call reuses the buffer

            yield run
    except (PolygraphyException, OSError) as error:  # OSError: CUDA's runtime library is missing
        raise ConfigurationError(f"the engine does not run: {error}") from error


def triton_runner(settings: Settings, release: ModelVersion) -> Runner:
    """Check and probe the version that Triton serves, and ask it.

    Raises:
        CardexError: if Triton is down, does not serve this version, or serves another target.
    """
    client = TritonClient(settings.triton_url, timeout_s=settings.triton_timeout_s)
    encoder = TritonEncoder(client, settings.model_repository)
    served = served_model(encoder, release.version())
    if served is None:
        raise ConfigurationError(f"Triton at {settings.triton_url} lacks {release.version()}")
    if (backend := client.config(IMAGE_ENCODER).backend) != "tensorrt":
        raise ConfigurationError(
            f"Triton at {settings.triton_url} runs the backend {backend!r}: start it with"
            " --model-config-name=tensorrt"
        )

    def run(model: str, inputs: Inputs) -> NDArray[np.float32]:
        output = MATCH_OUTPUT if model == MATCHER else OUTPUT
        return client.infer(InferenceRequest(model, served.triton_version, inputs, output))

    return run


def models_of(release: ModelVersion) -> list[str]:
    """Return the models of a version that have a graph: the matcher is optional."""
    return [model for model in GRAPHS if release.graph(model).is_file()]


def answers_of(
    runner: Runner, release: ModelVersion, sample: Sample
) -> dict[str, NDArray[np.float32]]:
    """Return each model's answers to the sample: (rows, E), of the matcher (ECGs, reports)."""
    return {
        model: np.concatenate([runner(model, call) for call in sample.calls(model)])
        for model in models_of(release)
    }


def limits_of(precision: Precision) -> dict[str, tuple[str, float]]:
    """Return "at least" or "at most", and the limit, of each figure of `differences`."""
    return {
        "top-10 overlap": ("at least", AIM),
        "image encoder, smallest cosine": ("at least", SMALLEST_COSINE),
        "report encoder, smallest cosine": ("at least", SMALLEST_COSINE),
        "matcher, largest difference of match logits": ("at most", MATCH_LIMITS[precision]),
    }


def is_within(value: float, limit: tuple[str, float]) -> bool:
    """Return whether a figure keeps its limit; NaN keeps none."""
    return value >= limit[1] if limit[0] == "at least" else value <= limit[1]


def images_per_s(runner: Runner, images: Image) -> float:
    """Return the rate of calls that follow one another, each with all these images."""
    call = {IMAGE_INPUT: images}
    runner(IMAGE_ENCODER, call)
    rates = []
    for _ in range(ROUNDS):
        calls, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < ROUND_S:
            runner(IMAGE_ENCODER, call)
            calls += 1
        rates.append(calls * len(images) / seconds)
    return statistics.median(rates)


def speeds_of(name: str, runner: Runner, sample: Sample) -> dict[str, float]:
    """Return images/s by batch size, named as in "fp16 engine, 16 images a call, images/s"."""
    return {
        f"{name}, {batch} images a call, images/s": images_per_s(
            runner, np.resize(sample.images, (batch, *sample.images.shape[1:]))
        )
        for batch in BATCHES
    }


def check(settings: Settings) -> bool:
    """Build, compare and time; returns whether every figure keeps its limit.

    Raises:
        CardexError: if there is no GPU or no tensorrt, an engine cannot be built, or Triton fails.
    """
    api = load_api(TENSORRT)
    (gpu,) = api.gpus
    release = newest(settings.model_repository)
    sample = sample_of(release, fetch(settings.data_dir / "data", print))
    cpu = cpu_runner(release)
    expected = answers_of(cpu, release, sample)
    figures = speeds_of("ONNX Runtime on the CPU", cpu, sample)
    limits: dict[str, tuple[str, float]] = {}

    def measure(name: str, runner: Runner, precision: Precision) -> None:
        found = differences(expected, answers_of(runner, release, sample))
        figures.update({f"{name}: {figure}": value for figure, value in found.items()})
        limits.update({f"{name}: {figure}": limits_of(precision)[figure] for figure in found})
        figures.update(speeds_of(name, runner, sample))

    for precision in (Precision.FP32, Precision.FP16):
        built = build_plans(release, api, None, precision)
        with engine_runner({model: each.plan for model, each in built.items()}) as runner:
            measure(f"{precision} engine", runner, precision)
    if "CARDEX_TRITON_URL" in os.environ:
        measure("Triton", triton_runner(settings, release), Precision.FP16)
    aims = {figure: f"{how} {value:g}" for figure, (how, value) in limits.items()}
    publish("gpu-check", figures, aims, accelerator=f"GPU {gpu} with {api}")
    return all(is_within(figures[figure], limit) for figure, limit in limits.items())


def main() -> int:
    """Run the check; returns the exit code."""
    try:
        return 0 if check(load_settings()) else 1
    except CardexError as error:
        print(f"error ({error.reason}): {error.message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
