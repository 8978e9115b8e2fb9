"""`make bench-triton`: compares Triton with ONNX Runtime alone, and sweeps its batching settings.

Figures that are compared come from rounds that alternate between the two sides, so that changes of
the machine's speed affect both; a ratio is the median of the rounds' ratios.
"""

import json
import statistics
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from cardex.domain.settings import Settings, load_settings
from cardex.inference.repository import IMAGE_ENCODER, newest
from loadtest.bare import BareEncoder
from loadtest.report import RESULTS, publish
from loadtest.triton_server import (
    MICRO_BATCH,
    WORKERS,
    Server,
    as_shipped,
    instances,
    no_batching,
    queue_delay,
    serving,
)

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of what draws

ROUNDS = 5
INSTANCES = (1, 2, 3)
DELAYS_US = (0, 1000, 3000)
CLIENTS = (1, 4, 16, 64)
PICTURE = Path("docs") / "batching.png"


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement of the sweep."""

    instances: int
    delay_us: int
    clients: int
    images_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_batch: float


def sweep(settings: Settings) -> list[Point]:
    """Measure single-image clients at every setting."""
    points = []
    for count, delay in product(INSTANCES, DELAYS_US):
        set_count, set_delay = instances(count), queue_delay(delay)
        with serving(settings, lambda text, a=set_count, b=set_delay: a(b(text))) as server:
            for clients in CLIENTS:
                load = server.load(clients, 1, 3.0)
                ranks = (load.percentile(rank) for rank in (50, 95, 99))
                points.append(
                    Point(count, delay, clients, load.images_per_s, *ranks, load.mean_batch)
                )
    return points


def saturation(server: Server, bare: BareEncoder) -> dict[str, float]:
    """Compare micro-batches through Triton with the bare encoder at its best batch."""
    rounds = []
    for _ in range(ROUNDS):
        alone = bare.images_per_s(4.0)
        through = server.load(WORKERS, MICRO_BATCH).images_per_s
        rounds.append((alone, through, through / alone))
    alone, through, ratio = map(statistics.median, zip(*rounds, strict=True))
    return {
        "bare ONNX Runtime, best batch, images/s": alone,
        f"Triton, {WORKERS} x {MICRO_BATCH} images in flight, images/s": through,
        "ratio to bare": ratio,
    }


def batching(on: Server, off: Server) -> dict[str, float]:
    """Compare 64 single-image clients with and without dynamic batching."""
    rounds = []
    for _ in range(ROUNDS):
        with_it, without = on.load(64, 1), off.load(64, 1)
        rounds.append((with_it.images_per_s, without.images_per_s, with_it.mean_batch))
    with_it, without, batch = map(statistics.median, zip(*rounds, strict=True))
    return {
        "64 clients, batching, images/s": with_it,
        "64 clients, no batching, images/s": without,
        "batching on over off": statistics.median(one / other for one, other, _ in rounds),
        "mean batch, 64 clients": batch,
    }


def priority(server: Server) -> dict[str, float]:
    """Compare STAT alone with STAT beside a saturating routine load."""
    rounds = []
    for _ in range(ROUNDS):
        idle, _ = server.stat(0, 0)
        busy, load = server.stat(WORKERS, MICRO_BATCH)
        assert load is not None
        ranks = [np.percentile(calls, rank) * 1000 for calls in (idle, busy) for rank in (50, 99)]
        rounds.append((*ranks, ranks[3] / ranks[1], load.images_per_s))
    p50, p99, busy_p50, busy_p99, ratio, routine = map(statistics.median, zip(*rounds, strict=True))
    return {
        "STAT idle p50 ms": p50,
        "STAT idle p99 ms": p99,
        "STAT beside routine p50 ms": busy_p50,
        "STAT beside routine p99 ms": busy_p99,
        "STAT p99 beside routine over idle": ratio,
        "routine meanwhile, images/s": routine,
    }


def show(points: list[Point]) -> None:
    """Print the sweep."""
    table = Table(title="single-image clients")
    for column in ("instances", "delay ms", "clients", "images/s", "p50", "p95", "p99", "batch"):
        table.add_column(column, justify="right")
    for point in points:
        table.add_row(
            str(point.instances), f"{point.delay_us / 1000:g}", str(point.clients),
            f"{point.images_per_s:.0f}", f"{point.p50_ms:.1f}", f"{point.p95_ms:.1f}",
            f"{point.p99_ms:.1f}", f"{point.mean_batch:.1f}",
        )  # fmt: skip
    Console(width=100).print(table)


def draw(points: list[Point], picture: Path) -> None:
    """Draw throughput over latency, a line for each setting."""
    figure, panels = plt.subplots(1, len(INSTANCES), figsize=(11, 3.8), sharey=True, sharex=True)
    for panel, count in zip(panels, INSTANCES, strict=True):
        for delay in DELAYS_US:
            line = [p for p in points if (p.instances, p.delay_us) == (count, delay)]
            x, y = [p.p95_ms for p in line], [p.images_per_s for p in line]
            panel.plot(x, y, marker="o", label=f"{delay / 1000:g} ms")
        panel.set(
            title=f"{count} instance{'s' if count > 1 else ''}", xlabel="p95, ms", xscale="log"
        )
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("images/s")
    panels[-1].legend(title="queue delay")
    figure.suptitle(f"Single-image clients ({', '.join(map(str, CLIENTS))} at a time)")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)


TARGETS = {
    "ratio to bare": "at least 0.92",
    "batching on over off": "at least 1.25",
    "STAT p99 beside routine over idle": "at most 2.5",
}


def main() -> None:
    """Print sweep and figures, and write them with the picture."""
    settings = load_settings()
    release = newest(settings.model_repository)
    bare = BareEncoder(release.graph(IMAGE_ENCODER), release.spec())
    with ExitStack() as servers:
        shipped = servers.enter_context(serving(settings, as_shipped))
        off = servers.enter_context(serving(settings, no_batching))
        figures = saturation(shipped, bare) | batching(shipped, off) | priority(shipped)
    points = sweep(settings)
    show(points)
    publish("bench-triton", figures, TARGETS)
    rows = [asdict(point) for point in points]
    (RESULTS / "bench-triton-sweep.json").write_text(json.dumps(rows, indent=1) + "\n")
    draw(points, PICTURE)


if __name__ == "__main__":
    main()
