"""What each station's work costs, from measurement files, and what is assumed without one."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from loadtest.figures import kept

BATCH, CALL = 32, 16
"""Records of a worker's full micro-batch, and images of Triton's full batch on a CPU."""
SEARCHED = (100_000, 1_000_000)
"""Sizes of an index that were measured."""
OWN_SHARE = 16
"""Cardex probes one cell in so many (stores/vector_index.py)."""
ENOUGH_CELLS = 62
"""Cells that gave a recall@10 of 0.98 with a million reports (bench-search-1000000.json)."""
EVENT_S = 10e-6
"""Core-seconds in which a gateway parses one event of the state store: assumed."""
GPU_BATCH = 64
Z99 = 2.326
"""The 99th percentile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Core-seconds of something that comes in batches.

    Attributes:
        call: of a batch, however many are in it.
        item: of each in it.
    """

    call: float
    item: float

    def of(self, count: int) -> float:
        """Return the core-seconds of a batch."""
        return self.call + self.item * count

    def over(self, speed: float) -> "Cost":
        """Return the same on cores that are `speed` times as fast."""
        return Cost(self.call / speed, self.item / speed)


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds in which no core works for an ECG: disk, network, a core that wakes; log-normal.

    Attributes:
        median: seconds.
        sigma: standard deviation of their logarithm.
    """

    median: float = 0.0
    sigma: float = 0.0

    @classmethod
    def through(cls, p50: float, p99: float) -> "Delay":
        """Return the distribution with these quantiles, or none where there is no delay."""
        if p50 <= 0.0:
            return cls()
        return cls(p50, math.log(max(p99, p50) / p50) / Z99)

    def draw(self, chance: random.Random) -> float:
        """Return one of them."""
        return self.median * math.exp(self.sigma * chance.gauss(0.0, 1.0)) if self.median else 0.0


NOTHING = Cost(0.0, 0.0)


def through(single: float, each: float, count: int) -> Cost:
    """Return the cost of which a batch of one takes `single`, and one of `count` `each` an item."""
    call = max(0.0, (single - each) * count / (count - 1))
    return Cost(call, max(0.0, each - call / count))


@dataclass(frozen=True, slots=True)
class Costs:
    """Core-seconds of one machine's cores.

    Attributes:
        client: of the source of traffic, where it runs on the same machine.
        gateway: of a submission with its answer.
        state: of the state store, from submission to answer.
        cache: of the cache.
        prepare: of a worker: read, clean, draw.
        write: of a worker: everything after the encoder, but for a search in Milvus.
        encoder: of Triton; the image encoder.
        search: of a Milvus query node.
        delay: of the whole way of an ECG.
        source: where they come from, in words.
    """

    client: Cost
    gateway: Cost
    state: Cost
    cache: Cost
    prepare: Cost
    write: Cost
    encoder: Cost
    search: Cost = NOTHING
    delay: Delay = Delay()
    source: str = ""

    def on_faster(self, speed: float) -> "Costs":
        """Return the costs on cores that are `speed` times as fast; delays stay."""
        changed = {
            field.name: getattr(self, field.name).over(speed)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Cost)
        }
        return replace(self, **changed, source=f"{self.source}, cores {speed:g} times as fast")

    def with_search(self, cases: int, memory_reports: int) -> "Costs":
        """Return the costs with an index of so many reports, in memory or in Milvus."""
        search = NOTHING if cases <= memory_reports else search_cost(cases)
        return replace(self, search=search)


def kept_costs() -> Costs:
    """Return the costs of `loadtest/results/bench.json` and `load-mixed.json`.

    The first tells the core-ms a record of each process in an import and the steps of the monolith.
    The second tells how long each stage of a bedside ECG took that was alone on the machine; that
    is its core time, since it waited for nobody. What no stage tells of it is the gateway's work,
    by the known answers of the first, the state store's as of a record, and a delay.
    """
    where, figures = _needed("bench")
    alone = {
        name.removeprefix("alone: "): value / 1e3
        for name, value in _needed("load-mixed")[1].items()
        if name.startswith("alone: ")
    }
    used = {name: figures[f"core-ms a record: {name}"] / 1e3 for name in PROCESSES}
    before, after = (
        sum(figures[f"monolith, core-ms: {name}"] for name in names) for names in (BEFORE, AFTER)
    )
    worker = used["worker-routine-1"] + used["worker-routine-2"]
    batch = Single(
        gateway=used["gateway"],
        state=used["state"],
        prepare=worker * before / (before + after),
        write=worker * after / (before + after),
        encoder=used["triton"],
    )
    known = 1.0 / figures["Retrieve cached, answers/s"]
    one = Single(
        gateway=known,
        state=used["state"],
        prepare=sum(alone[f"{name} p50 ms"] for name in BEFORE),
        write=alone["search p50 ms"] + batch.write,
        encoder=alone["inference p50 ms"],
    )
    aside = used["cache"] + used["milvus"] + used["web"]
    costs = between(batch, one, client=used["client"], aside=aside)
    delays = [alone[f"p{n} ms"] - one.total - used["client"] - aside for n in (50, 99)]
    return replace(costs, delay=Delay.through(*delays), source=f"make bench, make load, {where}")


