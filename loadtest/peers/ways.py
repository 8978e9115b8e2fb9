"""The ways that are compared: each starts what it needs, and takes a list of ECGs."""

import base64
import http.client
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from cardex.api.client import Client
from cardex.api.convert.ecg import to_payload
from cardex.api.convert.jobs import decode_answer
from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import ConfigurationError
from cardex.domain.reports import Report
from cardex.domain.settings import Settings
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST, free_ports
from cardex.local_stack.stack import Stack
from cardex.local_stack.valkey import ValkeyConfig, valkey_process
from loadtest.peers.celery_worker import TASK, celery_app

IN_FLIGHT = 64
TIMEOUT_S = 120.0
PEERS = Path(".venv-peers/bin")
"""Programs of the peers' environment."""
OK = 200
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Each worker process has a core, so that threads of BLAS would only get in the way."""


class Target(Protocol):
    """A running way."""

    def requests(self, ecgs: Sequence[ecg_pb2.Ecg]) -> Sequence[Any]:
        """Return what is sent for ECGs; made before the clock starts."""

    def answers(self, requests: Sequence[Any]) -> list[job_pb2.Answer]:
        """Send requests, at most `IN_FLIGHT` of them unanswered, and return the answers in order.

        Cardex takes the requests as a stream of one batch.
        """


class Way(Protocol):
    """A way to answer."""

    @property
    def name(self) -> str:
        """Name in tables."""

    def running(self, folder: Path) -> AbstractContextManager[Target]:
        """Run it, with its logs and data in a folder that it keeps from round to round."""


class _Http:
    """A peer that takes a payload as the body of a request; a thread for each one in flight."""

    content_type = "application/octet-stream"
    ready_path = "/ready"

    def __init__(self, port: int) -> None:
        self._port = port

    def requests(self, ecgs: Sequence[ecg_pb2.Ecg]) -> list[bytes]:
        return [to_payload(ecg) for ecg in ecgs]

    def answers(self, requests: Sequence[bytes]) -> list[job_pb2.Answer]:
        return [decode_answer(self._message(content)) for content in self._contents(requests)]

    def _message(self, content: bytes) -> bytes:
        return content

    def _contents(self, requests: Sequence[bytes]) -> Iterator[bytes]:
        own = threading.local()

        def connect() -> None:
            own.connection = http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT_S)

        def post(body: bytes) -> bytes:
            connection: http.client.HTTPConnection = own.connection
            connection.request("POST", "/answer", body, {"Content-Type": self.content_type})
            response = connection.getresponse()
            content = response.read()
            if response.status != OK:
                raise SystemExit(f"status {response.status}: {content[:500]!r}")
            return content

        with ThreadPoolExecutor(IN_FLIGHT, initializer=connect) as pool:
            yield from pool.map(post, requests)


class _Base64(_Http):
    """A peer that takes a list of one base64 payload as JSON, and answers alike."""

    content_type = "application/json"

    ready_path = "/readyz"

    def requests(self, ecgs: Sequence[ecg_pb2.Ecg]) -> list[bytes]:
        payloads = [base64.b64encode(payload).decode() for payload in super().requests(ecgs)]
        return [json.dumps({"payloads": [payload]}).encode() for payload in payloads]

    def _message(self, content: bytes) -> bytes:
        (message,) = json.loads(content)
        return base64.b64decode(message)


class _Tasks:
    """A peer that takes a payload as a task; a new one is sent when the oldest is answered."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url)

    def requests(self, ecgs: Sequence[ecg_pb2.Ecg]) -> list[bytes]:
        return [to_payload(ecg) for ecg in ecgs]

    def answers(self, requests: Sequence[bytes]) -> list[job_pb2.Answer]:
        return [decode_answer(message) for message in self._messages(requests)]

    def _messages(self, requests: Sequence[bytes]) -> Iterator[bytes]:
        in_flight: deque[Any] = deque()
        for request in requests:
            if len(in_flight) == IN_FLIGHT:
                yield in_flight.popleft().get(timeout=TIMEOUT_S)
            in_flight.append(self._app.send_task(TASK, args=[request]))
        while in_flight:
            yield in_flight.popleft().get(timeout=TIMEOUT_S)


