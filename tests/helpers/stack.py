"""What stack and fault tests share: a running stack, and calls of the gateway."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_status import rpc_status

from cardex.api.client import Client, ecg_of_files
from cardex.api.pb.v1 import ecg_pb2
from cardex.api.recordings import recordings
from cardex.domain.ecg import LEADS
from cardex.domain.reports import Report
from cardex.domain.settings import Settings
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST, free_ports
from cardex.local_stack.stack import Stack
from cardex.local_stack.triton import inspect_runtime, triton_process
from tests.helpers.real import demo_data, dicom, real_signal


def dicom_ecg() -> ecg_pb2.Ecg:
    return ecg_of_files([dicom()])


def typed_ecg(
    signal: np.ndarray,
    rate: float = 1000.0,
    unit: ecg_pb2.VoltageUnit = ecg_pb2.VOLTAGE_UNIT_MILLIVOLT,
) -> ecg_pb2.Ecg:
    leads = [ecg_pb2.Lead(name=name, values=row) for name, row in zip(LEADS, signal, strict=False)]
    return ecg_pb2.Ecg(samples=ecg_pb2.Samples(leads=leads, rate_hz=rate, unit=unit))


def variant(number: int) -> ecg_pb2.Ecg:
    """Return the real ECG cut at another place, so that no cache knows it."""
    return typed_ecg(real_signal()[:, 100 + number : 9100 + number])


def cpsc_ecgs() -> list[ecg_pb2.Ecg]:
    return [ecg_of_files(files) for files in recordings(demo_data().cpsc)]


@contextmanager
def running_stack(folder: Path, **settings: Any) -> Iterator[tuple[Stack, Settings]]:
    """Run a stack on a folder of its own; yields it with the settings that reach it."""
    base = Settings(data_dir=folder, **settings)
    with Stack(base) as stack:
        endpoints = stack.endpoints
        assert endpoints is not None
        yield (
            stack,
            base.model_copy(
                update={
                    "gateway_target": endpoints.gateway,
                    "state_url": endpoints.state,
                    "cache_url": endpoints.cache,
                    "milvus_uri": endpoints.milvus,
                    "triton_url": endpoints.triton,
                }
            ),
        )


@contextmanager
def running_triton(folder: Path, repository: Path) -> Iterator[tuple[ManagedProcess, str]]:
    """Run Triton alone on a folder of its own; yields it and its gRPC address."""
    folder.mkdir(parents=True, exist_ok=True)
    runtime = inspect_runtime(Settings().triton_python)
    http, port, metrics = free_ports(3)
    part = triton_process(runtime, repository, folder, (http, port, metrics), folder / "log")
    part.start()
    try:
        part.wait_ready()
        yield part, f"{HOST}:{port}"
    finally:
        part.stop()


def build_index(settings: Settings, some: list[Report]) -> None:
    with Client.from_settings(settings) as client:
        list(client.upsert(some, rebuild=True))


class Refusal:
    """A gRPC error, unpacked."""

    def __init__(self, error: grpc.Call) -> None:
        self.code = error.code()
        self.message = error.details()
        self.reason = ""
        self.field = ""
        self.retry_s: float | None = None
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
            if detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(bad):
                self.field = bad.field_violations[0].field
            elif detail.Unpack(retry):
                self.retry_s = retry.retry_delay.ToTimedelta().total_seconds()


def refusal(call, *args, **kwargs) -> Refusal:
    """Return how a call is refused; fails where it is not."""
    try:
        result = call(*args, **kwargs)
        if hasattr(result, "__iter__"):
            result = list(result)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return Refusal(error)
    raise AssertionError(f"not refused: {result}")


def said(process: subprocess.Popen[str]) -> str:
    """Return what a process that has ended wrote to its standard error."""
    _, words = process.communicate(timeout=10)
    return words


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def health(channel: grpc.Channel, service: str = "") -> str:
    """Return what the health service tells of a service, such as "SERVING"."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    response = check(HealthCheckRequest(service=service), timeout=5)
    return HealthCheckResponse.ServingStatus.Name(response.status)
