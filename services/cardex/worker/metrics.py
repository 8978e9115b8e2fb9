"""What a worker counts. Labels are stages and queues, never patients."""

from prometheus_client import Counter, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

STAGE_SECONDS = Histogram(
    "cardex_stage_seconds", "Time of one stage of an ECG's way", ["stage"], buckets=_SECONDS
)
BATCH_SIZE = Histogram(
    "cardex_batch_size", "Jobs taken together", ["queue"], buckets=(1, 2, 4, 8, 16, 32)
)
JOBS = Counter("cardex_jobs", "Jobs finished by this worker", ["queue", "outcome"])
