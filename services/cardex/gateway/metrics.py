"""What the gateway counts. Labels are methods, reasons and queues, never patients."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from cardex.domain.errors import Overloaded

REQUESTS = Counter(
    "cardex_requests", "Calls by method, reason and gRPC code", ["method", "outcome", "code"]
)
IN_FLIGHT = Gauge(
    "cardex_requests_in_flight", "Calls that run", ["method"], multiprocess_mode="livesum"
)
CACHE = Counter("cardex_answer_cache", "Look-ups of known answers", ["outcome"])
RETRIEVE_SECONDS = Histogram(
    "cardex_retrieve_seconds",
    "From a Retrieve call to its answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)
SWEPT = Counter("cardex_swept_jobs", "Jobs taken back from lost workers", ["queue", "outcome"])

FULL = ("STORE_FULL", "BACKLOG_FULL")


def count_from_zero(methods: Iterable[str]) -> None:
    """Show outcomes before they happen: Prometheus sees no increase in a first value."""
    for method in methods:
        REQUESTS.labels(method, "OK", "OK")
        for outcome in FULL:
            REQUESTS.labels(method, outcome, Overloaded.grpc_code)
