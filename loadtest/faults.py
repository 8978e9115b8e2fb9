"""What each alert is for, done to a running stack: parts are stopped, killed, filled, flooded."""

import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

import grpc
import numpy as np
import redis

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_pb2, ecg_retrieval_pb2_grpc, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import CardexError
from cardex.domain.jobs import Priority
from cardex.domain.settings import Settings
from cardex.inference.triton_encoder import TritonEncoder
from cardex.local_stack.stack import Stack
from cardex.retrieval.dependencies import assemble
from loadtest.ecgs import Ecgs

CALLERS = 4
PAUSE_S = 0.4
SLOW_S, BETWEEN_S = 1.6, 0.3
HELD_S = 60.0
GIVEN_UP = r'^cardex_swept_jobs_total{outcome="failed",queue="routine"} (\S+)$'
OFTEN = 8
ARCHIVE = 400
MANY = 16
"""Jobs in the hands of workers that die: more than the alert allows in a quarter of an hour."""
FLOOD = 240
"""Requests at a time, of which three instances compute 48; the queue takes 256."""


class Patient:
    """A stack that can be harmed.

    Attributes:
        stack: its processes.
        settings: those that reach it.
    """

    def __init__(self, stack: Stack, settings: Settings, ecgs: Ecgs) -> None:
        """Take a stack that runs, and ECGs to send."""
        self.stack, self.settings = stack, settings
        self._ecgs, self._lock = ecgs, threading.Lock()

    def ecg(self) -> ecg_pb2.Ecg:
        """Return an ECG that was never sent; threads may share it."""
        with self._lock:
            return self._ecgs.take(1)[0]

    def submit(self, count: int) -> None:
        """Submit an archive, without waiting for it."""
        with Client.from_settings(self.settings) as client:
            _submit(client, [self.ecg() for _ in range(count)])

    @contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """Stop processes (SIGSTOP) while a block runs."""
        with ExitStack() as going_on:
            for name in names:
                os.kill(self.stack.pids[name], signal.SIGSTOP)
                going_on.callback(os.kill, self.stack.pids[name], signal.SIGCONT)
            yield

    def kill(self, *names: str) -> None:
        """Kill processes (SIGKILL); those that were stopped too."""
        for name in names:
            os.killpg(self.stack.pids[name], signal.SIGKILL)

    def given_up(self) -> float:
        """Return how many routine jobs were given up so far, as the gateway counts."""
        assert self.stack.endpoints is not None
        with urllib.request.urlopen(f"{self.stack.endpoints.web}/metrics", timeout=30) as response:
            text = response.read().decode()
        (value,) = re.findall(GIVEN_UP, text, re.MULTILINE)
        return float(value)

    def wait_ready(self) -> None:
        """Wait until the workers of archives are ready."""
        for name in self.routine_workers:
            self.stack.processes[name].wait_ready()

    @property
    def routine_workers(self) -> list[str]:
        """Names of the workers of archives."""
        return [name for name in self.stack.processes if name.startswith("worker-routine")]

    def running(self) -> int:
        """Return how many routine jobs are in workers' hands."""
        with Client.from_settings(self.settings) as client:
            queues = client.info().queues
        return sum(q.running for q in queues if q.priority == job_pb2.PRIORITY_ROUTINE)


def _submit(client: Client, ecgs: Sequence[ecg_pb2.Ecg]) -> None:
    list(client.submit(pb.SubmitBatchRequest(item_id=str(n), ecg=e) for n, e in enumerate(ecgs)))


@contextmanager
def meanwhile(act: Callable[[threading.Event], None], threads: int = 1) -> Iterator[None]:
    """Have threads act while a block runs, until the event that they are given."""
    ended = threading.Event()
    acting = [threading.Thread(target=act, args=[ended]) for _ in range(threads)]
    for thread in acting:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in acting:
            thread.join()


def traffic(patient: Patient) -> AbstractContextManager[None]:
    """Have callers ask for one ECG after the other while a block runs, whatever the answers are."""

    def ask(ended: threading.Event) -> None:
        with Client.from_settings(patient.settings) as client:
            while not ended.wait(PAUSE_S):
                with suppress(CardexError, grpc.RpcError):
                    client.retrieve(patient.ecg(), timeout_s=4.0)
                    _submit(client, [patient.ecg()])

    return meanwhile(ask, CALLERS)


