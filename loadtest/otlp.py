"""A receiver of OTLP: keeps the spans that processes send, for one who looks at a single trace."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from cardex.local_stack.ports import HOST

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Span:
    """One span as a process sent it.

    Attributes:
        trace: id of its trace, in hex.
        id: its own id, in hex.
        parent: id of the span above it, "" where there is none.
        service: the process.
        name: what was done.
        began: in Unix seconds.
        ended: in Unix seconds.
        attributes: as text.
        failed: True where its status is an error.
        links: ids of traces that it names.
        words: of its status and its events, which ours have none of.
    """

    trace: str
    id: str
    parent: str
    service: str
    name: str
    began: float
    ended: float
    attributes: dict[str, str]
    failed: bool
    links: tuple[str, ...] = ()
    words: str = ""


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens on a port of this machine; a context manager."""

    def __init__(self) -> None:
        """Prepare to listen on a free port."""
        self._server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self._port = self._server.add_insecure_port(f"{HOST}:0")
        self._requests: list[pb.ExportTraceServiceRequest] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Listen."""
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self._server.stop(None)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make a process send its spans here, soon after they end."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{self._port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def Export(  # noqa: N802  the method's name in OTLP
        self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        """Keep what a process sends."""
        with self._lock:
            self._requests.append(request)
        return pb.ExportTraceServiceResponse()

    def spans(self) -> list[Span]:
        """Return all spans so far, by their begin."""
        with self._lock:
            requests = list(self._requests)
        found = [
            _span(span, _text(resource.resource.attributes)["service.name"])
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: span.began)

    def wait_for(self, complete: Callable[[list[Span]], bool], seconds: float) -> list[Span]:
        """Return the spans as soon as they are `complete`, or as they are after `seconds`."""
        deadline = time.monotonic() + seconds
        while not complete(spans := self.spans()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return spans


def _span(span: Any, service: str) -> Span:  # noqa: ANN401  OTLP's messages have no stubs
    return Span(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        service=service,
        name=span.name,
        began=span.start_time_unix_nano / 1e9,
        ended=span.end_time_unix_nano / 1e9,
        attributes=_text(span.attributes),
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        links=tuple(link.trace_id.hex() for link in span.links),
        words=span.status.message + "".join(map(str, span.events)),
    )


def _text(attributes: Any) -> dict[str, str]:  # noqa: ANN401
    return {
        each.key: str(getattr(each.value, each.value.WhichOneof("value"))) for each in attributes
    }
