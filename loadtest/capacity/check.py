"""`make bench-capacity`: the simulation against the real stack on this machine.

First the machine's costs are measured, then both are given the same traffic: at three loads,
bedside ECGs at the very same moments and an archive that comes at a rate, and an archive as fast as
it goes; with one routine worker and with two. Nothing is fitted to these runs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from loadtest.capacity.calibration import Effort, calibrate
from loadtest.capacity.costs import Cost, Costs, Delay, kept_costs
from loadtest.capacity.simulation import SATURATED, Fleet, Outcome, Traffic, simulate
from loadtest.figures import kept
from loadtest.house import House, house
from loadtest.report import publish
from loadtest.traffic import Imported, Source, paced

SHARES = (0.3, 0.6, 0.85)
"""Loads, as shares of what the simulation says is the machine's limit."""
WORKERS = (1, 2)
GROUP = 32
REPORTS = 2_000
"""The index holds the first of the demo's reports, so that it is made in seconds."""
AIM = "0.85 to 1.15"
CALIBRATED = ("client", "gateway", "state", "cache", "prepare", "write", "encoder")
"""Costs that are measured first, as `Costs` has them."""


@dataclass(frozen=True, slots=True)
class Options:
    """How long a check takes.

    Attributes:
        seconds: of each load.
        stat_per_s: bedside ECGs/s.
        records: of the archive that goes as fast as it can.
        effort: of the calibration.
    """

    seconds: float = 25.0
    stat_per_s: float = 8.0
    records: int = 1_000
    effort: Effort = field(default_factory=Effort)


def check(options: Options) -> dict[str, float]:
    """Measure and simulate everything once; returns the figures by name."""
    # What is measured is what a gateway can do, not what it allows.
    os.environ |= {"CARDEX_RATE_PER_S": "1e6", "CARDEX_RATE_TOTAL_PER_S": "1e6"}
    costs: Costs | None = None
    figures: dict[str, float] = {}
    for workers in WORKERS:
        os.environ["CARDEX_ROUTINE_WORKERS"] = str(workers)
        with house(reports=REPORTS) as own:
            own.warm_up()
            if costs is None:
                costs = calibrate(own, options.effort)
                figures |= told(costs)
            figures |= compare(own, costs, workers, options)
    del os.environ["CARDEX_ROUTINE_WORKERS"]
    return figures


def told(costs: Costs) -> dict[str, float]:
    """Return the calibration as figures."""
    found = {}
    for name in CALIBRATED:
        cost = getattr(costs, name)
        found[f"calibration: {name}, core-ms of a call"] = cost.call * 1e3
        found[f"calibration: {name}, core-ms of an ECG in it"] = cost.item * 1e3
    found["calibration: delay, median ms"] = costs.delay.median * 1e3
    found["calibration: delay, sigma"] = costs.delay.sigma
    return found


def compare(own: House, costs: Costs, workers: int, options: Options) -> dict[str, float]:
    """Give the stack and the simulation each load in turn."""
    fleet = Fleet(routine=workers, machine=os.cpu_count() or 1)
    name = f"{workers} routine worker{'s' if workers > 1 else ''}"
    whole = Traffic(0.0, SATURATED, 0.0, records=options.records, drain=True)
    simulated = simulate(fleet, costs, whole)
    limit = simulated.routine / simulated.finished
    figures = {f"{name}: limit as simulated, records/s": limit}
    for number, share in enumerate(SHARES):
        traffic = traffic_of(share * limit, costs, options, seed=21 + number)
        figures |= _both(f"{name}, {share:.0%}", own, simulate(fleet, costs, traffic), traffic)
    source = own.archive(options.records, seed=40 + workers)
    source.begin()
    real: Imported = source.result()
    return figures | _rates(f"{name}, as fast as it goes", len(real.ends) / max(real.ends), limit)


def traffic_of(per_s: float, costs: Costs, options: Options, seed: int = 21) -> Traffic:
    """Return bedside ECGs and an archive that are as much work as so many records of an archive.

    Each load has a seed of its own, which also makes its ECGs: those of one before are cached.
    """
    one = _work(costs, 1)
    routine = max(1.0, per_s - options.stat_per_s * one / _work(costs, GROUP))
    groups = max(2, round(routine * options.seconds / GROUP))
    return Traffic(
        options.stat_per_s,
        groups * GROUP / options.seconds,
        options.seconds,
        GROUP,
        drain=True,
        seed=seed,
    )


def _work(costs: Costs, count: int) -> float:
    """Return the core-seconds of an ECG where so many go together."""
    parts = (costs.client, costs.gateway, costs.state, costs.cache, costs.prepare, costs.write,
             costs.encoder)  # fmt: skip
    return sum(part.of(count) for part in parts) / count


