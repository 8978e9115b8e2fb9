"""`make bench`: compares the whole stack with the image encoder alone, in one run.

Throughputs are measured in rounds that alternate between the two, so that changes of the machine's
speed affect both; the ratio is the median of the rounds' ratios.
"""

import statistics
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.recordings import load, recordings
from cardex.domain.ecg import LEADS
from cardex.domain.settings import Settings, load_settings
from cardex.inference.repository import IMAGE_ENCODER, STAT_INSTANCE, newest
from cardex.local_stack.dataset import DemoData, fetch
from cardex.local_stack.stack import Stack
from cardex.reports.ptbxl import distinct_reports
from cardex.signals.readers import read
from loadtest.bare import BareEncoder
from loadtest.report import publish

ROUNDS = 5
RECORDS = 640
SINGLES = 200
CLIENTS = 32
STAGES_OF_THE_ECG = ("read", "clean", "encode", "inference")


class Ecgs:
    """Different real ECGs without end: windows of the CPSC-2018 records, as typed samples."""

    def __init__(self, data: DemoData) -> None:
        """Read the records."""
        self._signals = [read(load(files)) for files in recordings(data.cpsc)]
        self._next = 0

    def take(self, count: int) -> list[ecg_pb2.Ecg]:
        """Return `count` ECGs of 5 s at 500 Hz that were never taken before."""
        return [self._one() for _ in range(count)]

    def _one(self) -> ecg_pb2.Ecg:
        index, self._next = self._next, self._next + 1
        waveform = self._signals[index % len(self._signals)]
        width = int(5 * waveform.rate)
        start = (index * 7) % (waveform.signal.shape[1] - width)
        window = waveform.signal[:, start : start + width]
        # One microvolt more per lap keeps every payload different.
        shift = np.float32(0.001 * (index // len(self._signals)))
        leads = [
            ecg_pb2.Lead(name=name, values=row + shift)
            for name, row in zip(LEADS, window, strict=True)
        ]
        samples = ecg_pb2.Samples(leads=leads, rate_hz=waveform.rate, unit="VOLTAGE_UNIT_MILLIVOLT")
        return ecg_pb2.Ecg(samples=samples)


def records_per_s(client: Client, ecgs: list[ecg_pb2.Ecg]) -> float:
    """Submit a batch and return records/s until the last answer."""

    def requests() -> Iterator[pb.SubmitBatchRequest]:
        for number, ecg in enumerate(ecgs):
            yield pb.SubmitBatchRequest(item_id=str(number), ecg=ecg)

    start = time.perf_counter()
    ids = [response.job.job_id for response in client.submit(requests())]
    answered = sum(job.HasField("answer") for job in client.finished(ids, 300))
    seconds = time.perf_counter() - start
    if answered != len(ecgs):
        raise SystemExit(f"only {answered} of {len(ecgs)} ECGs were answered")
    return answered / seconds


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


def measure(settings: Settings) -> dict[str, float]:
    """Run everything once; returns the figures by name."""
    data = fetch(settings.data_dir / "data", print)
    ecgs = Ecgs(data)
    release = newest(settings.model_repository)
    bare = BareEncoder(release.graph(IMAGE_ENCODER), release.spec())
    figures: dict[str, float] = {}
    with TemporaryDirectory(prefix="cardex-bench-") as folder:
        local = settings.model_copy(update={"data_dir": Path(folder)})
        with Stack(local) as stack:
            assert stack.endpoints is not None
            target = local.model_copy(update={"gateway_target": stack.endpoints.gateway})
            with Client.from_settings(target) as client:
                list(client.upsert(distinct_reports(data.ptbxl), rebuild=True))
                records_per_s(client, ecgs.take(64))  # warm
                rounds = []
                for _ in range(ROUNDS):
                    images = bare.images_per_s()
                    records = records_per_s(client, ecgs.take(RECORDS))
                    rounds.append((images, records, records / images))
                images, records, ratio = map(statistics.median, zip(*rounds, strict=True))
                figures |= {"bare images/s": images, "records/s": records, "ratio": ratio}
                total, overhead = idle_latency(client, ecgs.take(SINGLES))
                repeated = ecgs.take(1) * (SINGLES + 1)
                cached, _ = idle_latency(client, repeated)
                figures |= {
                    **_percentiles("Retrieve idle", total),
                    **_percentiles("Retrieve overhead", overhead),
                    **_percentiles("Retrieve cached", cached[1:]),
                }
                figures["Triton mean batch, 32 clients"] = mean_batch(
                    client, ecgs.take(SINGLES), stack.endpoints.triton_metrics
                )
    return figures


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {f"{name} p50 ms": float(p50), f"{name} p99 ms": float(p99)}


TARGETS = {
    "ratio": "at least 0.7",
    "Retrieve overhead p50 ms": "at most 25",
    "Retrieve cached p50 ms": "at most 5",
    "Triton mean batch, 32 clients": "above 4",
}


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    publish("bench", measure(load_settings()), TARGETS)


if __name__ == "__main__":
    main()