@contextmanager
def _bedside_waits(patient: Patient) -> Iterator[None]:
    with patient.stopped("worker-stat"):
        yield


@contextmanager
def _slow(patient: Patient) -> Iterator[None]:
    """Let the worker go on for a moment now and then, so that answers come late."""

    def pulses(ended: threading.Event) -> None:
        while not ended.wait(BETWEEN_S):
            with patient.stopped("worker-stat"):
                time.sleep(SLOW_S)

    with meanwhile(pulses):
        yield


@contextmanager
def _silent(patient: Patient) -> Iterator[None]:
    with patient.stopped("web"):
        yield


@contextmanager
def _unavailable(patient: Patient) -> Iterator[None]:
    with patient.stopped("triton"):
        yield


@contextmanager
def _stands_still(patient: Patient) -> Iterator[None]:
    with patient.stopped(*patient.routine_workers):
        patient.submit(20)
        yield


@contextmanager
def _full(patient: Patient) -> Iterator[None]:
    store = redis.Redis.from_url(patient.settings.state_url)
    before = str(store.config_get("maxmemory")["maxmemory"])
    used = store.info("memory")["used_memory"]
    store.config_set("maxmemory", int(used * 1.1))  # over the watermark, and room for STAT

    def ask(ended: threading.Event) -> None:
        with grpc.insecure_channel(patient.settings.gateway_target) as channel:
            gateway = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(channel)
            while not ended.wait(PAUSE_S):
                with suppress(grpc.RpcError):
                    gateway.SubmitEcg(pb.SubmitEcgRequest(ecg=patient.ecg()), timeout=4.0)

    try:
        with meanwhile(ask):
            yield
    finally:
        store.config_set("maxmemory", before)
        store.close()


@contextmanager
def _workers_die(patient: Patient) -> Iterator[None]:
    """Kill the workers of archives with many jobs in their hands."""
    patient.submit(ARCHIVE)
    _lose_workers(patient, MANY)
    patient.wait_ready()
    yield


@contextmanager
def _given_up(patient: Patient) -> Iterator[None]:
    """Kill them as soon as they hold anything, until a job was begun too often."""
    patient.submit(ARCHIVE)
    before = patient.given_up()
    for _ in range(OFTEN):
        _lose_workers(patient, 1)
        if patient.given_up() > before:
            break
    patient.wait_ready()
    yield


def _lose_workers(patient: Patient, held: int) -> None:
    """Kill the workers of archives; others start when the jobs wait again."""
    _until(lambda: patient.running() >= held)
    patient.kill(*patient.routine_workers)
    _until(lambda: patient.running() == 0)
    for name in patient.routine_workers:
        part = patient.stack.processes[name]
        part.stop()
        part.start()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HELD_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


@contextmanager
def _triton_full(patient: Patient) -> Iterator[None]:
    """Ask Triton for far more than it computes, past the house."""
    own = patient.settings.model_copy(update={"triton_in_flight": FLOOD, "triton_timeout_s": 60.0})
    encoder = assemble(own).encoder
    assert isinstance(encoder, TritonEncoder)
    (model, *_) = encoder.models()
    images = np.zeros((1, *model.image_spec.shape), np.uint8)

    def ask(ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                encoder.embed_images(model, images, Priority.ROUTINE)
            except CardexError:
                ended.wait(PAUSE_S)

    with meanwhile(ask, FLOOD):
        yield


PROVOKED: dict[str, Callable[[Patient], AbstractContextManager[None]]] = {
    "CardexBedsideEcgWaits": _bedside_waits,
    "CardexRetrieveSlow": _slow,
    "CardexSilent": _silent,
    "CardexUnavailable": _unavailable,
    "CardexArchiveStandsStill": _stands_still,
    "CardexStoreFull": _full,
    "CardexWorkersDie": _workers_die,
    "CardexJobsGivenUp": _given_up,
    "CardexTritonFull": _triton_full,
}
"""By alert: what makes it fire."""
