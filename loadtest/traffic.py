"""The traffic of a hospital: bedside ECGs when they come, and archives as fast as they go.

Each source is a process of its own, so that one does not wait for the other's Python.
"""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_pb2, ecg_retrieval_pb2_grpc, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.settings import settings_of
from cardex.local_stack.dataset import fetch
from loadtest.ecgs import Ecgs

DEADLINE_S = 60.0
FINISH_S = 3600.0
WATCHED = 2_000


@dataclass(frozen=True, slots=True)
class Answered:
    """One bedside ECG.

    Attributes:
        at: when it was due, in seconds after the first.
        seconds: from then until its answer: an ECG that waits for its own client has waited.
        error: name of the status where it was refused, else "".
        stages: seconds of each stage, as the answer tells.
    """

    at: float
    seconds: float
    error: str = ""
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """An archive that was answered.

    Attributes:
        records: how many records.
        seconds: from the first submission to the last answer.
        ends: seconds after the first submission at which each answer came.
        refused: how many were not answered.
    """

    records: int
    seconds: float
    ends: list[float]
    refused: int

    @property
    def per_s(self) -> float:
        """Records/s."""
        return self.records / self.seconds


class Source:
    """A process that sends traffic; `begin` returns when it is ready, `result` when it is done."""

    def __init__(self, work: Callable[..., Any], *arguments: Any) -> None:  # noqa: ANN401
        """Start `work(gate, *arguments)` in a process, up to its gate."""
        spawn = multiprocessing.get_context("spawn")
        self._here, there = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(there, work, arguments), daemon=True)
        self._process.start()
        there.close()
        self._here.recv()  # it is ready

    def begin(self) -> None:
        """Open the gate: the traffic begins."""
        self._here.send(True)

    def result(self) -> Any:  # noqa: ANN401
        """Wait for the end, and return what the work returned."""
        found = self._here.recv()
        self._process.join()
        if isinstance(found, Exception):
            raise found
        return found


def _serve(there: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    def gate() -> None:
        there.send(True)
        there.recv()

    try:
        there.send(work(gate, *arguments))
    except Exception as error:  # told to the process that waits for it
        there.send(error)


def bedside(
    gate: Callable[[], None], target: str, data: Path, per_s: float, seconds: float, seed: int
) -> list[Answered]:
    """Send STAT ECGs at random moments (a Poisson process), whatever the answers do."""
    due = due_times(per_s, seconds, seed)
    ecgs = Ecgs(fetch(data, lambda _: None), seed=seed, kinds=max(1, len(due))).take(len(due))
    gate()
    return asyncio.run(_bedside(target, due, ecgs))


def due_times(per_s: float, seconds: float, seed: int) -> list[float]:
    """Return the moments of a Poisson process, in seconds from its beginning."""
    chance = random.Random(seed)
    due, now = [], 0.0
    while (now := now + chance.expovariate(per_s)) < seconds:
        due.append(now)
    return due


async def _bedside(target: str, due: list[float], ecgs: list[ecg_pb2.Ecg]) -> list[Answered]:
    async with grpc.aio.insecure_channel(target) as channel:
        stub = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(channel)
        start = time.perf_counter()

        async def one(at: float, ecg: ecg_pb2.Ecg) -> Answered:
            await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
            error, stages = "", {}
            try:
                answer = (
                    await stub.Retrieve(pb.RetrieveRequest(ecg=ecg), timeout=DEADLINE_S)
                ).answer
                stages = {
                    stage.stage: stage.duration.ToMicroseconds() / 1e6 for stage in answer.stages
                }
            except grpc.aio.AioRpcError as failed:
                error = failed.code().name
            return Answered(at, time.perf_counter() - start - at, error, stages)

        asked = (one(at, ecg) for at, ecg in zip(due, ecgs, strict=True))
        return list(await asyncio.gather(*asked))


def archive(gate: Callable[[], None], target: str, data: Path, records: int, seed: int) -> Imported:
    """Submit records as one routine stream, and wait for all answers."""
    ecgs = Ecgs(fetch(data, lambda _: None), seed=seed, kinds=min(records, 1000))
    ready = ecgs.take(min(records, 5000))  # what is sent first costs nothing while it is measured
    with Client.from_settings(settings_of(gateway_target=target)) as client:
        gate()
        return imported(client, records, ready, ecgs)


def paced(
    gate: Callable[[], None],
    target: str,
    data: Path,
    records: int,
    per_s: float,
    group: int,
    seed: int,
) -> Imported:
    """Submit records as one routine stream, `group` together, and so many a second."""
    ready = Ecgs(fetch(data, lambda _: None), seed=seed, kinds=min(records, 1000)).take(records)
    start = 0.0

    def wait(number: int) -> None:
        nonlocal start
        start = start or time.perf_counter()
        due = start + number // group * group / per_s
        time.sleep(max(0.0, due - time.perf_counter()))

    with Client.from_settings(settings_of(gateway_target=target)) as client:
        gate()
        return imported(client, records, ready, before=wait)


def imported(
    client: Client,
    records: int,
    ready: list[ecg_pb2.Ecg],
    more: Ecgs | None = None,
    before: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Submit `records` ECGs, `ready` first, and wait for their answers some at a time.

    Args:
        client: of the gateway.
        records: how many.
        ready: ECGs that are there.
        more: makes the others.
        before: called with the number of each record before it is sent; may wait.
    """

    def requests() -> Iterator[pb.SubmitBatchRequest]:
        for number in range(records):
            before(number)
            if number < len(ready):
                ecg = ready[number]
            else:
                assert more is not None
                (ecg,) = more.take(1)
            yield pb.SubmitBatchRequest(item_id=str(number), ecg=ecg)

    start, begun = time.perf_counter(), time.time()
    ids: list[str] = []
    ends: list[float] = []
    refused = 0
    for response in client.submit(requests()):
        if response.HasField("job"):
            ids.append(response.job.job_id)
        else:
            refused += 1
    for first in range(0, len(ids), WATCHED):
        for job in client.finished(ids[first : first + WATCHED], FINISH_S):
            ends.append(job.update_time.ToMicroseconds() / 1e6 - begun)
            refused += job.state != job_pb2.JOB_STATE_SUCCEEDED
    return Imported(records, time.perf_counter() - start, ends, refused)
