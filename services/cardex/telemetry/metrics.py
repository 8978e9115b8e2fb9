"""Metrics: where Prometheus reads those of a process."""

import os

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from cardex.domain.settings import Settings

MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"


def metrics_registry() -> CollectorRegistry:
    """Return the metrics of this process, or of all that share a PROMETHEUS_MULTIPROC_DIR."""
    if MULTIPROC_DIR not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def serve_metrics(settings: Settings) -> None:
    """Serve metrics on a port of their own where one is set, as pods do."""
    if settings.metrics_port:
        start_http_server(settings.metrics_port, registry=metrics_registry())
