"""What every process of Cardex does at its start: logs and metrics."""

import logging
import os

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from cardex.domain.settings import Settings

MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if job_id := getattr(record, "job_id", None):
            entry["job_id"] = job_id
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def start_logging(settings: Settings) -> None:
    """Log JSON lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for chatty in ("httpx", "pymilvus", "kombu", "celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


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


def mark_starting(settings: Settings) -> None:
    """Take away what a process that died left for the supervisor."""
    for path in (settings.ready_file, settings.alive_file):
        if path is not None:
            path.unlink(missing_ok=True)


def mark_ready(settings: Settings) -> None:
    """Tell the supervisor, by a file, that this process can be used."""
    if settings.ready_file is not None:
        settings.ready_file.touch()


def mark_stopping(settings: Settings) -> None:
    """Tell the supervisor that this process takes no more work."""
    if settings.ready_file is not None:
        settings.ready_file.unlink(missing_ok=True)


def mark_alive(settings: Settings) -> None:
    """Tell the supervisor, by the age of a file, that this process gets on."""
    if settings.alive_file is not None:
        settings.alive_file.touch()
