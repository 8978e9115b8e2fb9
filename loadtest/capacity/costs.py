"""What each station's work costs, from measurement files, and what is assumed where none is kept."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from loadtest.figures import kept

BATCH, CALL = 32, 16
"""Records of a worker's full micro-batch, and images of Triton's full batch on a CPU."""
SEARCHED = (100_000, 1_000_000)
"""Sizes of an index that were measured."""
OWN_SHARE = 16
"""Cardex probes one cell in so many (stores/vector_index.py)."""
EVENT_S = 10e-6
"""Core-seconds in which a gateway parses one event of the state store: assumed."""
GPU_BATCH = 64


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
        delay_s: seconds of a single ECG's way in which no core works for it: disk, network, sleep.
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
    delay_s: float = 0.0
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
    """Return the costs of `loadtest/results/bench.json`.

    It tells the core-ms a record of each process in an import, the steps of the monolith, and how
    long a single ECG takes on an idle machine. What a single ECG costs each process is not in it:
    of the gateway it is taken from known answers, of the encoder from the idle latency, of the
    others it is that of a record of an import, and what is left of the idle latency is a delay.
    """
    where, figures = _needed("bench")
    steps = {name: figures[f"monolith, core-ms: {name}"] / 1e3 for name in STEPS}
    used = {name: figures[f"core-ms a record: {name}"] / 1e3 for name in PROCESSES}
    before, after = sum(steps[name] for name in BEFORE), sum(steps[name] for name in AFTER)
    worker = used["worker-routine-1"] + used["worker-routine-2"]
    shares = worker / (before + after)
    overhead = figures["Retrieve overhead p50 ms"] / 1e3
    single = figures["Retrieve idle p50 ms"] / 1e3 - overhead - before
    gateway = 1.0 / figures["Retrieve cached, answers/s"]
    busy = after * shares + gateway + used["state"] + used["cache"] + used["client"]
    return Costs(
        client=Cost(0.0, used["client"]),
        gateway=through(gateway, used["gateway"], BATCH),
        state=Cost(0.0, used["state"]),
        cache=Cost(0.0, used["cache"] + used["milvus"] + used["web"]),
        prepare=Cost(0.0, before * shares),
        write=Cost(0.0, after * shares),
        encoder=through(single, used["triton"], CALL),
        delay_s=max(0.0, overhead - busy),
        source=f"make bench, {where}",
    )


STEPS = ("read", "clean", "encode", "search", "findings, draft, encoding")
BEFORE, AFTER = STEPS[:3], STEPS[3:]
"""Steps of a worker before and after the encoder."""
PROCESSES = (
    "state", "cache", "milvus", "triton", "gateway", "worker-routine-1", "worker-routine-2", "web",
    "client",
)  # fmt: skip


def search_cost(cases: int, share: int = OWN_SHARE, cores: int = 2) -> Cost:
    """Return the core-seconds of a search in Milvus with IVF_FLAT.

    Between the measured sizes and beyond them the time of a question grows as a power of the size,
    through both points, which is an extrapolation above 10^6. Calls of 32 questions used all cores
    of the machine that was measured.

    Args:
        cases: reports in the index.
        share: one cell in so many is looked at; the cost of a question goes with it.
        cores: of the machine that was measured.
    """
    points = [_searched(size, cores) for size in SEARCHED]
    power = math.log(points[1].item / points[0].item) / math.log(SEARCHED[1] / SEARCHED[0])
    item = points[0].item * (cases / SEARCHED[0]) ** power * OWN_SHARE / share
    return Cost(max(point.call for point in points), item)


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
    return Gpu(cost, f"assumed, not measured: {images_per_s:g} images/s, {call_s * 1e3:g} ms a call")


def _needed(name: str) -> tuple[str, Mapping[str, float]]:
    found = kept(name)
    if found is None:
        raise SystemExit(f"loadtest/results/{name}.json is missing: run its benchmark first")
    return found
