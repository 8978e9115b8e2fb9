"""`make bench`: the whole stack, the ideal monolith and the bare image encoder, in one run.

Throughputs are measured in rounds that alternate between the three, so that changes of the
machine's speed affect all; ratios are medians of the rounds' ratios. Where the time goes is told by
the CPU time of each process of the stack, and of each step of the monolith.
"""

import argparse
import os
import statistics
import time
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_pb2
from cardex.domain.settings import Settings, load_settings
from cardex.inference.repository import IMAGE_ENCODER, STAT_INSTANCE, newest
from loadtest.bare import BareEncoder
from loadtest.ecgs import Ecgs
from loadtest.house import House, house
from loadtest.monolith import Monolith
from loadtest.processes import CpuMeter
from loadtest.report import publish
from loadtest.traffic import imported

ROUNDS = 5
RECORDS = 1000
SINGLES = 200
CLIENTS = 32
KNOWN_LAPS = 20
STAGES_OF_THE_ECG = ("read", "clean", "encode", "inference")


def idle_latency(client: Client, ecgs: list[ecg_pb2.Ecg]) -> tuple[list[float], list[float]]:
    """Ask one ECG after another; returns seconds of each, and what of it is Cardex's overhead."""
    total, overhead = [], []
    for ecg in ecgs:
        start = time.perf_counter()
        answer = client.retrieve(ecg).answer
        seconds = time.perf_counter() - start
        own = sum(
            stage.duration.ToTimedelta().total_seconds()
            for stage in answer.stages
            if stage.stage in STAGES_OF_THE_ECG
        )
        total.append(seconds)
        overhead.append(seconds - own)
    return total, overhead


def mean_batch(client: Client, ecgs: list[ecg_pb2.Ecg], metrics_url: str) -> float:
    """Ask `CLIENTS` ECGs at a time; returns Triton's mean batch size."""
    before = _triton_counts(metrics_url)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client.retrieve, ecgs))
    after = _triton_counts(metrics_url)
    return (after[0] - before[0]) / max(1.0, after[1] - before[1])


def _triton_counts(url: str) -> tuple[float, float]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    model = f'{{model="{STAT_INSTANCE}",version="1"}} '
    values = {
        name: float(line.removeprefix(name + model))
        for name in ("nv_inference_count", "nv_inference_exec_count")
        for line in lines
        if line.startswith(name + model)
    }
    return values["nv_inference_count"], values["nv_inference_exec_count"]


def measure(settings: Settings, rounds: int, records: int) -> dict[str, float]:
    """Run everything once; returns the figures by name."""
    release = newest(settings.model_repository)
    bare = BareEncoder(release.graph(IMAGE_ENCODER), release.spec())
    monolith = Monolith()
    with house() as own:
        client, ecgs = own.client, Ecgs(own.data)
        imported(client, 256, ecgs.take(256))  # warm
        figures = throughputs(bare, monolith, own, ecgs, rounds, records)
        monolith.close()
        total, overhead = idle_latency(client, ecgs.take(SINGLES))
        repeated = ecgs.take(1) * (SINGLES + 1)
        cached, _ = idle_latency(client, repeated)
        figures |= {
            **_percentiles("Retrieve idle", total),
            **_percentiles("Retrieve overhead", overhead),
            **_percentiles("Retrieve cached", cached[1:]),
            "Retrieve cached, answers/s": known_per_s(client, repeated),
        }
        figures["Triton mean batch, 32 clients"] = mean_batch(
            client, ecgs.take(SINGLES), own.endpoints.triton_metrics
        )
    return figures


def throughputs(
    bare: BareEncoder,
    monolith: Monolith,
    own: House,
    ecgs: Ecgs,
    rounds: int,
    records: int,
) -> dict[str, float]:
    """Measure the three in turn; returns medians over the rounds."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        images = bare.images_per_s()
        alone, steps = monolith.measure(ecgs.take(records))
        ready = ecgs.take(records)
        with CpuMeter(own.stack.pids) as meter:
            whole = imported(own.client, records, ready).per_s
        used = {name: seconds / records * 1000 for name, seconds in meter.seconds.items()}
        outside = sum(used.values()) - used["triton"]
        for name, value in {
            "bare encoder, images/s": images,
            "monolith, records/s": alone,
            "whole way, records/s": whole,
            "whole way over monolith": whole / alone,
            "whole way over bare encoder": whole / images,
            "outside Triton, core-ms a record": outside,
            **{f"core-ms a record: {name}": value for name, value in used.items()},
            "monolith, core-ms a record": sum(steps.values()),
            **{f"monolith, core-ms: {step}": value for step, value in steps.items()},
        }.items():
            found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def known_per_s(client: Client, ecgs: list[ecg_pb2.Ecg]) -> float:
    """Ask a known ECG `CLIENTS` times at once; returns answers/s of one gateway."""
    asked = ecgs * KNOWN_LAPS
    with ThreadPoolExecutor(CLIENTS) as pool:
        start = time.perf_counter()
        list(pool.map(client.retrieve, asked))
        return len(asked) / (time.perf_counter() - start)


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {f"{name} p50 ms": float(p50), f"{name} p99 ms": float(p99)}


TARGETS = {
    "whole way over monolith": "at least 0.75",
    "outside Triton, core-ms a record": "at most 3.5",
    "Retrieve idle p50 ms": "at most 20",
    "Retrieve overhead p50 ms": "at most 10",
    "Retrieve cached p50 ms": "at most 1.5",
    "Retrieve cached, answers/s": "at least 1500",
    "Triton mean batch, 32 clients": "above 4",
}


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--records", type=int, default=RECORDS)
    options = parser.parse_args()
    # What is measured is what a gateway can do, not what it allows.
    os.environ |= {"CARDEX_RATE_PER_S": "1e6", "CARDEX_RATE_TOTAL_PER_S": "1e6"}
    publish("bench", measure(load_settings(), options.rounds, options.records), TARGETS)


if __name__ == "__main__":
    main()