@dataclass(frozen=True, slots=True)
class Single:
    """Core-seconds of one ECG by what works for it; fields as of `Costs`."""

    gateway: float
    state: float
    prepare: float
    write: float
    encoder: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.gateway + self.state + self.prepare + self.write + self.encoder


def between(batch: Single, one: Single, *, client: float, aside: float) -> Costs:
    """Return the costs of which a record of a full batch takes `batch`, and a single ECG `one`.

    Args:
        batch: core-seconds of a record of an import.
        one: core-seconds of an ECG that is alone.
        client: core-seconds of the client.
        aside: core-seconds of what works beside: the cache and others.
    """
    return Costs(
        client=Cost(0.0, client),
        gateway=through(one.gateway, batch.gateway, BATCH),
        state=through(one.state, batch.state, BATCH),
        cache=Cost(0.0, aside),
        prepare=through(one.prepare, batch.prepare, BATCH),
        write=through(one.write, batch.write, BATCH),
        encoder=through(one.encoder, batch.encoder, CALL),
    )


BEFORE, AFTER = ("read", "clean", "encode"), ("search", "findings, draft, encoding")
"""Steps of a worker before and after the encoder."""
PROCESSES = (
    "state", "cache", "milvus", "triton", "gateway", "worker-routine-1", "worker-routine-2", "web",
    "client",
)  # fmt: skip


def search_cost(cases: int, cores: int = 2) -> Cost:
    """Return the core-seconds of a search in Milvus with IVF_FLAT, as Cardex probes it.

    Between the measured sizes and beyond them the time of a question grows as a power of the size,
    through both points, which is an extrapolation above 10^6. Calls of 32 questions used all cores
    of the machine that was measured.

    Args:
        cases: reports in the index.
        cores: of the machine that was measured.
    """
    points = [_searched(size, cores) for size in SEARCHED]
    power = math.log(points[1].item / points[0].item) / math.log(SEARCHED[1] / SEARCHED[0])
    item = points[0].item * (cases / SEARCHED[0]) ** power
    return Cost(max(point.call for point in points), item)


def search_in_cells(cases: int, cells: int = ENOUGH_CELLS) -> Cost:
    """Return the core-seconds of a search that looks at so many of the 4 sqrt(n) cells.

    An extrapolation: the time of a vector is that of the largest index that was measured, and that
    as many cells hold the nearest reports of a larger index as of that one is assumed.
    """
    largest = SEARCHED[-1]
    own = _searched(largest, 2)
    vector_s = own.item * OWN_SHARE / largest
    return Cost(own.call, vector_s * cells * cases / (4.0 * math.sqrt(cases)))


def _searched(size: int, cores: int) -> Cost:
    _, figures = _needed(f"bench-search-{size}")
    way = _own_way(size, figures)
    one, many = (figures[f"{way}: p50 of {count}, ms"] / 1e3 for count in ("one", BATCH))
    item = (many - one) / (BATCH - 1) * cores
    return Cost(max(0.0, one - item / cores), item)


def _own_way(size: int, figures: Mapping[str, float]) -> str:
    """Return the measured way that probes the share of the cells that Cardex does, or nearly."""
    cells = 4.0 * math.sqrt(size)
    ways = [name.split(":")[0] for name in figures if "nprobe" in name and "recall" in name]
    return min(ways, key=lambda way: abs(int(way.split()[-1]) - cells / OWN_SHARE))


def index_gb(cases: int) -> float:
    """Return the memory of Milvus with IVF_FLAT, GB: a line through the two measured sizes."""
    low, high = SEARCHED
    held = [_memory_gb(size) for size in SEARCHED]
    each = (held[1] - held[0]) / (high - low)
    return held[0] + each * (cases - low)


def _memory_gb(size: int) -> float:
    _, figures = _needed(f"bench-search-{size}")
    return next(
        value
        for name, value in figures.items()
        if name.startswith("IVF_FLAT") and name.endswith("memory, GB")
    )


@dataclass(frozen=True, slots=True)
class Gpu:
    """The image encoder on a GPU.

    Attributes:
        encoder: GPU-seconds.
        source: where they come from, in words.
    """

    encoder: Cost
    source: str


def gpu_costs(images_per_s: float, call_s: float) -> Gpu:
    """Return what `make gpu-check` measured, or else what is given, which is an assumption.

    Args:
        images_per_s: of a full batch.
        call_s: GPU-seconds of a call with one image.
    """
    found = kept("gpu-check")
    if found is not None:
        where, figures = found
        rates = [figures[f"fp16 engine, {n} images a call, images/s"] for n in (1, GPU_BATCH)]
        cost = through(1.0 / rates[0], 1.0 / rates[1], GPU_BATCH)
        return Gpu(cost, f"make gpu-check, {where}")
    cost = through(call_s, 1.0 / images_per_s, GPU_BATCH)
    return Gpu(
        cost, f"assumed, not measured: {images_per_s:g} images/s, {call_s * 1e3:g} ms a call"
    )


def _needed(name: str) -> tuple[str, Mapping[str, float]]:
    found = kept(name)
    if found is None:
        raise SystemExit(f"loadtest/results/{name}.json is missing: run its benchmark first")
    return found
