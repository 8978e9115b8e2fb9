"""Traces by OpenTelemetry: off until the environment says where they go.

OTEL_EXPORTER_OTLP_ENDPOINT turns them on, and OpenTelemetry's other variables hold too. A span
names stages, parts, sizes and reasons; never a patient, a file, a report or a sample.
"""

import itertools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cardex import __version__

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
ARCHIVE_SHARE = 0.01
"""Of an archive's ECGs so many have a trace; each is a trace of its own, linked to the stream's."""

TRACEPARENT = "traceparent"
_propagator = TraceContextTextMapPropagator()
tracer = trace.get_tracer("cardex", __version__)


def tracing_wanted() -> bool:
    """Return whether the environment says where traces go."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(os.environ.get(name) for name in ENDPOINTS)


def start_tracing(process: str) -> None:
    """Send this process's spans by OTLP where that is wanted.

    Args:
        process: its kind, such as "gateway"; the service's name is `cardex-` and this.
    """
    if not tracing_wanted():
        return
    from cardex.telemetry.export import provider_for

    trace.set_tracer_provider(provider_for(process))


@contextmanager
def span(name: str) -> Iterator[None]:
    """Make a span of a block; of an error it has that there was one."""
    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield
        except Exception:
            made.set_status(trace.StatusCode.ERROR)
            raise


def current_trace() -> str:
    """Return the W3C traceparent of the span that runs here; "" where none is recorded."""
    return _traceparent(None)


def context_of(traceparent: str) -> Context:
    """Return the context that a traceparent stands for."""
    return _propagator.extract({TRACEPARENT: traceparent}, context=Context())


def archive_traces() -> Iterator[str]:
    """Return a traceparent for each ECG of an archive: for few a new one, for the others "".

    The stream whose span runs here lasts as long as the archive, so its ECGs are not below it.
    """
    stream = trace.get_current_span().get_span_context()
    if not _recorded(stream):
        return itertools.repeat("")
    return (
        _new_trace(stream) if random.random() < ARCHIVE_SHARE else "" for _ in itertools.count()
    )


def _new_trace(stream: trace.SpanContext) -> str:
    span = tracer.start_span("submit item", context=Context(), links=[trace.Link(stream)])
    span.end()
    return _traceparent(trace.set_span_in_context(span, Context()))


def _traceparent(context: Context | None) -> str:
    if not _recorded(trace.get_current_span(context).get_span_context()):
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, context)
    return carrier[TRACEPARENT]


def _recorded(span: trace.SpanContext) -> bool:
    return span.is_valid and span.trace_flags.sampled
