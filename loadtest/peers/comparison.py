"""Measures ways round by round, and checks that they answer alike."""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.domain.jobs import DEFAULT_TOP_K
from loadtest.peers.ways import Target, Way
from loadtest.processes import cpu_seconds_below

SCORE_TOLERANCE = 1e-3
"""Scores of float32 embeddings, computed in batches of other sizes, differ by less."""


class Source(Protocol):
    """Makes ECGs without end."""

    def take(self, count: int) -> list[ecg_pb2.Ecg]:
        """Return ECGs that were never taken before."""


@dataclass(frozen=True, slots=True)
class Run:
    """One way over the ECGs of one kind, once.

    Attributes:
        records_per_s: answers by time.
        server_ms: CPU time of all processes below this one a record, ms of one core.
        client_ms: CPU time of this process a record.
    """

    records_per_s: float
    server_ms: float
    client_ms: float


Runs = dict[tuple[str, str], list[Run]]
"""By kind of ECG and name of way, one for each round."""


def compare(
    ways: Sequence[Way],
    sources: Mapping[str, tuple[Source, int]],
    rounds: int,
    folder: Path,
    on_progress: Callable[[str], None],
) -> Runs:
    """Measure every way in every round, one after another.

    Args:
        ways: the first is the one that the others have to answer like.
        sources: by kind, where its ECGs come from, and how many are asked for in a round.
        rounds: how often.
        folder: for logs and data.
        on_progress: is told each measurement in words.
    """
    runs: Runs = defaultdict(list)
    for _ in range(rounds):
        ecgs = {kind: source.take(count) for kind, (source, count) in sources.items()}
        warm = {kind: source.take(max(8, count // 4)) for kind, (source, count) in sources.items()}
        expected: dict[str, list[job_pb2.Answer]] = {}
        for way in ways:
            with way.running(folder) as target:
                for kind, some in ecgs.items():
                    target.answers(target.requests(warm[kind]))
                    run, answers = _measured(target, some)
                    check_alike(way.name, expected.setdefault(kind, answers), answers)
                    runs[kind, way.name].append(run)
                    on_progress(f"{way.name}, {kind}: {run.records_per_s:.0f} records/s")
    return runs


def _measured(target: Target, ecgs: Sequence[ecg_pb2.Ecg]) -> tuple[Run, list[job_pb2.Answer]]:
    requests = target.requests(ecgs)
    server, client, start = cpu_seconds_below(os.getpid()), time.process_time(), time.perf_counter()
    answers = target.answers(requests)
    seconds = time.perf_counter() - start
    client = time.process_time() - client
    server = cpu_seconds_below(os.getpid()) - server
    count = len(ecgs)
    return Run(count / seconds, server / count * 1000, client / count * 1000), answers


def check_alike(
    name: str, expected: Sequence[job_pb2.Answer], answers: Sequence[job_pb2.Answer]
) -> None:
    """Check that answers say the same: scores of the hits, statements, and that there is a draft.

    Reports with the same score may come in any order.

    Raises:
        SystemExit: if they do not.
    """
    for number, (ours, theirs) in enumerate(zip(expected, answers, strict=True)):
        if not _alike(ours, theirs):
            raise SystemExit(f"{name} answers ECG {number} otherwise: nothing is compared")


def _alike(ours: job_pb2.Answer, theirs: job_pb2.Answer) -> bool:
    own, other = (np.array([hit.score for hit in answer.hits]) for answer in (ours, theirs))
    codes = [{each.code for each in answer.predictions} for answer in (ours, theirs)]
    return (
        len(own) == len(other) == DEFAULT_TOP_K
        and bool(np.allclose(own, other, atol=SCORE_TOLERANCE))
        and len(codes[0] ^ codes[1]) <= 1  # one may lie on the threshold
        and all(hit.report.text for hit in theirs.hits)
        and theirs.HasField("draft")
    )


def figures_of(runs: Runs, first: str) -> dict[str, float]:
    """Return the figures by name: medians over the rounds.

    Args:
        runs: from `compare`.
        first: name of the way that the ratios refer to: records/s of the others over its own.
    """
    figures: dict[str, float] = {}
    for (kind, name), measured in runs.items():
        ratios = [
            run.records_per_s / own.records_per_s
            for run, own in zip(measured, runs[kind, first], strict=True)
        ]
        figures |= {
            f"{kind}, {name}, records/s": statistics.median(run.records_per_s for run in measured),
            f"{kind}, {name}, over {first}": statistics.median(ratios),
            f"{kind}, {name}, core-ms": statistics.median(run.server_ms for run in measured),
            f"{kind}, {name}, client's core-ms": statistics.median(
                run.client_ms for run in measured
            ),
        }
    return figures
