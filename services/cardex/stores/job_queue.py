"""The job records in Redis: the truth about every ECG on its way.

Every change of state is one Lua script, so one atomic step, of many jobs at once where many come.
A job that is QUEUED stands in the list of its queue and owner, and owners take turns; one that is
RUNNING stands in a sorted set by the end of its lease.
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

from cardex.domain.cases import Filing
from cardex.domain.errors import (
    CardexError,
    JobNotFound,
    Overloaded,
    RequestIdReused,
    Unavailable,
)
from cardex.domain.jobs import Claim, Job, JobError, JobState, Priority, Question, QueueState
from cardex.stores.redis import mapped
from cardex.stores.scripts import NOT_REPLICATED, STORE, Argument, Scripts

logger = logging.getLogger(__name__)

PREFIX = "cardex:"
EVENTS = f"{PREFIX}events"
BACKLOG_RETRY_S = 5.0
"""After how long to come back to a full queue of which nothing ended lately."""
DRAINED = 0.05
"""Share of a full queue that should have ended before its callers come back."""
RETRY_S = (0.5, 60.0)

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


@dataclass(frozen=True)
class Submission:
    """An ECG to be made a job.

    Attributes:
        owner: name of the API key.
        priority: the queue.
        payload: the ECG's bytes, as the claim check stores them.
        question: what is asked.
        request_id: the caller's idempotency key, or "".
        trace: W3C traceparent of the call, or "".
        filing: what the ECG is to be filed as; None for nothing.
    """

    owner: str
    priority: Priority
    payload: bytes
    question: Question
    request_id: str = ""
    trace: str = ""
    filing: Filing | None = None

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
        if not submissions:
            return []
        arguments, replicas = self._submit_arguments(submissions), self.limits.replicas
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
        return [
            self._outcome(submission.priority, outcome, detail.decode(), now_ms)
            for (submission, _), outcome, detail in zip(
                submissions, reply[2::2], reply[3::2], strict=True
            )
        ]

    def _submit_arguments(
        self, submissions: Sequence[tuple[Submission, bytes | None]]
    ) -> list[Argument]:
        limits = self.limits
        arguments: list[Argument] = [
            _ms(limits.payload_ttl_s), limits.max_backlog, limits.max_backlog_per_key,
            _ms(limits.latch_s), _ms(limits.job_ttl_s), str(limits.watermark),
        ]  # fmt: skip
        for submission, answer in submissions:
            question, sha256 = msgspec.json.encode(submission.question), submission.sha256
            filing = msgspec.json.encode(submission.filing) if submission.filing else b""
            arguments += [
                secrets.token_hex(12), submission.owner, submission.priority.value, sha256,
                b"" if answer else submission.payload, question, _request_key(submission),
                hashlib.sha256(sha256.encode() + question + filing).hexdigest(), answer or b"",
                submission.trace, filing,
            ]  # fmt: skip
        return arguments

    def _outcome(
        self, priority: Priority, outcome: bytes, detail: str, now_ms: int
    ) -> Submitted | CardexError:
        limits = self.limits
        if outcome in (b"NEW", b"KNOWN"):
            return Submitted(detail, outcome == b"NEW", now_ms / 1e3)
        if outcome == b"REUSED":
            return RequestIdReused(
                "this request_id stands for another ECG, question or case: use a new one",
                field="request_id",
            )
        if outcome == b"TIGHT":
            return Overloaded(
                f"the state store is filled over {limits.watermark:.0%}, and the rest is kept for"
                " STAT: try later, or raise its maxmemory",
                reason="STORE_FULL",
                retry_after_s=_retry_after_s(limits.max_backlog_per_key, float(detail)),
            )
        own = outcome == b"OWNER_FULL"
        limit = limits.max_backlog_per_key if own else limits.max_backlog
        whose = " of this key" if own else ""
        return Overloaded(
            f"{limit} jobs{whose} wait in the {priority} queue: try later",
            reason="BACKLOG_FULL",
            retry_after_s=_retry_after_s(limit, float(detail)),
        )

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
            [priority.value, count, token, _ms(self.limits.lease_s), _ms(self.limits.latch_s),
             _ms(idle_s), share],
        )  # fmt: skip
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
        arguments: list[Argument] = [written[0][0].token, _ms(self.limits.job_ttl_s)]
        for claim, result in written:
            arguments += [claim.job.job_id, *_result_fields(result)]
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
            _ms(self.limits.job_ttl_s), *(claim.job.job_id for claim in claims),
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


def _request_key(submission: Submission) -> str:
    """Return the hash under which a request_id is kept, so that no identifier stands in a key."""
    if not submission.request_id:
        return ""
    return hashlib.sha256(f"{submission.owner}\0{submission.request_id}".encode()).hexdigest()


def claim_token() -> str:
    """Return a token that no other claim has."""
    return secrets.token_hex(8)


def _retry_after_s(limit: int, ended_per_s: float) -> float:
    """Return in how many seconds some of a full queue will have ended, as it goes of late."""
    if ended_per_s <= 0.0:
        return BACKLOG_RETRY_S
    return min(max(DRAINED * limit / ended_per_s, RETRY_S[0]), RETRY_S[1])


def _result_fields(result: bytes | JobError) -> tuple[str, Literal["result", "error"], bytes]:
    if isinstance(result, JobError):
        return JobState.FAILED.value, "error", msgspec.json.encode(result)
    return JobState.SUCCEEDED.value, "result", result


def _job(job_id: str, record: dict[bytes, bytes]) -> Job:
    error, filing = record.get(b"error"), record.get(b"filing")
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
        trace=record.get(b"trace", b"").decode(),
        filing=msgspec.json.decode(filing, type=Filing) if filing else None,
        answer=record.get(b"result"),
        error=msgspec.json.decode(error, type=JobError) if error else None,
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
