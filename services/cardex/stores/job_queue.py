"""The job records in Redis: the truth about every ECG on its way.

Every change of state is one Lua script, so one atomic step, of many jobs at once where many come.
A job that is QUEUED stands in the list of its queue and owner, and owners take turns; one that is
RUNNING stands in a sorted set by the end of its lease.
"""

import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import redis as redis_py

from cardex.domain.errors import CardexError, JobNotFound, Unavailable
from cardex.domain.jobs import Claim, Job, JobError, JobState, Priority, QueueState
from cardex.stores.job_limits import JobLimits
from cardex.stores.job_record import job_of, result_fields
from cardex.stores.redis import mapped
from cardex.stores.scripts import NOT_REPLICATED, STORE, Argument, Scripts, milliseconds
from cardex.stores.submission import Submission, Submitted, outcome_of, submit_arguments

logger = logging.getLogger(__name__)

PREFIX = "cardex:"
EVENTS = f"{PREFIX}events"
_LOST_WORKER = JobError(
    "ATTEMPTS_EXHAUSTED",
    "every worker that began this ECG died or gave up: look at the worker's log, then submit it"
    " again",
)


@dataclass(frozen=True, slots=True)
class Swept:
    """How many jobs of lost workers a sweep put back into their queue, and how many it gave up."""

    requeued: int
    failed: int


