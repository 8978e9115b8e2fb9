"""Costs of the machine at hand, measured before anything is compared with the simulation."""

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadtest.capacity.costs import BEFORE, Costs, Delay, Single, between
from loadtest.ecgs import Ecgs
from loadtest.house import House
from loadtest.processes import CpuMeter
from loadtest.traffic import Answered, bedside, imported

ASIDE = ("cache", "milvus", "web")
IDLE_S = 5.0
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a calibration may take.

    Attributes:
        records: of an import.
        per_s: bedside ECGs a second, alone on the machine.
        seconds: for how long they come.
    """

    records: int = 600
    per_s: float = 6.0
    seconds: float = 30.0


def calibrate(own: House, effort: Effort) -> Costs:
    """Return the costs of this machine: of an import, and of bedside ECGs that are alone.

    Bedside ECGs come seldom here, as they do: a core that was asleep, and whose caches hold other
    things, needs longer than one that is asked again and again. A worker's work lies before and
    after the encoder in the same shares for both.
    """
    used = _of_import(own, effort.records)
    one, answers = _of_bedside(own, effort)
    client, aside = one["client"], sum(one[name] for name in ASIDE)
    prepare = sum(_median(answers, stage) for stage in BEFORE)
    share = min(1.0, prepare / one["worker-stat"]) if one["worker-stat"] else HALF
    batch, single = _single(used, share), _single(one, share)
    costs = between(batch, single, client=client, aside=aside)
    # Several threads of an instance share one image, so its time is shorter than its core time.
    path = single.total - single.encoder + min(single.encoder, _median(answers, "inference"))
    seconds = [answer.seconds for answer in answers if not answer.error]
    p50, p99 = (float(q) - path - client - aside for q in np.percentile(seconds, [50, 99]))
    return replace(costs, delay=Delay.through(p50, p99), source=f"{os.cpu_count()} cores, measured")


def _of_import(own: House, records: int) -> dict[str, float]:
    """Return core-seconds of a record of an import by process."""
    ready = Ecgs(own.data, seed=11).take(records)
    with CpuMeter(own.stack.pids) as meter:
        imported(own.client, records, ready)
    return {name: seconds / records for name, seconds in meter.seconds.items()}


def _single(used: Mapping[str, float], share: float) -> Single:
    """Return what each kind of process used, and of the workers `share` before the encoder."""
    worker = sum(seconds for name, seconds in used.items() if name.startswith("worker"))
    return Single(
        gateway=used["gateway"],
        state=used["state"],
        prepare=worker * share,
        write=worker * (1.0 - share),
        encoder=used["triton"],
    )


def _of_bedside(own: House, effort: Effort) -> tuple[dict[str, float], list[Answered]]:
    """Return core-seconds of a bedside ECG by process, without what each does by itself."""
    with CpuMeter(own.stack.pids) as idle:
        time.sleep(IDLE_S)
    meter, began = CpuMeter(own.stack.pids), 0.0

    def gate() -> None:
        nonlocal began
        meter.__enter__()
        began = time.perf_counter()

    data = own.settings.data_dir / "data"
    answers = bedside(gate, own.endpoints.gateway, data, effort.per_s, effort.seconds, 12)
    passed = time.perf_counter() - began
    meter.__exit__()
    return {
        name: max(0.0, seconds - idle.seconds[name] * passed / IDLE_S) / len(answers)
        for name, seconds in meter.seconds.items()
    }, answers


def _median(answers: Sequence[Answered], stage: str) -> float:
    return statistics.median(answer.stages.get(stage, 0.0) for answer in answers)
