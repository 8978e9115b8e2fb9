"""A job's way through Cardex: client, gateway, state store, queue, worker, Triton, search, back."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np
import simpy

from cardex.domain.jobs import Priority
from cardex.domain.settings import Settings
from cardex.worker.consumer import SHARES
from loadtest.capacity.cores import NICE_0, NICE_10, TICK_S, Cores
from loadtest.capacity.costs import Costs, Gpu
from loadtest.capacity.pods import pod, serving
from loadtest.capacity.stations import Instances, Job, JobQueue, Station, Turns, Way
from loadtest.traffic import due_times

UNIT = 64
"""Records that one unit of an archive's stream holds at most (gateway/batches.py, UNIT_ITEMS)."""
FULL = 1_000
"""Records that wait where an archive is sent as fast as it goes: more would change nothing."""
LOOK_S = 0.01
WARM = 0.1
"""Share of a run at its beginning that counts for nothing."""
HALF, THIRD, QUARTER = 1 / 2, 1 / 3, 1 / 4
"""Work of the gateway lies half before and half after a job's way; that of the state store is
submission, claim and end; the delay is that of a submission, a claim, an end and an answer."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many there are of what.

    Attributes:
        gateway: processes.
        stat: STAT workers.
        routine: routine workers.
        triton: Tritons, on a CPU, or with a GPU each.
        query: Milvus query nodes; 0 where workers search in memory.
        gpu: True where each Triton has a GPU.
        machine: cores that all share on one machine; None where each pod has its own.
    """

    gateway: int = 1
    stat: int = 1
    routine: int = 1
    triton: int = 1
    query: int = 0
    gpu: bool = False
    machine: int | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent in a run.

    Attributes:
        stat_per_s: bedside ECGs/s, a Poisson process.
        routine_per_s: records/s of an archive, in groups; infinite for as fast as it goes.
        seconds: for how long both come.
        group: records that come together where an archive has a rate.
        records: where given, an archive that goes as fast as it can ends after so many.
        drain: True where the run ends when all is answered, and counts as a whole.
        streams: connections that send the archive.
        seed: of the Poisson process.
    """

    stat_per_s: float = 0.0
    routine_per_s: float = 0.0
    seconds: float = 60.0
    group: int = UNIT
    records: int | None = None
    drain: bool = False
    streams: int = 1
    seed: int = 1


SATURATED = float("inf")


@dataclass(slots=True)
class Outcome:
    """What a run gave.

    Attributes:
        seconds: how long it was, its beginning left out.
        stat_s: seconds from when each bedside ECG was due to its answer.
        routine: records answered in that time.
        arrived: records that came in that time.
        finished: when the last record of the archive was answered, s.
        busy: share of the time in which a station's threads or cores worked, by its name.
        core_s: core-seconds by name, of the whole run.
        batches: mean micro-batch by queue.
        largest: largest batch of Triton, by model.
    """

    seconds: float
    stat_s: list[float] = field(default_factory=list)
    routine: int = 0
    arrived: int = 0
    finished: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)
    core_s: dict[str, float] = field(default_factory=dict)
    batches: dict[str, float] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)

    @property
    def routine_per_s(self) -> float:
        """Records/s."""
        return self.routine / self.seconds

    def stat_ms(self, quantile: float) -> float:
        """Return a quantile of the bedside ECGs, in ms; infinite where none came back."""
        if not self.stat_s:
            return float("inf")
        return float(np.percentile(self.stat_s, quantile)) * 1e3

    @property
    def bottleneck(self) -> str:
        """The station that was busiest."""
        return max(self.busy, key=lambda name: self.busy[name])


class Simulation:
    """One fleet under one traffic."""

    def __init__(
        self,
        fleet: Fleet,
        costs: Costs,
        traffic: Traffic,
        gpu: Gpu | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Build the stations; nothing runs yet.

        Args:
            fleet: how many of what.
            costs: of the work.
            traffic: what comes.
            gpu: costs of the encoder where Triton has GPUs.
            settings: batches and threads of the workers; by default Cardex's own defaults.
        """
        self.fleet, self.costs, self.traffic, self._gpu = fleet, costs, traffic, gpu
        self._settings = settings or Settings()
        self.env = simpy.Environment()
        self._shared = self._some(fleet.machine) if fleet.machine else None
        self._pools: dict[str, list[Cores]] = defaultdict(list)
        self._taken: dict[Priority, list[int]] = {priority: [] for priority in Priority}
        self._ended: list[tuple[float, int]] = []
        self._came: list[tuple[float, int]] = []
        self._stat: list[tuple[float, float]] = []
        self._outstanding = 0
        self._chance = random.Random(traffic.seed)
        self.queues = {priority: JobQueue(self.env, SHARES[priority]) for priority in Priority}
        self._client = Station(self.env, self._cores_of("client", 1.0), "client", threads=UNIT)
        self._gateways = cycle(self._stations("gateway", fleet.gateway))
        (self.state,) = self._stations("state", 1)
        (self._cache,) = self._stations("cache", 1)
        self._models = self._tritons()
        nodes = self._stations("query", fleet.query, threads=QUERY_CORES, cores=QUERY_CORES)
        self._nodes = cycle(nodes) if nodes else None
        self._start_workers()

    def _some(self, count: float) -> Cores:
        return Cores(self.env, count, TICK_S, self.traffic.seed)

    def _cores_of(self, name: str, count: float) -> Cores:
        cores = self._shared or self._some(count)
        self._pools[name].append(cores)
        return cores

    def _stations(
        self, name: str, count: int, *, threads: int = 1, cores: float | None = None
    ) -> list[Station]:
        each = pod(name).most if cores is None else cores
        return [
            Station(self.env, self._cores_of(name, each), name, threads=threads)
            for _ in range(count)
        ]

    def _tritons(self) -> dict[Priority, Turns]:
        own = 1 if self.fleet.gpu else int(self.fleet.machine or pod("triton").most)
        routine, stat = serving("tensorrt" if self.fleet.gpu else "cpu", own)
        cost = self._gpu.encoder if self.fleet.gpu and self._gpu else self.costs.encoder
        found: dict[Priority, Turns] = {priority: Turns([]) for priority in Priority}
        for _ in range(self.fleet.triton):
            # A GPU is not one of the machine's cores.
            cores = Cores(self.env, own) if self.fleet.gpu else self._cores_of("triton", own)
            if self.fleet.gpu:
                self._pools["triton"].append(cores)
            for priority, model in ((Priority.ROUTINE, routine), (Priority.STAT, stat)):
                found[priority].things.append(Instances(self.env, cores, model, cost.of))
        return found

    def _start_workers(self) -> None:
        for priority, count, weight in (
            (Priority.STAT, self.fleet.stat, NICE_0),
            (Priority.ROUTINE, self.fleet.routine, NICE_10),
        ):
            for _ in range(count):
                self._add_worker(priority, weight)

    def _add_worker(self, priority: Priority, weight: float = NICE_0) -> None:
        """Start one worker of a queue."""
        name = f"worker-{priority.value}"
        station = Station(self.env, self._cores_of(name, pod(name).most), name, weight=weight)
        for _ in range(self._settings.worker_threads):
            self.env.process(self._thread(station, priority))

    def run(self) -> Outcome:
        """Run until the traffic ends, or until all of it is answered."""
        traffic = self.traffic
        sources = [self.env.process(self._bedside()), *self._import()]
        if traffic.drain:
            self.env.run(until=simpy.AllOf(self.env, sources))
            while self._outstanding:
                self.env.step()
        else:
            self.env.run(until=traffic.seconds)
        return self._outcome()

    def _outcome(self) -> Outcome:
        end = self.env.now
        begin = 0.0 if self.traffic.drain else WARM * end
        outcome = Outcome(end - begin)
        outcome.stat_s = [seconds for due, seconds in self._stat if due >= begin]
        outcome.routine = _since(self._ended, begin)
        outcome.arrived = _since(self._came, begin)
        outcome.finished = max((at for at, _ in self._ended), default=0.0)
        outcome.core_s = self._core_s()
        outcome.busy = self._busy(outcome.core_s, end)
        outcome.batches = {
            priority.value: float(np.mean(taken))
            for priority, taken in self._taken.items()
            if taken
        }
        outcome.largest = {
            priority.value: max(instances.counts.largest for instances in turns.things)
            for priority, turns in self._models.items()
        }
        return outcome

    def _core_s(self) -> dict[str, float]:
        found: defaultdict[str, float] = defaultdict(float)
        for cores in {id(each): each for pools in self._pools.values() for each in pools}.values():
            for name, seconds in cores.used.items():
                found[name] += seconds
        return dict(found)

    def _busy(self, core_s: Mapping[str, float], end: float) -> dict[str, float]:
        """Return how busy each kind is: of one thread where it has one, else of its cores."""
        found = {}
        for name, pools in self._pools.items():
            each = pools[0].count if name in ("triton", "query") else 1.0
            if name != "client":
                found[name] = core_s.get(name, 0.0) / (end * each * len(pools))
        if self._shared is not None:
            found = {"cores": sum(core_s.values()) / (end * self._shared.count)}
        return found

    def _bedside(self) -> Way:
        traffic = self.traffic
        if not traffic.stat_per_s:
            return
        for due in due_times(traffic.stat_per_s, traffic.seconds, traffic.seed):
            yield self.env.timeout(max(0.0, due - self.env.now))
            self._outstanding += 1
            self.env.process(self._retrieve(due))

    def _retrieve(self, due: float) -> Way:
        """Answer one bedside ECG, whose caller waits."""
        done = self.env.event()
        gateway = next(self._gateways)
        yield from self._client_work(1)
        jobs = self._jobs(1, done)
        yield from self._submit(gateway, jobs, Priority.STAT)
        yield done
        yield self._delay(jobs)
        yield from gateway.run(self.costs.gateway.of(1) * HALF)
        yield from self._client_work(1)
        self._stat.append((due, self.env.now - due))
        self._outstanding -= 1

    def _jobs(self, count: int, done: simpy.Event | None = None) -> list[Job]:
        """Make jobs that come together; whether the machine is slow for them is chance."""
        delay_s = self.costs.delay.draw(self._chance)
        return [Job(self.env.now, delay_s, done) for _ in range(count)]

    def _delay(self, jobs: Sequence[Job]) -> simpy.Event:
        """Wait for a quarter of the delay of ECGs that go together."""
        return self.env.timeout(jobs[0].delay_s * QUARTER)

    def _client_work(self, count: int) -> Way:
        if self.fleet.machine:
            yield from self._client.run(self.costs.client.of(count) * HALF)

    def _submit(self, gateway: Station, jobs: list[Job], priority: Priority) -> Way:
        yield from gateway.run(self.costs.gateway.of(len(jobs)) * HALF)
        yield from self.state.run(self.costs.state.of(len(jobs)) * THIRD)
        yield self._delay(jobs)
        self.queues[priority].put(jobs)

    def _import(self) -> Sequence[simpy.Event]:
        traffic = self.traffic
        if not traffic.routine_per_s:
            return []
        if traffic.routine_per_s < SATURATED:
            return [self.env.process(self._paced())]
        each = None if traffic.records is None else traffic.records // traffic.streams
        return [self.env.process(self._stream(each)) for _ in range(traffic.streams)]

    def _paced(self) -> Way:
        """Send an archive in groups, each when it is due."""
        traffic = self.traffic
        period, gateway = traffic.group / traffic.routine_per_s, next(self._gateways)
        for number in range(int(traffic.seconds / period)):
            yield self.env.timeout(max(0.0, number * period - self.env.now))
            self._outstanding += traffic.group
            self.env.process(self._unit(gateway, traffic.group))

    def _stream(self, records: int | None) -> Way:
        """Send an archive unit by unit, as long as the queue has room."""
        gateway, left = next(self._gateways), records
        while left is None or left > 0:
            while left is None and len(self.queues[Priority.ROUTINE]) > FULL:
                yield self.env.timeout(LOOK_S)
            count = UNIT if left is None else min(UNIT, left)
            self._outstanding += count
            yield from self._unit(gateway, count)
            left = None if left is None else left - count

    def _unit(self, gateway: Station, count: int) -> Way:
        self._came.append((self.env.now, count))
        yield from self._client_work(count)
        yield from self._submit(gateway, self._jobs(count), Priority.ROUTINE)

    def _thread(self, station: Station, priority: Priority) -> Way:
        """One thread of a worker: takes a micro-batch all the way, then the next."""
        queue, costs = self.queues[priority], self.costs
        settings = self._settings
        stat = priority is Priority.STAT
        most = settings.stat_batch if stat else settings.routine_batch
        while True:
            yield queue.bell()
            yield from self.state.run(costs.state.call * THIRD)
            if not (jobs := queue.claim(most)):
                continue
            self._taken[priority].append(len(jobs))
            yield from self.state.run(costs.state.item * len(jobs) * THIRD)
            yield self._delay(jobs)
            yield from self._answer(station, len(jobs), priority)
            yield from self.state.run(costs.state.of(len(jobs)) * THIRD)
            yield self._delay(jobs)
            self._tell(jobs)

    def _answer(self, station: Station, count: int, priority: Priority) -> Way:
        costs = self.costs
        yield from self._cache.run(costs.cache.of(count))
        yield from station.run(costs.prepare.of(count))
        for part in _parts(count, self._models[priority].things[0].max_batch):
            yield self._models[priority].take().infer(part, LEVELS[priority])
        if self._nodes is not None:
            # Cores of a query node share one call, so a part runs on each.
            yield from self._search(count)
        yield from station.run(costs.write.of(count))

    def _search(self, count: int) -> Way:
        assert self._nodes is not None
        node, each = next(self._nodes), self.costs.search.of(count) / QUERY_CORES
        parts = [self.env.process(node.run(each)) for _ in range(QUERY_CORES)]
        yield simpy.AllOf(self.env, parts)

    def _tell(self, jobs: list[Job]) -> None:
        """Wake who waits for an ECG; the gateway tells an archive's client."""
        told = [job for job in jobs if job.done is None]
        for job in jobs:
            if job.done is not None:
                job.done.succeed()
        if told:
            self._ended.append((self.env.now, len(told)))
            self.env.process(self._watched(len(told)))

    def _watched(self, count: int) -> Way:
        yield from next(self._gateways).run(self.costs.gateway.item * count * HALF)
        yield from self._client_work(count)
        self._outstanding -= count


QUERY_CORES = 2
"""Cores of a Milvus query node, as on the machine whose searches were measured."""
LEVELS = {Priority.STAT: 0, Priority.ROUTINE: 2}
"""Triton's priority levels; the STAT instance has none."""


def simulate(
    fleet: Fleet,
    costs: Costs,
    traffic: Traffic,
    gpu: Gpu | None = None,
    **more: Any,  # noqa: ANN401
) -> Outcome:
    """Run one fleet under one traffic."""
    return Simulation(fleet, costs, traffic, gpu, **more).run()


def _parts(count: int, most: int) -> Iterable[int]:
    """Return the calls of a micro-batch, as inference/triton_encoder.py makes them."""
    full, rest = divmod(count, most)
    return [most] * full + ([rest] if rest else [])


def _since(counts: Iterable[tuple[float, int]], begin: float) -> int:
    return sum(count for at, count in counts if at >= begin)
