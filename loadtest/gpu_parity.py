"""Whether engines answer as the fp32 graphs do in ONNX Runtime on the CPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import IMAGE_ENCODER, MATCHER, TEXT_ENCODER, ModelVersion
from cardex.inference.served_model import IMAGE_INPUT, TEXT_INPUT
from cardex.models.agreement import cosines, overlap
from cardex.models.comparison import AIM, Sample
from cardex.models.precision import Inputs, Precision
from cardex.models.profiles import Profile
from loadtest.gpu_runners import Answer, CpuRunner, Runner
from loadtest.gpu_sample import SIZES, shapes_of

Figures = dict[str, float]
MATCHED = 24
TOP = 10
ENCODERS = {IMAGE_ENCODER: "image encoder", TEXT_ENCODER: "report encoder"}
OVERLAP, DIFFERENCE, DISTANCE = "top-10 overlap", "largest difference", "largest 1 - cosine"
LOG_ODDS = "matcher, largest difference of log-odds"


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure has to reach; NaN reaches nothing."""

    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Return whether a figure reaches it."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}"


def _aims(what: str, limit: float, log_odds: float) -> dict[str, Aim]:
    """Return the aims of overlap, of one figure of both encoders, and of the matcher."""
    encoders = {f"{name}, {what}": Aim(limit) for name in ENCODERS.values()}
    return {OVERLAP: Aim(AIM, at_least=True), **encoders, LOG_ODDS: Aim(log_odds)}


AIMS: Mapping[Precision, Mapping[str, Aim]] = {
    # TF32's rounding alone, computed on the CPU, gives 4e-4 of the reports and 0.003 of the log-odds.
    Precision.FP32: _aims(DIFFERENCE, 1e-3, 0.02),
    # fp16's gives 6e-7 and 0.016. Overlap alone would not see a change that both encoders share.
    Precision.FP16: _aims(DISTANCE, 1e-4, 0.1),
}
"""int8 has none: what it costs is known (services/cardex/models/precision.py), and a choice of who builds it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What is asked, and what ONNX Runtime answers in fp32.

    Attributes:
        calls: of each graph, in every batch size that its engine is made for.
        answers: of each graph; (rows, E), of the matcher (pairs,).
    """

    calls: Mapping[str, Sequence[Inputs]]
    answers: Mapping[str, Answer]


def refer(
    release: ModelVersion,
    sample: Sample,
    profiles: Mapping[str, Mapping[str, Profile]],
    matched: int = MATCHED,
) -> Reference:
    """Ask the graphs on the CPU.

    Args:
        release: whose graphs.
        sample: the ECGs and reports.
        profiles: of each graph's engine; the matcher may be missing.
        matched: ECGs whose nearest reports the matcher is asked about.
    """
    calls = {
        IMAGE_ENCODER: _rows(IMAGE_INPUT, sample.images, profiles[IMAGE_ENCODER]),
        TEXT_ENCODER: _rows(TEXT_INPUT, sample.tokens, profiles[TEXT_ENCODER]),
    }
    runners = {model: CpuRunner(release.graph(model).read_bytes()) for model in profiles}
    answers = {model: answers_of(model, runners[model], calls[model]) for model in calls}
    if MATCHER in profiles:
        scores = answers[IMAGE_ENCODER] @ answers[TEXT_ENCODER].T  # (ECGs, reports)
        nearest = np.argsort(-scores, axis=1, kind="stable")
        calls[MATCHER] = _pairs(sample, nearest[:matched], profiles[MATCHER])
        answers[MATCHER] = answers_of(MATCHER, runners[MATCHER], calls[MATCHER])
    return Reference(calls, answers)


def answers_of(model: str, runner: Runner, calls: Sequence[Inputs]) -> Answer:
    """Return the answers of all calls: (rows, E), or (pairs,) of the matcher, whose rows differ in length."""
    found = [runner.answer(call) for call in calls]
    return np.concatenate([part.reshape(-1) for part in found] if model == MATCHER else found)


def compare(runners: Mapping[str, Runner], reference: Reference) -> Figures:
    """Return how far the answers are from the reference's, and how many of the first ten reports stay.

    Raises:
        ConfigurationError: if an answer has another shape.
    """
    first = reference.answers
    second = {m: answers_of(m, runners[m], calls) for m, calls in reference.calls.items()}
    for model, expected in first.items():
        if second[model].shape != expected.shape:
            raise ConfigurationError(
                f"{model} answers {second[model].shape}, in ONNX Runtime {expected.shape}"
            )
    plain, other = (found[IMAGE_ENCODER] @ found[TEXT_ENCODER].T for found in (first, second))
    figures = {OVERLAP: overlap(plain, other, TOP)}
    for model, name in ENCODERS.items():
        figures[f"{name}, {DIFFERENCE}"] = _difference(first[model], second[model])
        figures[f"{name}, {DISTANCE}"] = 1.0 - float(cosines(first[model], second[model]).min())
    if MATCHER in first:
        figures[LOG_ODDS] = _difference(first[MATCHER], second[MATCHER])
    return figures


def named(prefix: str, figures: Mapping[str, float]) -> Figures:
    """Return the figures under longer names, as in "fp16 engine: top-10 overlap"."""
    return {f"{prefix}: {name}": value for name, value in figures.items()}


def _difference(one: Answer, other: Answer) -> float:
    return float(np.abs(one - other).max())


def _rows(name: str, rows: NDArray[Any], profiles: Mapping[str, Profile]) -> list[Inputs]:
    """Cut all rows into calls of the engine's batch sizes in turn; what is left makes the last one."""
    batches = cycle(shapes_of(profiles, size)[name][0] for size in SIZES)
    calls, first = list[Inputs](), 0
    while first < len(rows):
        batch = next(batches)
        calls.append({name: rows[first : first + batch]})
        first += batch
    return calls


def _pairs(
    sample: Sample, nearest: NDArray[np.intp], profiles: Mapping[str, Profile]
) -> list[Inputs]:
    """Return calls of ECGs with their nearest reports, in the engine's sizes in turn."""
    sizes = cycle(shapes_of(profiles, size)[TEXT_INPUT][:2] for size in SIZES)
    calls, first = list[Inputs](), 0
    while first < len(nearest):
        batch, candidates = next(sizes)
        places = np.arange(first, min(first + batch, len(nearest)))
        tokens = sample.tokens[nearest[places, :candidates]]  # (B, candidates, length)
        calls.append({IMAGE_INPUT: sample.images[places], TEXT_INPUT: tokens})
        first += batch
    return calls
