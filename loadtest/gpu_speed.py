"""How fast engines answer, beside ONNX Runtime on the CPU of the same machine.

Rounds alternate between the runners, so that a machine that changes its speed changes all of them; a ratio is
the median of the rounds' ratios.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cardex.inference.served_model import IMAGE_INPUT, TEXT_INPUT
from cardex.models.comparison import Sample
from cardex.models.precision import Inputs
from cardex.models.profiles import Profile, Shape
from loadtest.gpu_runners import Runner
from loadtest.gpu_sample import SIZES, filled, shapes_of

CPU = "onnxruntime, CPU"
WARM_UP = 3
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is measured: rounds, and seconds of each side in each of them."""

    rounds: int = 5
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Speed:
    """One runner at one shape.

    Attributes:
        model: whose graph.
        runner: what ran it, as in "fp16 engine".
        size: of `SIZES`.
        shape: ECGs or reports in a call, of the matcher also candidates, as in "4 x 128".
        calls: that were timed.
        p50_ms: of a call, copies included.
        p99_ms: of a call; nearly the slowest one where there are fewer than 100.
        rows_per_s: ECGs or reports, of the matcher pairs; the median of the rounds.
        ratio: of the rows/s to the CPU's.
    """

    model: str
    runner: str
    size: str
    shape: str
    calls: int
    p50_ms: float
    p99_ms: float
    rows_per_s: float
    ratio: float


def measure(
    model: str,
    runners: Mapping[str, Runner],
    sample: Sample,
    profiles: Mapping[str, Profile],
    pace: Pace = Pace(),
    clock: Clock = time.perf_counter,
) -> list[Speed]:
    """Time one model's runners at each size of its profile.

    Args:
        model: its name.
        runners: by name, `CPU` among them.
        sample: real ECGs and reports.
        profiles: of the model's engines.
        pace: how long.
        clock: seconds.
    """
    speeds = []
    for size in SIZES:
        shapes = shapes_of(profiles, size)
        rounds = race(runners, filled(sample, shapes), pace, clock)
        cpu = [rate(took, shapes) for took in rounds[CPU]]
        for name, each in rounds.items():
            rates = [rate(took, shapes) for took in each]
            ratios = [own / other for own, other in zip(rates, cpu, strict=True)]
            took = [seconds for one in each for seconds in one]
            speeds.append(
                Speed(
                    model=model,
                    runner=name,
                    size=size,
                    shape=shown(shapes),
                    calls=len(took),
                    p50_ms=float(np.percentile(took, 50)) * 1000,
                    p99_ms=float(np.percentile(took, 99)) * 1000,
                    rows_per_s=statistics.median(rates),
                    ratio=statistics.median(ratios),
                )
            )
    return speeds


def race(
    runners: Mapping[str, Runner], inputs: Inputs, pace: Pace, clock: Clock = time.perf_counter
) -> dict[str, list[list[float]]]:
    """Let the runners answer the same call again and again, in turn; returns each one's seconds by round."""
    for runner in runners.values():
        for _ in range(WARM_UP):
            runner.answer(inputs)
    rounds: dict[str, list[list[float]]] = {name: [] for name in runners}
    for _ in range(pace.rounds):
        for name, runner in runners.items():
            rounds[name].append(_timed(runner, inputs, pace.seconds, clock))
    return rounds


def rate(took: list[float], shapes: Mapping[str, Shape]) -> float:
    """Return the rows/s of calls one after another that took so many seconds."""
    return len(took) * rows_of(shapes) / sum(took)


def rows_of(shapes: Mapping[str, Shape]) -> int:
    """Return how many rows a call has: ECGs, reports, or the matcher's pairs."""
    return math.prod(_batch(shapes))


def shown(shapes: Mapping[str, Shape]) -> str:
    """Return the batch, and of the matcher the candidates, as in "4 x 128"."""
    return " x ".join(map(str, _batch(shapes)))


def _batch(shapes: Mapping[str, Shape]) -> Shape:
    """Return (rows,), or (ECGs, candidates): a report is the last axis of its tensor."""
    return shapes[TEXT_INPUT][:-1] if TEXT_INPUT in shapes else shapes[IMAGE_INPUT][:1]


def _timed(runner: Runner, inputs: Inputs, seconds: float, clock: Clock) -> list[float]:
    """Return the seconds of each call, at least one, until a time."""
    took, start = list[float](), clock()
    until = start + seconds
    while not took or start < until:
        runner.answer(inputs)
        now = clock()
        took.append(now - start)
        start = now
    return took
