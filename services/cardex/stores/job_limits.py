"""How long jobs are kept, and how many may wait."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How long jobs are kept and how many may wait.

    Attributes:
        max_backlog: jobs that may wait in one queue.
        max_backlog_per_key: how many of them may be of one owner.
        watermark: share of the store's memory that may be filled before routine jobs are refused.
        max_attempts: how often a job is begun before it is given up.
        lease_s: after this without a sign of life a worker has lost its job.
        latch_s: after this many seconds a wake-up that no worker took counts as lost.
        payload_ttl_s: how long an ECG's bytes are kept.
        job_ttl_s: how long the record of a final job is kept.
        replicas: how many replicas have a job before it is acknowledged.
    """

    max_backlog: int = 100_000
    max_backlog_per_key: int = 100_000
    watermark: float = 0.8
    max_attempts: int = 5
    lease_s: float = 10.0
    latch_s: float = 3.0
    payload_ttl_s: float = 86_400.0
    job_ttl_s: float = 86_400.0
    replicas: int = 0
