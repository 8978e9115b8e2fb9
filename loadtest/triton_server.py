"""Starts Triton with changed configurations, and puts it under load."""

import asyncio
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardex.domain.settings import Settings
from cardex.inference.repository import IMAGE_ENCODER, MODELS, STAT_INSTANCE, newest
from cardex.inference.served_model import IMAGE_INPUT, OUTPUT
from cardex.local_stack.ports import HOST, free_ports
from cardex.local_stack.triton import inspect_runtime, triton_process

Edit = Callable[[str], str]
MICRO_BATCH = 16
WORKERS = 8
"""Micro-batches in flight at saturation, as many as a few worker processes have."""
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Load:
    """The result of one load.

    Attributes:
        images_per_s: images answered per second.
        seconds: duration of each call.
        mean_batch: mean number of images in one execution of the model.
    """

    images_per_s: float
    seconds: list[float]
    mean_batch: float

    def percentile(self, rank: float) -> float:
        """Return a percentile of the calls' times, milliseconds."""
        return float(np.percentile(self.seconds, rank)) * 1000


def instances(count: int) -> Edit:
    """Return the edit that sets how many instances there are."""
    return lambda text: re.sub(r"(kind: KIND_CPU count:) \d+", rf"\g<1> {count}", text)


def queue_delay(microseconds: int) -> Edit:
    """Return the edit that sets the queue delay."""
    pattern = r"(max_queue_delay_microseconds:) \d+"
    return lambda text: re.sub(pattern, rf"\g<1> {microseconds}", text)


def no_batching(text: str) -> str:
    """Take dynamic batching out of a configuration."""
    return re.sub(r"^dynamic_batching \{.*?^\}\n", "", text, flags=re.M | re.S)


def as_shipped(text: str) -> str:
    """Change nothing."""
    return text


class Server:
    """A running Triton with the image encoder and its STAT instance."""

    def __init__(self, port: int, metrics: int, shape: tuple[int, int, int]) -> None:
        """Reach it by its gRPC and metrics ports."""
        self.url = f"{HOST}:{port}"
        self._metrics = f"http://{HOST}:{metrics}/metrics"
        self._pixels = np.random.default_rng(0).integers(0, 256, (64, *shape), dtype=np.uint8)

    def request(self, images: int, model: str = IMAGE_ENCODER) -> service_pb2.ModelInferRequest:
        """Return a call with so many random images."""
        tensor = self._pixels[:images]
        made = service_pb2.ModelInferRequest(model_name=model)
        put = made.inputs.add(name=IMAGE_INPUT, datatype="UINT8")
        put.shape.extend(tensor.shape)
        made.raw_input_contents.append(tensor.tobytes())
        made.outputs.add(name=OUTPUT)
        return made

    def load(self, clients: int, images: int, seconds: float = 4.0) -> Load:
        """Keep `clients` calls of `images` in flight for some seconds."""
        return asyncio.run(self._load(clients, images, seconds))

    def stat(self, clients: int, images: int, calls: int = 200) -> tuple[list[float], Load | None]:
        """Ask one STAT image at a time beside a routine load (none for 0 clients).

        Returns:
            Seconds of each STAT call, and the load beside it.
        """
        return asyncio.run(self._stat(clients, images, calls))

    async def _load(self, clients: int, images: int, seconds: float) -> Load:
        request, took = self.request(images), list[float]()
        async with self._stub() as stub:
            await stub.ModelInfer(request)
            before, start = self._counts(), time.perf_counter()
            until = start + seconds
            await asyncio.gather(*(_ask(stub, request, until, took) for _ in range(clients)))
            elapsed = time.perf_counter() - start
        after = self._counts()
        executions = max(1.0, after[1] - before[1])
        return Load(images * len(took) / elapsed, took, (after[0] - before[0]) / executions)

    async def _stat(self, clients: int, images: int, calls: int) -> tuple[list[float], Load | None]:
        one, took = self.request(1, STAT_INSTANCE), list[float]()
        routine = (
            asyncio.create_task(self._load(clients, images, calls * 0.04 + 2)) if clients else None
        )
        async with self._stub() as stub:
            await asyncio.sleep(1.0)
            for _ in range(calls):
                await _ask(stub, one, 0.0, took)
                await asyncio.sleep(0.02)
        return took, await routine if routine else None

    def _stub(self) -> "_Stub":
        return _Stub(self.url)

    def _counts(self) -> tuple[float, float]:
        """Return images and executions so far."""
        with urllib.request.urlopen(self._metrics, timeout=5) as answer:
            text = answer.read().decode()
        label = rf'{{model="{IMAGE_ENCODER}",version="\d+"}} (\S+)$'
        images, executions = (
            sum(map(float, re.findall(rf"^{name}{label}", text, re.M)))
            for name in ("nv_inference_count", "nv_inference_exec_count")
        )
        return images, executions


class _Stub:
    """A channel of its own for each load, closed after it."""

    def __init__(self, url: str) -> None:
        self._channel = grpc.aio.insecure_channel(url, options=_OPTIONS)

    async def __aenter__(self) -> service_pb2_grpc.GRPCInferenceServiceStub:
        return service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


async def _ask(
    stub: service_pb2_grpc.GRPCInferenceServiceStub,
    request: service_pb2.ModelInferRequest,
    until: float,
    took: list[float],
) -> None:
    """Ask again and again until a time, at least once."""
    while True:
        start = time.perf_counter()
        await stub.ModelInfer(request)
        now = time.perf_counter()
        took.append(now - start)
        if now >= until:
            return


@contextmanager
def serving(settings: Settings, edit: Edit = as_shipped) -> Iterator[Server]:
    """Run Triton with the image encoder's configuration changed by `edit`."""
    with TemporaryDirectory(prefix="cardex-triton-") as folder:
        repository = Path(folder) / "models"
        for model in MODELS[:2]:
            shutil.copytree(settings.model_repository / model, repository / model, symlinks=True)
        config = repository / IMAGE_ENCODER / "configs" / "cpu.pbtxt"
        config.write_text(edit(config.read_text()))
        http, port, metrics = free_ports(3)
        part = triton_process(
            inspect_runtime(settings.triton_python),
            repository, Path(folder), (http, port, metrics), Path(folder) / "log",
        )  # fmt: skip
        part.start()
        try:
            part.wait_ready()
            yield Server(port, metrics, newest(settings.model_repository).spec().shape)
        finally:
            part.stop()
