"""Sends spans by OTLP, without anything that may quote a caller or a file."""

import os
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from cardex import __version__

TIMEOUT, TIMEOUT_S = "OTEL_EXPORTER_OTLP_TIMEOUT", 2.0
"""A process that ends waits so long for a receiver that is gone."""
OWN = "cardex."
KEPT = frozenset({
    "peer.service", "rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code",
    "http.method", "http.request.method", "http.route", "http.status_code",
    "http.response.status_code",
})  # fmt: skip
"""Attributes that are sent beside our own: those whose values nobody outside chooses."""


class DiscreetExporter(SpanExporter):
    """Sends spans without events, words of errors, and attributes that a caller fills.

    A recorded exception, and the words of a status, may quote a file; a user agent is any text.
    """

    def __init__(self, inner: SpanExporter) -> None:
        """Send by `inner`."""
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        return self._inner.export([_discreet(span) for span in spans])

    def shutdown(self) -> None:
        """Send no more."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is held back."""
        return self._inner.force_flush(timeout_millis)


def provider_for(process: str) -> TracerProvider:
    """Return what makes the spans of a process, such as "gateway", and sends them."""
    names = {"service.name": f"cardex-{process}", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(names))
    timeout = None if os.environ.get(TIMEOUT) else TIMEOUT_S  # None: what the variable says
    exporter = DiscreetExporter(OTLPSpanExporter(timeout=timeout))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _discreet(span: ReadableSpan) -> ReadableSpan:
    attributes = span.attributes or {}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={
            key: value for key, value in attributes.items() if key in KEPT or key.startswith(OWN)
        },
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