class Batches:
    """Cardex's client, which submits a batch and takes its answers as they come.

    Attributes:
        pids: the stack's processes by name.
    """

    def __init__(self, client: Client, pids: Mapping[str, int]) -> None:
        """Ask the stack that has these processes."""
        self._client = client
        self.pids = pids

    def requests(self, ecgs: Sequence[ecg_pb2.Ecg]) -> list[pb.SubmitBatchRequest]:
        """Return a message for each ECG."""
        return [
            pb.SubmitBatchRequest(item_id=str(number), ecg=ecg) for number, ecg in enumerate(ecgs)
        ]

    def answers(self, requests: Sequence[pb.SubmitBatchRequest]) -> list[job_pb2.Answer]:
        """Submit all, and return the answers in their order."""
        number_of = {
            response.job.job_id: int(response.item_id)
            for response in self._client.submit(iter(requests))
        }
        found: dict[int, job_pb2.Answer] = {}
        for job in self._client.finished(list(number_of), TIMEOUT_S):
            if not job.HasField("answer"):
                raise SystemExit(f"an ECG was not answered: {job.error.message}")
            found[number_of[job.job_id]] = job.answer
        return [found[number] for number in range(len(requests))]


class HttpWay:
    """A server of `loadtest.peers`, in the peers' environment."""

    def __init__(self, name: str, module: str, client: type[_Http] = _Http) -> None:
        """Name it, its module and its client."""
        self.name = name
        self._module = module
        self._client = client

    @contextmanager
    def running(self, folder: Path) -> Iterator[Target]:
        """Run it."""
        (port,) = free_ports(1)
        command = [_python(), "-m", f"loadtest.peers.{self._module}", "--port", str(port)]
        server = ManagedProcess(
            self.name, command, folder / f"{self._module}.log",
            lambda: _is_ready(port, self._client.ready_path),
            ONE_THREAD | {"BENTOML_HOME": str(folder / "bentoml")}, timeout_s=120.0,
        )  # fmt: skip
        with _started(server):
            yield self._client(port)


class CeleryWay:
    """The Celery pipeline, with a Valkey of its own."""

    name = "Celery, a task a record"

    @contextmanager
    def running(self, folder: Path) -> Iterator[Target]:
        """Run it."""
        (port,) = free_ports(1)
        config = ValkeyConfig("cache", port, "bench", folder / "valkey", "2gb")
        command = [_python(), "-m", "loadtest.peers.celery_worker", "--broker", config.url]
        app = celery_app(config.url)
        worker = ManagedProcess(
            self.name, command, folder / "celery.log",
            lambda: bool(app.control.ping(timeout=1.0)),
            # Without it Celery refuses to unpickle as root. The broker takes this process's alone.
            ONE_THREAD | {"C_FORCE_ROOT": "true"}, timeout_s=120.0,
        )  # fmt: skip
        with _started(valkey_process(config, folder / "valkey.log")), _started(worker):
            yield _Tasks(config.url)


class CardexWay:
    """Cardex whole: gateway, queue, workers, Triton, Milvus Lite. It indexes once."""

    def __init__(self, settings: Settings, reports: Sequence[Report], name: str = "Cardex") -> None:
        """Answer from these reports."""
        self.name = name
        self._settings = settings
        self._reports = reports
        self._indexed = False

    @contextmanager
    def running(self, folder: Path) -> Iterator["Batches"]:
        """Run it."""
        local = self._settings.model_copy(update={"data_dir": folder / "cardex"})
        with Stack(local) as stack:
            assert stack.endpoints is not None
            target = local.model_copy(update={"gateway_target": stack.endpoints.gateway})
            with Client.from_settings(target) as client:
                if not self._indexed:
                    list(client.upsert(self._reports, rebuild=True))
                    self._indexed = True
                yield Batches(client, stack.pids)


def peers() -> list[Way]:
    """Return all ways but Cardex's own."""
    return [
        HttpWay("LitServe", "litserve_server"),
        HttpWay("BentoML", "bentoml_server", _Base64),
        HttpWay("FastAPI", "fastapi_server"),
        CeleryWay(),
    ]


def _python() -> str:
    python = PEERS / "python"
    if not python.exists():
        raise ConfigurationError(f"{python} does not exist: run `make bench-peers`")
    return str(python)


@contextmanager
def _started(process: ManagedProcess) -> Iterator[None]:
    try:
        process.start()
        process.wait_ready()
        yield
    finally:
        process.stop()


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
