"""The smallest numbers of everything with which bedside ECGs and archives keep their aims."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cardex.domain.settings import Settings
from loadtest.capacity.arrivals import Demand, Load
from loadtest.capacity.costs import BATCH, Costs, Gpu
from loadtest.capacity.pods import pod
from loadtest.capacity.scaling import Autoscaler, Course, night_of, rule
from loadtest.capacity.simulation import (
    QUERY_CORES,
    SATURATED,
    Fleet,
    Outcome,
    Traffic,
    simulate,
)

STATE_BUSY = 0.6
"""How busy the thread of one state store may be before there are two, each with a fleet: above it
its waiting time, and what waits for it while it writes its file anew, grow steeply."""
STAT_ECGS, LEAST_S, MOST_S = 1_000, 10.0, 3_600.0
RECORDS = 10_000
"""Bedside ECGs and records of a run; few ECGs make a p99 of a few."""
ENOUGH_ECGS = 300
KINDS = ("gateway", "stat", "routine", "triton", "query")
STATIONS = {
    "gateway": "gateway", "worker-stat": "stat", "worker-routine": "routine", "triton": "triton",
    "query": "query",
}  # fmt: skip
"""What a busy station has more of."""
WORKLOADS = {kind: station for station, kind in STATIONS.items()}
ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Aim:
    """What has to hold.

    Attributes:
        stat_p99_s: of bedside ECGs.
    """

    stat_p99_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What an hour costs, in any currency.

    Attributes:
        core_hour: of a core that is reserved.
        gpu_hour: of a GPU.
    """

    core_hour: float
    gpu_hour: float


@dataclass(frozen=True)
class Plan:
    """The smallest fleet.

    Attributes:
        cells: state stores, each with a fleet of its own and an equal part of the load.
        fleet: of one cell.
        outcomes: of each load, for one cell, by name.
        night: how the archives go through the night where the routine workers are scaled.
    """

    cells: int
    fleet: Fleet
    outcomes: Mapping[str, Outcome]
    night: Course = field(default_factory=Course)

    def count(self, kind: str) -> int:
        """Return how many there are of a kind in all cells."""
        return self.cells * int(getattr(self.fleet, kind))

    def with_spare(self, spare: int) -> "Plan":
        """Return the plan with so many more of each kind that answers bedside ECGs.

        Where there are several state stores, each fleet has its own.
        """
        kinds = [kind for kind in KINDS if kind != "routine" and getattr(self.fleet, kind)]
        more = {kind: getattr(self.fleet, kind) + spare for kind in kinds}
        return replace(self, fleet=replace(self.fleet, **more))

    def core_hours(self) -> float:
        """Return reserved core-hours a day; the routine workers' are those of the night."""
        steady = sum(
            self.count(kind) * _cores(kind) for kind in ("gateway", "stat", "triton", "query")
        )
        steady += self.cells * (pod("state").reserved + pod("cache").reserved) + pod("web").reserved
        return steady * 24.0 + self.night.pod_hours * pod("worker-routine").reserved

    def gpu_hours(self) -> float:
        """Return GPU-hours a day."""
        return self.count("triton") * 24.0 if self.fleet.gpu else 0.0

    def price(self, prices: Prices) -> float:
        """Return what a day costs."""
        return self.core_hours() * prices.core_hour + self.gpu_hours() * prices.gpu_hour


def reserved(station: str) -> float:
    """Return the cores that are kept for one of a kind, by the name of its station."""
    return float(QUERY_CORES) if station == "query" else pod(station).reserved


def _cores(kind: str) -> float:
    return reserved(WORKLOADS[kind])


