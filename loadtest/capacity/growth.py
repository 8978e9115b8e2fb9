"""What becomes short first as load and index grow, and how many of it are needed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from loadtest.capacity.arrivals import Load
from loadtest.capacity.costs import (
    BATCH,
    ENOUGH_CELLS,
    EVENT_S,
    Cost,
    Costs,
    Gpu,
    index_gb,
    search_cost,
    search_in_cells,
)
from loadtest.capacity.plan import KINDS, Aim, Planner
from loadtest.capacity.pods import pod
from loadtest.capacity.scaling import rule
from loadtest.capacity.simulation import QUERY_CORES

LOADS = (10, 100, 1_000, 10_000)
"""ECGs/s."""
CASES = (100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
STAT_SHARE = 0.1
"""Share of the ECGs that are bedside ECGs: assumed."""
EVENTS = 3
"""Events of a job: it waits, it runs, it ends. One event tells them of all jobs of a step."""
BUSY = 0.6
"""How busy a thread or core may be on average."""
QUANTISED = 4
"""Bytes of a float over those of a component of IVF_SQ8."""
VECTOR_KB = 1.024
"""256 components of four bytes."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Milvus query node: assumed.

    Attributes:
        cores: it has.
        gb: memory for its part of the index, seven tenths of what it has.
    """

    cores: int = 16
    gb: float = 0.7 * 64.0


NODE = Node()


def limits(costs: Costs, stat_share: float = STAT_SHARE) -> dict[str, float]:
    """Return the ECGs/s at which each kind is `BUSY` with as many as the manifests allow.

    That is one state store, one Milvus query node, and the most pods that KEDA starts.
    """
    routine_share = 1.0 - stat_share
    each = BATCH

    def mean(cost: str) -> float:
        return mixed(getattr(costs, cost), stat_share)

    worker = costs.prepare, costs.write
    stat_s = stat_share * sum(cost.of(1) for cost in worker)
    routine_s = routine_share * sum(cost.of(each) for cost in worker) / each
    events = EVENTS * (stat_share + routine_share / each)
    most = {
        name: rule(name).most for name in ("gateway", "worker-stat", "worker-routine", "triton")
    }
    found = {
        "gateway": most["gateway"] / mean("gateway"),
        "state store": 1.0 / mean("state"),
        "STAT workers": most["worker-stat"] / stat_s,
        "routine workers": most["worker-routine"] / routine_s,
        "Triton, CPU": most["triton"] * pod("triton").most / mean("encoder"),
        "events of each gateway": 1.0 / (EVENT_S * events),
    }
    if costs.search.item:
        found["Milvus"] = QUERY_CORES / mean("search")
    return {name: BUSY * rate for name, rate in found.items()}


def mixed(cost: Cost, stat_share: float = STAT_SHARE) -> float:
    """Return the core-seconds of an ECG: a bedside ECG alone, or one of a full batch."""
    return stat_share * cost.of(1) + (1.0 - stat_share) * cost.of(BATCH) / BATCH


def growth(costs: Costs, aim: Aim, gpu: Gpu | None = None, *, seed: int = 1) -> dict[str, float]:
    """Return the figures of the table: limits, replicas by load, memory and nodes by size."""
    searching = costs.with_search(CASES[1], 0)
    figures = {f"limit: {name}, ECG/s": rate for name, rate in limits(searching).items()}
    for load in LOADS:
        figures |= replicas(load, searching, aim, None, seed)
    if gpu is not None:
        for load in LOADS:
            figures |= replicas(load, searching, aim, gpu, seed)
    for cases in CASES:
        figures |= index_of(cases)
    return figures


def replicas(per_s: int, costs: Costs, aim: Aim, gpu: Gpu | None, seed: int) -> dict[str, float]:
    """Return how many of each kind hold a load, as simulated, and the p99 of bedside ECGs."""
    load = Load(STAT_SHARE * per_s, (1.0 - STAT_SHARE) * per_s)
    plan = Planner(costs, aim, gpu, seed=seed).smallest({"all": load})
    name = f"{per_s} ECG/s" + (", GPU" if gpu else "")
    outcome = plan.outcomes["all"]
    return {
        f"{name}: state stores": plan.cells,
        **{f"{name}: {kind}": plan.count(kind) for kind in KINDS},
        f"{name}: p99 ms": outcome.stat_ms(99),
    }


def index_of(cases: int) -> dict[str, float]:
    """Return memory and work of an index of so many reports, and query nodes by load."""
    own, few = search_cost(cases), search_in_cells(cases)
    flat, small = index_gb(cases), quantised_gb(cases)
    name = f"{cases:.0e} cases".replace("e+0", "e")
    return {
        f"{name}: one query node, ECG/s": BUSY * QUERY_CORES / mixed(own),
        f"{name}: memory of IVF_FLAT, GB": flat,
        f"{name}: memory of IVF_SQ8, GB": small,
        f"{name}: a sixteenth of the cells, core-ms a question": own.item * 1e3,
        f"{name}: {ENOUGH_CELLS} cells, core-ms a question": few.item * 1e3,
        **{f"{name}, {per_s} ECG/s: query nodes": nodes(per_s, few.item, flat) for per_s in LOADS},
        **{
            f"{name}, {per_s} ECG/s: query nodes, IVF_SQ8": nodes(
                per_s, few.item / QUANTISED, small
            )
            for per_s in LOADS
        },
    }


def quantised_gb(cases: int) -> float:
    """Return the memory with a byte for each component; what else Milvus holds stays."""
    return index_gb(cases) - cases * VECTOR_KB * 1e3 / 1e9 * (1.0 - 1.0 / QUANTISED)


def nodes(per_s: float, core_s: float, gb: float, node: Node = NODE) -> int:
    """Return the query nodes that hold an index, and have the cores for so many questions/s.

    Scanning is bound by memory, so a byte for each component is taken to cost a quarter of four.
    """
    return max(math.ceil(gb / node.gb), math.ceil(per_s * core_s / (BUSY * node.cores)), 1)


def first(figures: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the kinds in the order in which they become short, with the ECGs/s at which."""
    prefix, suffix = "limit: ", ", ECG/s"
    found = [
        (name.removeprefix(prefix).removesuffix(suffix), rate)
        for name, rate in figures.items()
        if name.startswith(prefix)
    ]
    return sorted(found, key=lambda each: each[1])


WAYS_ON: Mapping[str, str] = {
    "gateway": "more pods: raise maxReplicaCount; the headless service shares calls among them",
    "state store": "several, each with a queue, gateways and workers of its own, and API keys that"
    " belong to one (a Redis Cluster would need all keys of one script in one slot: the owner as"
    " hash tag)",
    "STAT workers": "more pods: raise maxReplicaCount",
    "routine workers": "more pods: raise maxReplicaCount",
    "Triton, CPU": "GPUs (components/gpu), or more pods: raise maxReplicaCount",
    "events of each gateway": "a stream for each state store, read by its own gateways alone",
    "Milvus": "more query nodes with replicas of the index; fewer cells a search; IVF_SQ8 and"
    " partitions where the memory is short",
}
"""What is done where a kind is short."""
