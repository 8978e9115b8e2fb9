"""Costs of the machine at hand, measured before anything is compared with the simulation."""

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadtest.capacity.costs import AFTER, BEFORE, Costs, Delay, Single, between
from loadtest.ecgs import Ecgs
from loadtest.house import House
from loadtest.monolith import Monolith
from loadtest.processes import CpuMeter
from loadtest.traffic import Answered, bedside, imported

ASIDE = ("cache", "milvus", "web")
IDLE_S = 5.0


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


def steps_of(ecgs: Ecgs, records: int) -> Mapping[str, float]:
    """Return the monolith's core-ms a record by step: which tell a worker's parts apart."""
    monolith = Monolith()
    monolith.measure(ecgs.take(min(records, 64)))  # warm
    _, steps = monolith.measure(ecgs.take(records))
    monolith.close()
    return steps


def calibrate(own: House, steps: Mapping[str, float], effort: Effort) -> Costs:
    """Return the costs of this machine: of an import, and of bedside ECGs that are alone.

    Bedside ECGs come seldom here, as they do: a core that was asleep, and whose caches hold other
    things, needs longer than one that is asked again and again.
    """
    batch = _of_import(own, steps, effort.records)
    one, answers = _of_bedside(own, effort)
    client, aside = one["client"], sum(one[name] for name in ASIDE)
    prepare = sum(_median(answers, stage) for stage in BEFORE)
    single = Single(
        gateway=one["gateway"],
        state=one["state"],
        prepare=min(prepare, one["worker-stat"]),
        write=max(0.0, one["worker-stat"] - prepare),
        encoder=one["triton"],
    )
    costs = between(batch, single, client=client, aside=aside)
    # Several threads of an instance share one image, so its time is shorter than its core time.
    path = single.total - single.encoder + min(single.encoder, _median(answers, "inference"))
    seconds = [answer.seconds for answer in answers if not answer.error]
    p50, p99 = (float(q) - path - client - aside for q in np.percentile(seconds, [50, 99]))
    return replace(costs, delay=Delay.through(p50, p99), source=f"{os.cpu_count()} cores, measured")


def _of_import(own: House, steps: Mapping[str, float], records: int) -> Single:
    ready = Ecgs(own.data, seed=11).take(records)
    with CpuMeter(own.stack.pids) as meter:
        imported(own.client, records, ready)
    used = {name: seconds / records for name, seconds in meter.seconds.items()}
    worker = sum(seconds for name, seconds in used.items() if name.startswith("worker"))
    before, after = (sum(steps[name] for name in names) for names in (BEFORE, AFTER))
    return Single(
        gateway=used["gateway"],
        state=used["state"],
        prepare=worker * before / (before + after),
        write=worker * after / (before + after),
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