class Planner:
    """Searches for the smallest fleet under some costs."""

    def __init__(self, costs: Costs, aim: Aim, gpu: Gpu | None = None, *, seed: int = 1) -> None:
        """Plan with these costs; with a GPU for each Triton where its costs are given."""
        self._costs, self._aim, self._gpu, self._seed = costs, aim, gpu, seed
        self._known: dict[tuple[Fleet, Load], Outcome] = {}

    def cells(self, loads: Sequence[Load]) -> int:
        """Return how many state stores the loads need."""
        state = self._costs.state
        record = state.of(BATCH) / BATCH
        most = max(load.stat_per_s * state.of(1) + load.routine_per_s * record for load in loads)
        return max(1, math.ceil(most / STATE_BUSY))

    def smallest(self, loads: Mapping[str, Load]) -> Plan:
        """Return the smallest plan that keeps the aims under each load, by name.

        Raises:
            SystemExit: if no number of anything keeps them.
        """
        cells = self.cells(list(loads.values()))
        parts = {name: load.over(cells) for name, load in loads.items()}
        fleet = self._enough(self._least(list(parts.values())), list(parts.values()))
        fleet = self._fewer(fleet, list(parts.values()))
        outcomes = {name: self.outcome(fleet, load) for name, load in parts.items()}
        return Plan(cells, fleet, outcomes)

    def holds(self, fleet: Fleet, load: Load) -> bool:
        """Tell whether a fleet keeps the aims under a load of one cell."""
        outcome = self.outcome(fleet, load)
        fast = not load.stat_per_s or outcome.stat_ms(99) <= self._aim.stat_p99_s * 1e3
        return fast and outcome.routine_per_s >= load.routine_per_s

    def outcome(self, fleet: Fleet, load: Load) -> Outcome:
        """Simulate a fleet under a load of one cell; an archive goes as fast as it can."""
        found = self._known.get((fleet, load))
        if found is None:
            traffic = traffic_of(load, fleet, self._seed, self._most(fleet))
            found = simulate(fleet, self._costs, traffic, self._gpu)
            self._known[fleet, load] = found
        return found

    def _most(self, fleet: Fleet) -> float:
        """Return the most records/s of a fleet: of its workers, and of its Tritons."""
        worker, encoder, cores = self._works()
        return min(fleet.routine / worker, fleet.triton * cores / encoder)

    def _works(self) -> tuple[float, float, float]:
        """Return core-seconds of an ECG in a worker and in Triton, and the cores of one Triton."""
        worker = self._costs.prepare.item + self._costs.write.item
        if self._gpu:
            return worker, self._gpu.encoder.item, 1.0
        return worker, self._costs.encoder.item, pod("triton").most

    def _least(self, loads: Sequence[Load]) -> Fleet:
        """Return the fleet that has as many cores as the work of the loads needs, no more."""
        costs = self._costs
        worker, encoder, cores = self._works()
        needed = {
            "gateway": (costs.gateway.item, 1.0, 1.0),
            "stat": (worker, 1.0, 0.0),
            "routine": (worker, 0.0, 1.0),
            "triton": (encoder / cores, 1.0, 1.0),
            "query": (costs.search.item / QUERY_CORES, 1.0, 1.0),
        }
        counts = {
            kind: max(
                math.ceil(each * (stat * load.stat_per_s + routine * load.routine_per_s))
                for load in loads
            )
            for kind, (each, stat, routine) in needed.items()
        }
        least = {kind: max(1, count) for kind, count in counts.items()}
        if not any(load.routine_per_s for load in loads):
            least["routine"] = 0
        if not costs.search.item:
            least["query"] = 0
        return Fleet(**least, gpu=self._gpu is not None)

    def _enough(self, fleet: Fleet, loads: Sequence[Load]) -> Fleet:
        """Add to what is busiest until the aims hold."""
        for _ in range(ROUNDS):
            failing = [load for load in loads if not self.holds(fleet, load)]
            if not failing:
                return fleet
            busy = self.outcome(fleet, failing[0]).busy
            kinds = {STATIONS[name]: share for name, share in busy.items() if name in STATIONS}
            kind = max(kinds, key=lambda each: kinds[each])
            count = getattr(fleet, kind)
            fleet = replace(fleet, **{kind: count + max(1, count // 20)})
        raise SystemExit("no number of pods keeps the aims: the p99 may be below an idle machine's")

    def _fewer(self, fleet: Fleet, loads: Sequence[Load]) -> Fleet:
        """Take away whatever may go, one by one, the dearest first, until nothing may."""
        for _ in range(ROUNDS):
            for smaller in self.smaller(fleet):
                if all(self.holds(smaller, load) for load in loads):
                    fleet = smaller
                    break
            else:
                break
        return fleet

    def smaller(self, fleet: Fleet) -> Iterator[Fleet]:
        """Yield each fleet that has one less of something."""
        for kind in sorted(KINDS, key=_cores, reverse=True):
            count = getattr(fleet, kind)
            if count > 1:
                yield replace(fleet, **{kind: count - 1})

    def rate_of(self, fleet: Fleet, load: Load) -> Callable[[int], float]:
        """Return the records/s of some routine workers beside a fleet: a line up to its most."""
        one = self.outcome(replace(fleet, routine=1), load).routine_per_s
        most = self.outcome(fleet, load).routine_per_s
        return lambda workers: min(workers * one, most)


def traffic_of(load: Load, fleet: Fleet, seed: int, most_per_s: float) -> Traffic:
    """Return a run of a load, long enough for its p99 and short enough to wait for.

    Where so short a run would have few bedside ECGs, they come more often than in truth, which errs
    on the safe side.

    Args:
        load: of one cell.
        fleet: of one cell.
        seed: of the Poisson process.
        most_per_s: records/s that the fleet may come to.
    """
    seconds = STAT_ECGS / load.stat_per_s if load.stat_per_s else MOST_S
    if load.routine_per_s:
        seconds = min(seconds, RECORDS / max(most_per_s, load.routine_per_s))
    seconds = min(max(seconds, LEAST_S), MOST_S)
    stat = load.stat_per_s and max(load.stat_per_s, ENOUGH_ECGS / seconds)
    routine = SATURATED if load.routine_per_s else 0.0
    return Traffic(stat, routine, seconds, streams=2 * fleet.gateway, seed=seed)


def plan_of(
    demand: Demand, costs: Costs, aim: Aim, gpu: Gpu | None = None, *, seed: int = 1
) -> Plan:
    """Return the plan of some hospitals: for the day's peak, and for the night's archives."""
    loads = {"day": demand.peak, "night": demand.busiest_night}
    planner = Planner(costs, aim, gpu, seed=seed)
    plan = planner.smallest(loads)
    if not demand.archive:
        return plan
    part = demand.busiest_night.over(plan.cells)
    rate_of = planner.rate_of(plan.fleet, part)
    course = night_of(
        demand.archive / plan.cells,
        rate_of,
        Autoscaler(replace(rule("worker-routine"), most=plan.fleet.routine)),
        intake_per_s=plan.fleet.gateway / costs.gateway.item,
        backlog=Settings().max_backlog,
        within_s=24.0 * 3600.0,
    )
    course.pod_hours *= plan.cells
    return replace(plan, night=course)
