"""A queue of jobs in memory, and a job that is made up."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

from cardex.domain.jobs import Claim, Job, JobError, JobState, Priority, Question
from cardex.stores.job_queue import Swept


def a_job(job_id: str, *, payload: str = "", state: JobState = JobState.RUNNING) -> Job:
    return Job(job_id, "tests", state, Priority.ROUTINE, payload or job_id, Question(), 1, 0.0, 0.0)


class FakeJobs:
    """The JobQueue's side that a worker sees: a queue of payloads, and what became of each job."""

    def __init__(self, **payloads: bytes | None) -> None:
        self.limits = SimpleNamespace(lease_s=3600.0)
        self.waiting = [a_job(job_id) for job_id in payloads]
        self._payloads = payloads
        self.claimed: list[list[str]] = []
        self.idle_s: list[float] = []
        self.waited: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None
        self.results: dict[str, bytes | JobError] = {}
        self.returned: dict[str, tuple[JobError, bool]] = {}
        self.lost: set[str] = set()

    def claim(
        self,
        priority: Priority,
        count: int,
        token: str = "token",
        idle_s: float = 0.0,
        share: int = 1,
    ) -> list[Claim]:
        self.idle_s.append(idle_s)
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        self.claimed.append([job.job_id for job in taken])
        return [Claim(job, token, self._payloads[job.job_id]) for job in taken]

    def wait(self, priority: Priority, seconds: float) -> bool:
        self.waited.append(seconds)
        self.on_wait()
        return bool(self.waiting)

    def finish(self, results) -> list[bool]:
        done = []
        for claim, result in results:
            done.append(claim.job.job_id not in self.lost)
            if done[-1]:
                self.results[claim.job.job_id] = result
        return done

    def release(self, claims, error: JobError, *, counted: bool) -> list[str]:
        for claim in claims:
            self.returned[claim.job.job_id] = (error, counted)
        return ["QUEUED"] * len(self.returned)

    def holds(self, claim: Claim) -> bool:
        return claim.job.job_id not in self.lost

    def extend(self, claims: Sequence[Claim]) -> None:
        raise AssertionError("no lease of an hour needs to be extended in a test")

    def sweep(self, priority: Priority) -> Swept:
        return Swept(0, 0)
