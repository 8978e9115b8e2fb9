"""/metrics: what all processes counted, and the queues as they are now."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from cardex.api.pb.v1 import ecg_retrieval_pb2, job_pb2
from cardex.telemetry.metrics import metrics_registry


class QueueCollector:
    """The queues of one GetServerInfo as gauges."""

    def __init__(self, info: ecg_retrieval_pb2.GetServerInfoResponse) -> None:
        """Show `info`."""
        self._info = info

    def collect(self) -> Iterator[Metric]:
        """Yield depth, age and running jobs per queue."""
        depth = GaugeMetricFamily("cardex_queue_depth", "Jobs that wait", labels=["queue"])
        age = GaugeMetricFamily(
            "cardex_queue_oldest_age_seconds", "Age of the oldest waiting job", labels=["queue"]
        )
        running = GaugeMetricFamily(
            "cardex_queue_running", "Jobs in workers' hands", labels=["queue"]
        )
        for queue in self._info.queues:
            label = [job_pb2.Priority.Name(queue.priority).removeprefix("PRIORITY_").lower()]
            depth.add_metric(label, queue.depth)
            age.add_metric(label, queue.oldest_age_s)
            running.add_metric(label, queue.running)
        yield from (depth, age, running)


def exposition(info: ecg_retrieval_pb2.GetServerInfoResponse) -> bytes:
    """Return everything in Prometheus' text format."""
    queues = CollectorRegistry()
    queues.register(QueueCollector(info))
    return generate_latest(metrics_registry()) + generate_latest(queues)
