"""Spans of gRPC calls, below their caller's: interceptors for a server and for a channel."""

from typing import Any

import grpc

from cardex.telemetry.tracing import tracing_wanted


def server_interceptors() -> list[grpc.aio.ServerInterceptor]:
    """Return what makes a span of each call that is served; nothing where none is kept."""
    if not tracing_wanted():
        return []
    from opentelemetry.instrumentation.grpc import aio_server_interceptor

    return [aio_server_interceptor(filter_=_asked_by_callers())]  # type: ignore[no-untyped-call]


def client_interceptors() -> list[grpc.aio.ClientInterceptor]:
    """Return what makes a span of each call, and tells the server of it; nothing as above."""
    if not tracing_wanted():
        return []
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    return list(aio_client_interceptors(filter_=_asked_by_callers()))  # type: ignore[no-untyped-call]


def _asked_by_callers() -> Any:  # noqa: ANN401  the library's filters have no type
    """Leave out what probes and Prometheus ask again and again."""
    from opentelemetry.instrumentation.grpc import filters

    unasked = filters.any_of(filters.health_check(), filters.method_name("GetServerInfo"))
    return filters.negate(unasked)
