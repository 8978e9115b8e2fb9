"""The job records in Redis: the truth about every ECG on its way.

Every change of state is one Lua script, so one atomic step. A job that is QUEUED stands in its
queue's list; one that is RUNNING stands in a sorted set by the end of its lease.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec
import redis as redis_py

from cardex.domain.errors import (
    CardexError,
    JobNotFound,
    Overloaded,
    RequestIdReused,
    Unavailable,
)
from cardex.domain.jobs import Claim, Job, JobError, JobState, Priority, Question, QueueState
from cardex.stores.redis import mapped
from cardex.stores.scripts import STORE, Argument, Scripts

logger = logging.getLogger(__name__)

PREFIX = "cardex:"
EVENTS = f"{PREFIX}events"
BACKLOG_RETRY_S = 5.0

_LOST_WORKER = JobError(
    "ATTEMPTS_EXHAUSTED",
    "every worker that began this ECG died or gave up: look at the worker's log, then submit it"
    " again",
)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How long jobs are kept and how many may wait.

    Attributes:
        max_backlog: jobs that may wait in one queue.
        max_attempts: how often a job is begun before it is given up.
        lease_s: after this without a sign of life a worker has lost its job.
        latch_s: after this many seconds a wake-up that no worker took counts as lost.
        payload_ttl_s: how long an ECG's bytes are kept.
        job_ttl_s: how long the record of a final job is kept.
    """

    max_backlog: int = 100_000
    max_attempts: int = 5
    lease_s: float = 10.0
    latch_s: float = 3.0
    payload_ttl_s: float = 86_400.0
    job_ttl_s: float = 86_400.0