def _both(name: str, own: House, simulated: Outcome, traffic: Traffic) -> dict[str, float]:
    data, target = own.settings.data_dir / "data", own.endpoints.gateway
    records = round(traffic.routine_per_s * traffic.seconds)
    arguments = (records, traffic.routine_per_s, traffic.group, traffic.seed + 10)
    archive = Source(paced, target, data, *arguments)
    bedside = own.bedside(traffic.stat_per_s, traffic.seconds, traffic.seed)
    archive.begin()
    bedside.begin()
    answers, imported = bedside.result(), archive.result()
    seconds = [answer.seconds for answer in answers if not answer.error]
    found = _rates(
        name, len(imported.ends) / max(imported.ends), simulated.routine / simulated.finished
    )
    for quantile in (50, 99):
        found |= _pair(
            f"{name}: p{quantile} ms",
            float(np.percentile(seconds, quantile)) * 1e3,
            simulated.stat_ms(quantile),
        )
    refused = len(answers) - len(seconds) + imported.refused
    return found | {f"{name}: refused": float(refused)}


def _rates(name: str, real: float, simulated: float) -> dict[str, float]:
    return _pair(f"{name}: records/s", real, simulated)


def _pair(name: str, real: float, simulated: float) -> dict[str, float]:
    return {
        f"{name}, real": real,
        f"{name}, simulated": simulated,
        f"{name}, simulated over real": simulated / real,
    }


def kept_check() -> dict[str, float]:
    """Return the simulation beside runs that are kept, of other days; it starts nothing.

    `make bench` and the bedside ECGs alone of `make load` give the costs, so they are no test; the
    others are.
    """
    costs = kept_costs()
    fleet = Fleet(routine=2, machine=2)
    found: dict[str, float] = {}
    for name, key, records in (
        ("bench", "whole way, records/s", 1_000),
        ("load-archive", "records/s", 5_000),
    ):
        traffic = Traffic(0.0, SATURATED, 0.0, records=records, drain=True)
        outcome = simulate(fleet, costs, traffic)
        found |= _rates(f"{name}", _figure(name, key), outcome.routine / outcome.finished)
    beside = Traffic(10.0, SATURATED, 24.0, seed=3)
    outcome = simulate(fleet, costs, beside)
    found |= _rates("load-mixed", _figure("load-mixed", "import, records/s"), outcome.routine_per_s)
    for quantile in (50, 99):
        real = _figure("load-mixed", f"beside the import: p{quantile} ms")
        found |= _pair(f"load-mixed: p{quantile} ms", real, outcome.stat_ms(quantile))
    spike = simulate(fleet, costs, Traffic(300.0, 0.0, 1.0, drain=True))
    real = _figure("load-spike", "answers/s")
    return found | _pair("load-spike: answers/s", real, len(spike.stat_s) / spike.seconds)


def _figure(name: str, key: str) -> float:
    found = kept(name)
    if found is None:
        raise SystemExit(f"loadtest/results/{name}.json is missing")
    return found[1][key]


def again() -> dict[str, float]:
    """Return the figures of the run that is kept, simulated anew by its own calibration.

    For a change of the simulation: what the real stack did stays as it was measured.
    """
    found = kept("capacity-check")
    if found is None:
        raise SystemExit("loadtest/results/capacity-check.json is missing: `make bench-capacity`")
    figures, options = dict(found[1]), Options()
    costs = _calibrated(figures)
    for workers in WORKERS:
        name = f"{workers} routine worker{'s' if workers > 1 else ''}"
        fleet = Fleet(routine=workers, machine=os.cpu_count() or 1)
        limit = figures[f"{name}: limit as simulated, records/s"]  # which the real loads are of
        for number, share in enumerate(SHARES):
            traffic = traffic_of(share * limit, costs, options, seed=21 + number)
            outcome = simulate(fleet, costs, traffic)
            rate = outcome.routine / outcome.finished
            pairs = {"records/s": rate} | {f"p{q} ms": outcome.stat_ms(q) for q in (50, 99)}
            for what, value in pairs.items():
                real = figures[f"{name}, {share:.0%}: {what}, real"]
                figures |= _pair(f"{name}, {share:.0%}: {what}", real, value)
        whole = Traffic(0.0, SATURATED, 0.0, records=options.records, drain=True)
        outcome = simulate(fleet, costs, whole)
        fastest = f"{name}, as fast as it goes"
        real = figures[f"{fastest}: records/s, real"]
        figures |= _rates(fastest, real, outcome.routine / outcome.finished)
    return figures


def _calibrated(figures: Mapping[str, float]) -> Costs:
    def cost(name: str) -> Cost:
        return Cost(
            figures[f"calibration: {name}, core-ms of a call"] / 1e3,
            figures[f"calibration: {name}, core-ms of an ECG in it"] / 1e3,
        )

    median, sigma = (figures[f"calibration: delay, {what}"] for what in ("median ms", "sigma"))
    client, gateway, state, cache, prepare, write, encoder = map(cost, CALIBRATED)
    delay = Delay(median / 1e3, sigma)
    return Costs(client, gateway, state, cache, prepare, write, encoder, delay=delay)


def run(options: Options | None, name: str = "capacity-check") -> None:
    """Print the figures, of a new run or of the kept one again, and keep them."""
    figures = again() if options is None else check(options)
    ratios = {figure: AIM for figure in figures if figure.endswith("simulated over real")}
    publish(name, figures, ratios)
