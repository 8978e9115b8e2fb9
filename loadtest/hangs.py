"""`make bench-hangs`: how fast known answers come while Milvus or Triton hangs."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_pb2
from cardex.local_stack.stack import Stack
from loadtest.ecgs import Ecgs
from loadtest.house import house
from loadtest.report import publish

SECONDS = 15.0
REPORTS = 2_000
SERVICE = "cardex.v1.EcgRetrievalService"


def latencies(client: Client, ecg: ecg_pb2.Ecg, seconds: float) -> list[float]:
    """Ask one known ECG again and again; returns milliseconds of each answer."""
    found = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        if not client.retrieve(ecg).answer.from_cache:
            raise SystemExit("the answer was not known")
        found.append((time.perf_counter() - start) * 1000)
    return found


@contextmanager
def stopped(stack: Stack, name: str) -> Iterator[None]:
    """Stop the processes of a part, and let them go on after the block."""
    process = stack.processes[name].process
    assert process is not None
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def seconds_until(target: str, status: int, limit_s: float = 60.0) -> float:
    """Return after how many seconds the health service says `status`."""
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    start = time.perf_counter()
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while stub.Check(request, timeout=5.0).status != status:
            if time.perf_counter() - start > limit_s:
                raise SystemExit(f"health does not say {status} within {limit_s:g} s")
            time.sleep(0.05)
    return time.perf_counter() - start


def measure() -> dict[str, float]:
    """Measure known answers while all is well, then while each part hangs."""
    figures: dict[str, float] = {}
    with house(REPORTS) as own:
        client, stack, target = own.client, own.stack, own.endpoints.gateway
        (ecg,) = Ecgs(own.data).take(1)
        client.retrieve(ecg)
        latencies(client, ecg, 2.0)  # warm
        figures |= _quantiles("all is well", latencies(client, ecg, SECONDS))
        for name in ("milvus", "triton"):
            with stopped(stack, name):
                figures |= _quantiles(f"{name} stopped", latencies(client, ecg, SECONDS))
                seconds_until(target, health_pb2.HealthCheckResponse.NOT_SERVING)
            figures[f"{name} again: seconds until SERVING"] = seconds_until(
                target, health_pb2.HealthCheckResponse.SERVING
            )
            with stopped(stack, name):
                figures[f"{name} stopped: seconds until NOT_SERVING"] = seconds_until(
                    target, health_pb2.HealthCheckResponse.NOT_SERVING
                )
            seconds_until(target, health_pb2.HealthCheckResponse.SERVING)
    return figures


def _quantiles(name: str, milliseconds: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return {
        f"{name}: p50 ms": float(p50),
        f"{name}: p99 ms": float(p99),
        f"{name}: max ms": max(milliseconds),
    }


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    publish("bench-hangs", measure(), {})


if __name__ == "__main__":
    main()