@dataclass(frozen=True)
class Submission:
    """An ECG to be made a job.

    Attributes:
        owner: name of the API key.
        priority: the queue.
        payload: the ECG's bytes, as the claim check stores them.
        question: what is asked.
        request_id: the caller's idempotency key, or "".
    """

    owner: str
    priority: Priority
    payload: bytes
    question: Question
    request_id: str = ""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the payload, in hex: the claim check. Computed at first use."""
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True, slots=True)
class Submitted:
    """Outcome of a submission.

    Attributes:
        job_id: the job.
        is_new: False where the request_id had made it before.
        at: when, in Unix seconds by the store's clock.
    """

    job_id: str
    is_new: bool
    at: float


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
        calls = [self._submission(submission, answer) for submission, answer in submissions]
        replies = self._scripts.run_many("submit", calls)
        for priority in {
            submission.priority
            for (submission, _), (_, _, wake, _) in zip(submissions, replies, strict=True)
            if wake
        }:
            self._notify(priority)
        return [
            self._outcome(submission.priority, outcome, job_id, now_ms)
            for (submission, _), (outcome, job_id, _, now_ms) in zip(
                submissions, replies, strict=True
            )
        ]

    def _submission(self, submission: Submission, answer: bytes | None) -> list[Argument]:
        question, limits = msgspec.json.encode(submission.question), self.limits
        sha256 = submission.sha256
        fingerprint = hashlib.sha256(sha256.encode() + question).hexdigest()
        return [
            secrets.token_hex(12), submission.owner, submission.priority.value, sha256,
            b"" if answer else submission.payload, _ms(limits.payload_ttl_s), question,
            _request_key(submission), fingerprint, limits.max_backlog,
            _ms(limits.latch_s), _ms(limits.job_ttl_s), answer or b"",
        ]  # fmt: skip

    def _outcome(
        self, priority: Priority, outcome: bytes, job_id: bytes, now_ms: int
    ) -> Submitted | CardexError:
        if outcome == b"REUSED":
            return RequestIdReused(
                "this request_id stands for another ECG or question: use a new one",
                field="request_id",
            )
        if outcome == b"FULL":
            return Overloaded(
                f"{self.limits.max_backlog} jobs wait in the {priority} queue: try later",
                reason="BACKLOG_FULL",
                retry_after_s=BACKLOG_RETRY_S,
            )
        return Submitted(job_id.decode(), outcome == b"NEW", now_ms / 1e3)

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
            _job(job_id, record)
            if record and (owner is None or record[b"owner"].decode() == owner)
            else None
            for job_id, record in zip(job_ids, records, strict=True)
        ]

    def claim(self, priority: Priority, count: int) -> list[Claim]:
        """Take up to `count` waiting jobs with their payloads.

        They are RUNNING until they are finished or released, or their lease ends.
        """
        token = secrets.token_hex(8)
        wake, *taken = self._scripts.run(
            "claim",
            [priority.value, count, token, _ms(self.limits.lease_s), _ms(self.limits.latch_s)],
        )
        if wake:
            self._notify(priority)
        return [
            Claim(
                _job(job_id.decode(), dict(zip(pairs[::2], pairs[1::2], strict=True))),
                token,
                payload,
            )
            for job_id, pairs, payload in zip(taken[::3], taken[1::3], taken[2::3], strict=True)
        ]

    def finish(self, results: Iterable[tuple[Claim, bytes | JobError]]) -> list[bool]:
        """Write results, answers as the contract's bytes.

        Returns:
            False for each whose claim was lost: that result is dropped.
        """
        ttl = _ms(self.limits.job_ttl_s)
        calls: list[list[Argument]] = [
            [claim.job.job_id, claim.token, *_result_fields(result), ttl]
            for claim, result in results
        ]
        return [bool(done) for done in self._scripts.run_many("finish", calls)]

    def release(self, claims: Iterable[Claim], error: JobError, *, counted: bool) -> list[str]:
        """Return jobs to their queue.

        Args:
            claims: the jobs.
            error: the reason; it is the job's end where the attempt was its last.
            counted: False where a part was down and the ECG is not at fault.

        Returns:
            The new state of each, "" where the claim was lost.
        """
        stored, limits = msgspec.json.encode(error), self.limits
        calls: list[list[Argument]] = [
            [claim.job.job_id, claim.token, int(counted), limits.max_attempts, stored,
             _ms(limits.job_ttl_s)]
            for claim in claims
        ]  # fmt: skip
        return [state.decode() for state in self._scripts.run_many("release", calls)]

    def extend(self, claims: Sequence[Claim]) -> None:
        """Give live claims of one token a new lease."""
        if claims:
            ids = [claim.job.job_id for claim in claims]
            self._scripts.run("extend", [claims[0].token, _ms(self.limits.lease_s), *ids])

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Cancel a job that is not final, and return it as it is now.

        Raises:
            JobNotFound: if there is no such job of this owner.
        """
        self.get(job_id, owner)
        self._scripts.run("cancel", [job_id, _ms(self.limits.job_ttl_s)])
        return self.get(job_id, owner)

    def sweep(self, priority: Priority) -> Swept:
        """Take back the jobs of dead workers, and wake a worker where jobs wait for one."""
        limits = self.limits
        requeued, failed, wake = self._scripts.run(
            "sweep",
            [priority.value, limits.max_attempts, msgspec.json.encode(_LOST_WORKER),
             _ms(limits.job_ttl_s), _ms(limits.latch_s)],
        )  # fmt: skip
        if wake:
            self._notify(priority)
        return Swept(requeued, failed)

    def state(self, priority: Priority) -> QueueState:
        """Return depth, age and running jobs of one queue."""
        key = f"{PREFIX}queue:{priority.value}"
        with mapped(STORE):
            with self._client.pipeline(transaction=False) as pipeline:
                pipeline.llen(key)
                pipeline.lindex(key, -1)
                pipeline.zcard(f"{PREFIX}running:{priority.value}")
                pipeline.time()
                depth, oldest, running, (seconds, micros) = pipeline.execute()
            submitted = (
                self._client.hget(f"{PREFIX}job:{oldest.decode()}", "submitted") if oldest else None
            )
        age = max(0.0, seconds + micros / 1e6 - int(submitted) / 1e3) if submitted else 0.0
        return QueueState(priority, depth, age, running)

    def _notify(self, priority: Priority) -> None:
        try:
            self._wake_worker(priority)
        except Unavailable as error:  # the jobs are durable, and the next sweep wakes a worker
            logger.warning("%s", error.message)


def _request_key(submission: Submission) -> str:
    """Return the hash under which a request_id is kept, so that no identifier stands in a key."""
    if not submission.request_id:
        return ""
    return hashlib.sha256(f"{submission.owner}\0{submission.request_id}".encode()).hexdigest()


def _result_fields(result: bytes | JobError) -> tuple[str, Literal["result", "error"], bytes]:
    if isinstance(result, JobError):
        return JobState.FAILED.value, "error", msgspec.json.encode(result)
    return JobState.SUCCEEDED.value, "result", result


def _job(job_id: str, record: dict[bytes, bytes]) -> Job:
    error = record.get(b"error")
    return Job(
        job_id=job_id,
        owner=record[b"owner"].decode(),
        state=JobState(record[b"state"].decode()),
        priority=Priority(record[b"priority"].decode()),
        payload=record[b"payload"].decode(),
        question=msgspec.json.decode(record[b"question"], type=Question),
        attempts=int(record[b"attempts"]),
        submitted=int(record[b"submitted"]) / 1e3,
        updated=int(record[b"updated"]) / 1e3,
        answer=record.get(b"result"),
        error=msgspec.json.decode(error, type=JobError) if error else None,
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
