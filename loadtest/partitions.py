"""`make bench-partitions`: an archive and bedside ECGs on seven hosts, whose network is harmed.

A worker is cut off, the state store is partitioned, Milvus is slow, frames are lost, the primary is
killed and its replica promoted, in an order and at moments by a seed. What is counted are
acknowledged jobs that did not end or ended twice, and states of health that were not true.
"""

import argparse
import itertools
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import numpy as np
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import CardexError, ConfigurationError
from cardex.domain.settings import load_settings
from cardex.local_stack.dataset import DemoData, fetch
from cardex.reports.ptbxl import distinct_reports
from cardex.stores.job_queue import PREFIX
from loadtest.ecgs import Ecgs
from loadtest.hosts import NAMES, Hosts, until
from loadtest.network import OUTSIDE, Network, missing
from loadtest.report import publish

RUNS = 20
JOBS = 300
CHUNK = 20
REPORTS = 500
CALLERS = 2
PATIENCE_S = 180.0
AIMS = {"lost": "0", "ended twice": "0", "health was wrong": "0"}
RETRIEVAL = "cardex.v1.EcgRetrievalService"
FINAL = (b"SUCCEEDED", b"FAILED", b"CANCELLED")


class Submitted:
    """Jobs that the gateway acknowledged; threads may share it.

    Attributes:
        ids: of archives and of bedside ECGs.
        answers: bedside ECGs that were answered.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.ids: set[str] = set()
        self.answers = 0
        self._lock = threading.Lock()

    def add(self, job_ids: set[str], answers: int = 0) -> None:
        """Count what was acknowledged."""
        with self._lock:
            self.ids |= job_ids
            self.answers += answers


class Hospital:
    """Sends an archive and bedside ECGs, again where the gateway did not acknowledge them."""

    def __init__(self, hosts: Hosts, data: DemoData, seed: int) -> None:
        """Send ECGs by the seed to the gateway of `hosts`."""
        self._hosts, self._ecgs, self._seed = hosts, Ecgs(data, seed=seed), seed
        self._lock = threading.Lock()
        self.submitted = Submitted()
        self._stopping = threading.Event()
        archive = threading.Thread(target=self._archive, daemon=True)
        bedside = [threading.Thread(target=self._bedside, daemon=True) for _ in range(CALLERS)]
        self.archive, self._threads = archive, [archive, *bedside]

    def begin(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End bedside ECGs, and wait until the archive is acknowledged."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _ecg(self) -> ecg_pb2.Ecg:
        with self._lock:
            return self._ecgs.take(1)[0]

    def _archive(self) -> None:
        for first in range(0, JOBS, CHUNK):
            chunk = [
                pb.SubmitBatchRequest(
                    item_id=str(n), request_id=f"archive-{self._seed}-{n}", ecg=self._ecg()
                )
                for n in range(first, first + CHUNK)
            ]
            while len(known := self._acknowledged(chunk)) < CHUNK:
                time.sleep(0.2)
            self.submitted.add(known)

    def _acknowledged(self, chunk: list[pb.SubmitBatchRequest]) -> set[str]:
        try:
            with Client.from_settings(self._hosts.settings) as client:
                responses = list(client.submit(iter(chunk), timeout_s=10.0))
        except CardexError:
            return set()
        return {each.job.job_id for each in responses if each.job.job_id}

    def _bedside(self) -> None:
        for number in itertools.count():
            if self._stopping.wait(0.2):
                return
            request_id = f"bedside-{self._seed}-{threading.get_ident()}-{number}"
            try:
                with Client.from_settings(self._hosts.settings) as client:
                    answer = client.retrieve(self._ecg(), request_id=request_id, timeout_s=5.0)
            except CardexError:
                continue
            self.submitted.add({answer.job_id} - {""}, 1)


class Harm:
    """What can befall the hosts; each leaves them whole."""

    def __init__(self, hosts: Hosts, random_: random.Random) -> None:
        """Harm `hosts`, for times by `random_`."""
        self._hosts, self._random = hosts, random_
        self.wrong: list[str] = []
        """States of health that were not true."""

    @property
    def kinds(self) -> dict[str, Callable[[], None]]:
        """What can be done, by name."""
        return {
            "a worker is cut off": self._worker_cut_off,
            "the state store is partitioned": self._state_partitioned,
            "Milvus is slow": self._milvus_slow,
            "frames are lost": self._frames_lost,
            "the primary is killed": self._primary_killed,
        }

    def _worker_cut_off(self) -> None:
        """Longer than its leases last, so that the other one takes its jobs."""
        worker = self._random.choice(("worker-1", "worker-2"))
        with self._hosts.network.harmed(worker, cut=True):
            time.sleep(self._random.uniform(6.0, 8.0))
            self._health_is(serving=True)

    def _state_partitioned(self) -> None:
        """The primary alone on its side: the sentinels promote the other."""
        before = self._hosts.primary()
        with self._hosts.network.harmed(before, cut=True):
            until(lambda: self._hosts.primary() != before)
        until(self._hosts.replicated)
        self._health_is(serving=True)

    def _milvus_slow(self) -> None:
        with self._hosts.network.harmed("milvus", delay_s=0.2):
            time.sleep(self._random.uniform(3.0, 5.0))
            self._health_is(serving=True)
        with self._hosts.network.harmed("milvus", cut=True):
            self._health_is(serving=False)
        self._health_is(serving=True)

    def _frames_lost(self) -> None:
        everyone = [name for name in self._hosts.network.hosts if name != OUTSIDE]
        with self._hosts.network.harmed(*everyone, loss=0.025):  # on two cables: 5 per cent
            time.sleep(self._random.uniform(4.0, 6.0))
        self._health_is(serving=True)

    def _primary_killed(self) -> None:
        killed = self._hosts.kill_primary()
        until(lambda: self._hosts.primary() != killed)
        self._hosts.start_again(killed)
        until(self._hosts.replicated)
        self._health_is(serving=True)

    def _health_is(self, *, serving: bool) -> None:
        """Note it if the gateway does not come to tell the truth about itself."""
        try:
            until(lambda: self._serving() is serving)
        except ConfigurationError:
            self.wrong.append(f"told not that serving is {serving}")

    def _serving(self) -> bool:
        with grpc.insecure_channel(self._hosts.settings.gateway_target) as channel:
            request = health_pb2.HealthCheckRequest(service=RETRIEVAL)
            try:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                found = stub.Check(request, timeout=5.0)
            except grpc.RpcError as error:
                raise OSError("the gateway does not answer") from error
        return bool(found.status == health_pb2.HealthCheckResponse.SERVING)


@contextmanager
def hosts(seed: int, data: DemoData) -> Iterator[Hosts]:
    """Run Cardex on seven hosts, with some reports."""
    with (
        TemporaryDirectory(prefix="cardex-hosts-") as folder,
        Network(NAMES, seed) as network,
        Hosts(network, Path(folder)) as own,
    ):
        with Client.from_settings(own.settings) as client:
            list(client.upsert(distinct_reports(data.ptbxl)[:REPORTS], rebuild=True))
        yield own


def run(own: Hosts, data: DemoData, seed: int) -> dict[str, float]:
    """Do every harm once in an order by the seed; returns what was counted."""
    random_ = random.Random(seed)
    hospital = Hospital(own, data, seed)
    harm = Harm(own, random_)
    until(own.replicated)
    hospital.begin()
    for name in random_.sample(sorted(harm.kinds), len(harm.kinds)):
        time.sleep(random_.uniform(0.5, 2.0))
        harm.kinds[name]()
        print(f"seed {seed}: {name}; {len(hospital.submitted.ids)} jobs so far", flush=True)
    hospital.end()
    ids = sorted(hospital.submitted.ids)
    ended = _ended(own, ids)
    return {
        "jobs": len(ids),
        "bedside ECGs answered meanwhile": hospital.submitted.answers,
        "lost": sum(state != job_pb2.JOB_STATE_SUCCEEDED for state in ended.values())
        + len(ids) - len(ended),
        "ended twice": _ended_twice(own, ids),
        "health was wrong": len(harm.wrong),
    }  # fmt: skip


def _ended(own: Hosts, ids: list[str]) -> dict[str, int]:
    """Return the final state of each job, as far as they come to one."""
    found: dict[str, int] = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < len(ids) and time.monotonic() < deadline:
        try:
            with Client.from_settings(own.settings) as client:
                left = [job_id for job_id in ids if job_id not in found]
                found |= {job.job_id: job.state for job in client.finished(left, 20.0)}
        except CardexError:
            time.sleep(0.5)
    return found


def _ended_twice(own: Hosts, ids: list[str]) -> int:
    """Return how many jobs have more than one end in the events that the store tells."""
    store: redis.Redis = own.store(own.primary())
    events: Any = store.xrange(f"{PREFIX}events")
    ends = Counter(
        job.decode()
        for _, event in events
        if event[b"state"] in FINAL
        for job in event[b"jobs"].split()
    )
    return sum(ends[job_id] > 1 for job_id in ids)


def main() -> None:
    """Run by several seeds; print what was counted, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    options = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # hosts have to be removed
    data = fetch(load_settings().data_dir / "data", print)
    found = []
    with hosts(options.seed, data) as own:
        for seed in range(options.seed, options.seed + options.runs):
            found.append(run(own, data, seed))
            _keep(found)


def _keep(found: Sequence[Mapping[str, float]]) -> None:
    """Keep the sums of the runs so far."""
    figures = {name: float(np.sum([each[name] for each in found])) for name in found[0]}
    publish("bench-partitions", {"runs": float(len(found))} | figures, AIMS)


if __name__ == "__main__":
    main()