class JobQueue:
    """Owns a job's whole life: its record, its payload, its place in a queue, and who is woken."""

    def __init__(
        self, client: redis_py.Redis, limits: JobLimits, notify: Callable[[Priority], None]
    ) -> None:
        """Keep jobs in the state store.

        Args:
            client: of the state store.
            limits: how long and how much.
            notify: wakes a worker of a queue; may raise Unavailable, since the next sweep wakes
                one.
        """
        self._client = client
        self.limits = limits
        self._wake_worker = notify
        self._scripts = Scripts(
            client, ("submit", "claim", "finish", "release", "cancel", "extend", "sweep")
        )

    def ping(self) -> None:
        """Check that the store answers.

        Raises:
            Unavailable: if it does not.
        """
        with mapped(STORE):
            self._client.ping()

    def submit(
        self, submissions: Sequence[tuple[Submission, bytes | None]]
    ) -> list[Submitted | CardexError]:
        """Make each submission a job, or find the one that its request_id made before.

        Payload, record and queue entry of a job are one atomic step: when this returns, it is
        durable.

        Args:
            submissions: each with its encoded answer where that is known already; the job is then
                SUCCEEDED at once.

        Returns:
            For each what became of it, or why nothing was stored: RequestIdReused where the
            request_id stands for another ECG or question, Overloaded where the queue is full.

        Raises:
            Overloaded: if the store is out of memory.
            Unavailable: if the store is down.
        """
        if not submissions:
            return []
        arguments, replicas = submit_arguments(submissions, self.limits), self.limits.replicas
        try:
            now_ms, *reply = self._scripts.run("submit", arguments, replicas)
        except Unavailable as error:
            if error.reason == NOT_REPLICATED:  # they are jobs all the same
                for priority in {submission.priority for submission, _ in submissions}:
                    self._notify(priority)
            raise
        for priority, wake in zip(Priority, reply[:2], strict=True):
            if wake:
                self._notify(priority)
        said = zip(reply[2::2], reply[3::2], strict=True)
        return [
            outcome_of(each, submission.priority, now_ms, self.limits)
            for each, (submission, _) in zip(said, submissions, strict=True)
        ]

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """Return a job.

        Args:
            job_id: the job.
            owner: the caller; None may see every job.

        Raises:
            JobNotFound: if there is no such job, or it is somebody else's.
        """
        job = self.find([job_id], owner)[0]
        if job is None:
            raise JobNotFound(
                f"no job {job_id[:64]!r}: it never was, or its record has expired", field="job_id"
            )
        return job

    def find(self, job_ids: Sequence[str], owner: str | None = None) -> list[Job | None]:
        """Return jobs in the order of their ids, None for each that `get` would not find."""
        with mapped(STORE), self._client.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hgetall(f"{PREFIX}job:{job_id}")
            records = pipeline.execute()
        return [
            job_of(job_id, record)
            if record and (owner is None or record[b"owner"].decode() == owner)
            else None
            for job_id, record in zip(job_ids, records, strict=True)
        ]

    def claim(
        self, priority: Priority, count: int, token: str = "", idle_s: float = 0.0, share: int = 1
    ) -> list[Claim]:
        """Take up to `count` waiting jobs with their payloads, of each owner in turn.

        They are RUNNING until they are finished or released, or their lease ends.

        Args:
            priority: the queue.
            count: how many at most.
            token: of the claims; a new one where it is left out.
            idle_s: how long the caller will stand idle in `wait` where nothing is found, under
                this token.
            share: of what waits, at most one share-th is taken, or eight where that is more. So
                several workers come to the end of a queue together, as in guided self-scheduling
                (Polychronopoulos and Kuck 1987).
        """
        token = token or claim_token()
        wake, *taken = self._scripts.run(
            "claim",
            [priority.value, count, token, milliseconds(self.limits.lease_s),
             milliseconds(self.limits.latch_s), milliseconds(idle_s), share],
        )  # fmt: skip
        if wake:
            self._notify(priority)
        return [
            Claim(
                job_of(job_id.decode(), dict(zip(pairs[::2], pairs[1::2], strict=True))),
                token,
                payload,
            )
            for job_id, pairs, payload in zip(taken[::3], taken[1::3], taken[2::3], strict=True)
        ]

    def wait(self, priority: Priority, seconds: float) -> bool:
        """Stand idle until jobs wait, after a claim with `idle_s` that found none.

        Returns:
            True where a job waits, False after `seconds` without one.
        """
        with mapped(STORE):
            return self._client.blpop([f"{PREFIX}bell:{priority.value}"], seconds) is not None

    def finish(self, results: Iterable[tuple[Claim, bytes | JobError]]) -> list[bool]:
        """Write results of claims of one token, answers as the contract's bytes.

        Returns:
            False for each whose claim was lost: that result is dropped.
        """
        written = list(results)
        if not written:
            return []
        arguments: list[Argument] = [written[0][0].token, milliseconds(self.limits.job_ttl_s)]
        for claim, result in written:
            arguments += [claim.job.job_id, *result_fields(result)]
        return [bool(done) for done in self._scripts.run("finish", arguments)]

    def release(self, claims: Sequence[Claim], error: JobError, *, counted: bool) -> list[str]:
        """Return jobs of one token to their queue.

        Args:
            claims: the jobs.
            error: the reason; it is the job's end where the attempt was its last.
            counted: False where a part was down and the ECG is not at fault.

        Returns:
            The new state of each, "" where the claim was lost.
        """
        if not claims:
            return []
        arguments: list[Argument] = [
            claims[0].token, int(counted), self.limits.max_attempts, msgspec.json.encode(error),
            milliseconds(self.limits.job_ttl_s), *(claim.job.job_id for claim in claims),
        ]  # fmt: skip
        return [state.decode() for state in self._scripts.run("release", arguments)]

    def holds(self, claim: Claim) -> bool:
        """Return whether a claim is still its caller's: neither cancelled nor given to another."""
        with mapped(STORE):
            found = self._client.hmget(f"{PREFIX}job:{claim.job.job_id}", "state", "token")
        return found == [JobState.RUNNING.value.encode(), claim.token.encode()]

    def extend(self, claims: Sequence[Claim]) -> None:
        """Give live claims of one token a new lease."""
        if claims:
            ids = [claim.job.job_id for claim in claims]
            self._scripts.run("extend", [claims[0].token, milliseconds(self.limits.lease_s), *ids])

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Cancel a job that is not final, and return it as it is now.

        Raises:
            JobNotFound: if there is no such job of this owner.
        """
        self.get(job_id, owner)
        self._scripts.run("cancel", [job_id, milliseconds(self.limits.job_ttl_s)])
        return self.get(job_id, owner)

    def sweep(self, priority: Priority) -> Swept:
        """Take back the jobs of dead workers, and wake a worker where jobs wait for one."""
        limits = self.limits
        requeued, failed, wake = self._scripts.run(
            "sweep",
            [priority.value, limits.max_attempts, msgspec.json.encode(_LOST_WORKER),
             milliseconds(limits.job_ttl_s), milliseconds(limits.latch_s)],
        )  # fmt: skip
        if wake:
            self._notify(priority)
        return Swept(requeued, failed)

    def state(self, priority: Priority) -> QueueState:
        """Return depth, age and running jobs of one queue."""
        with mapped(STORE), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(f"{PREFIX}waiting:{priority.value}")
            pipeline.zcard(f"{PREFIX}running:{priority.value}")
            pipeline.time()
            waiting, running, (seconds, micros) = pipeline.execute()
            for owner in waiting:
                pipeline.lindex(f"{PREFIX}queue:{priority.value}:{owner.decode()}", -1)
            for oldest in filter(None, pipeline.execute()):
                pipeline.hget(f"{PREFIX}job:{oldest.decode()}", "submitted")
            since = [int(submitted) for submitted in pipeline.execute() if submitted]
        age = seconds + micros / 1e6 - min(since) / 1e3 if since else 0.0
        own = {owner.decode(): int(count) for owner, count in waiting.items()}
        return QueueState(priority, sum(own.values()), max(0.0, age), running, own)

    def _notify(self, priority: Priority) -> None:
        try:
            self._wake_worker(priority)
        except Unavailable as error:  # the jobs are durable, and the next sweep wakes a worker
            logger.warning("%s", error.message)


def claim_token() -> str:
    """Return a token that no other claim has."""
    return secrets.token_hex(8)
