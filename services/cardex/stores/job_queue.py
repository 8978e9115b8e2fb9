"""The job records in Redis: the truth about every ECG on its way.

Every change of state is one Lua script, so one atomic step. A job that is QUEUED stands in its
queue's list; one that is RUNNING stands in a sorted set by the end of its lease.
"""

import hashlib
import secrets
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal, cast

import msgspec
import redis as redis_py

from cardex.domain.errors import JobNotFound, Overloaded, RequestIdReused
from cardex.domain.jobs import (
    Answer,
    Claim,
    Job,
    JobError,
    JobState,
    Priority,
    Question,
    QueueState,
)
from cardex.stores.redis import mapped

PREFIX = "cardex:"
EVENTS = f"{PREFIX}events"
BACKLOG_RETRY_S = 5.0

_LOST_WORKER = JobError(
    "ATTEMPTS_EXHAUSTED",
    "every worker that began this ECG died or gave up: look at the worker's log, then submit it again",
)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How long and how much.

    Attributes:
        max_backlog: jobs that may wait in one queue.
        max_attempts: how often a job is begun before it is given up.
        lease_s: after this without a sign of life a worker has lost its job.
        latch_s: after this a wake-up that nobody took counts as lost.
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
        """The claim check."""
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True, slots=True)
class Submitted:
    """Outcome of a submission.

    Attributes:
        job_id: the job.
        is_new: False where the request_id had made it before.
        wake: True for the one caller that has to wake a worker.
        at: Unix seconds, by the store's clock.
    """

    job_id: str
    is_new: bool
    wake: bool
    at: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """Jobs in a worker's hands; `wake` asks it to wake another worker for the rest."""

    claims: tuple[Claim, ...]
    wake: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did to one queue."""

    requeued: int
    failed: int
    wake: bool


class JobQueue:
    """Jobs, their payloads and their queues in the state Redis."""

    def __init__(self, client: redis_py.Redis, limits: JobLimits) -> None:
        """Use `client`; scripts are loaded on first use."""
        self._client = client
        self.limits = limits
        self._submit = self._script("submit", "")
        self._claim = self._script("claim")
        self._finish = self._script("finish")
        self._give_back = self._script("give_back")
        self._cancel = self._script("cancel")
        self._extend = self._script("extend")
        self._sweep = self._script("sweep")

    def _script(self, name: str, flags: str = " flags=allow-oom") -> Any:  # noqa: ANN401
        # Only a submission may be refused for lack of memory: work in hand must always end.
        folder = files("cardex.stores") / "lua"
        body = (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()
        return self._client.register_script(f"#!lua{flags}\n{body}")

    def ping(self) -> None:
        """Check that the store answers.

        Raises:
            Unavailable: if it does not.
        """
        with mapped("the state store"):
            self._client.ping()

    def submit(self, submission: Submission, answer: Answer | None = None) -> Submitted:
        """Make a job, or find the one that this request_id made before.

        Payload, record and queue entry are one atomic step: when this returns, the job is durable.

        Args:
            submission: the ECG and its question.
            answer: the answer, where it is known already; the job is then SUCCEEDED at once.

        Raises:
            RequestIdReused: if the request_id stands for another ECG or question.
            Overloaded: if the queue is full or the store out of memory; nothing was stored.
            Unavailable: if the store is down.
        """
        question = msgspec.json.encode(submission.question)
        sha256 = submission.sha256
        fingerprint = hashlib.sha256(sha256.encode() + question).hexdigest()
        with mapped("the state store"):
            outcome, job_id, wake, now_ms = self._submit(
                args=[
                    secrets.token_hex(12), submission.owner, submission.priority.value, sha256,
                    b"" if answer else submission.payload, _ms(self.limits.payload_ttl_s), question,
                    _request_key(submission), fingerprint, self.limits.max_backlog,
                    _ms(self.limits.latch_s), _ms(self.limits.job_ttl_s),
                    packed(answer) if answer else b"",
                ]
            )  # fmt: skip
        if outcome == b"REUSED":
            raise RequestIdReused(
                "this request_id stands for another ECG or question: use a new one",
                field="request_id",
            )
        if outcome == b"FULL":
            raise Overloaded(
                f"{self.limits.max_backlog} jobs wait in the {submission.priority} queue: try later",
                reason="BACKLOG_FULL",
                retry_after_s=BACKLOG_RETRY_S,
            )
        return Submitted(job_id.decode(), outcome == b"NEW", bool(wake), now_ms / 1e3)

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
        with mapped("the state store"), self._client.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hgetall(f"{PREFIX}job:{job_id}")
            records = pipeline.execute()
        return [
            _job(job_id, record)
            if record and (owner is None or record[b"owner"].decode() == owner)
            else None
            for job_id, record in zip(job_ids, records, strict=True)
        ]

    def payloads(self, jobs: Sequence[Job]) -> list[bytes | None]:
        """Return the bytes behind each job's claim check; None where they have expired."""
        with mapped("the state store"):
            stored = self._client.mget([f"{PREFIX}payload:{job.payload}" for job in jobs])
        return cast("list[bytes | None]", stored)

    def claim(self, priority: Priority, count: int) -> Claimed:
        """Take up to `count` waiting jobs; they are RUNNING until finished or the lease ends."""
        token = secrets.token_hex(8)
        with mapped("the state store"):
            wake, *rest = self._claim(
                args=[priority.value, count, token, _ms(self.limits.lease_s),
                      _ms(self.limits.latch_s)]
            )  # fmt: skip
        claims = tuple(
            Claim(_job(job_id.decode(), dict(zip(pairs[::2], pairs[1::2], strict=True))), token)
            for job_id, pairs in zip(rest[::2], rest[1::2], strict=True)
        )
        return Claimed(claims, bool(wake))

    def finish(self, results: Iterable[tuple[Claim, Answer | JobError]]) -> list[bool]:
        """Write results; False where the claim was lost and the result is dropped."""
        ttl = _ms(self.limits.job_ttl_s)
        return [
            bool(done)
            for done in self._pipelined(
                self._finish,
                (
                    [claim.job.job_id, claim.token, *_result_fields(result), ttl]
                    for claim, result in results
                ),
            )
        ]

    def give_back(self, claims: Iterable[Claim], error: JobError, *, counted: bool) -> list[str]:
        """Return jobs to their queue.

        Args:
            claims: the jobs.
            error: the reason; it is the job's end where the attempt was its last.
            counted: False where a part was down and the ECG is not at fault.

        Returns:
            The new state of each, "" where the claim was lost.
        """
        stored = msgspec.json.encode(error)
        limits = self.limits
        return [
            state.decode()
            for state in self._pipelined(
                self._give_back,
                (
                    [claim.job.job_id, claim.token, int(counted), limits.max_attempts, stored,
                     _ms(limits.job_ttl_s)]
                    for claim in claims
                ),
            )
        ]  # fmt: skip

    def _pipelined(self, script: Any, calls: Iterable[list[Any]]) -> list[Any]:  # noqa: ANN401
        with mapped("the state store"), self._client.pipeline(transaction=False) as pipeline:
            for args in calls:
                script(args=args, client=pipeline)
            return pipeline.execute()

    def extend(self, claims: Sequence[Claim]) -> None:
        """Give live claims of one token a new lease."""
        if claims:
            ids = [claim.job.job_id for claim in claims]
            with mapped("the state store"):
                self._extend(args=[claims[0].token, _ms(self.limits.lease_s), *ids])

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Cancel a job that is not final, and return it as it is now.

        Raises:
            JobNotFound: if there is no such job of this owner.
        """
        self.get(job_id, owner)
        with mapped("the state store"):
            self._cancel(args=[job_id, _ms(self.limits.job_ttl_s)])
        return self.get(job_id, owner)

    def sweep(self, priority: Priority) -> Swept:
        """Take back jobs whose worker died, and say whether a worker has to be woken."""
        limits = self.limits
        with mapped("the state store"):
            requeued, failed, wake = self._sweep(
                args=[priority.value, limits.max_attempts, msgspec.json.encode(_LOST_WORKER),
                      _ms(limits.job_ttl_s), _ms(limits.latch_s)]
            )  # fmt: skip
        return Swept(requeued, failed, bool(wake))

    def queue(self, priority: Priority) -> QueueState:
        """Return depth, age and running jobs of one queue."""
        key = f"{PREFIX}queue:{priority.value}"
        with mapped("the state store"):
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


def packed(answer: Answer) -> bytes:
    """Return the stored form of an answer: JSON, deflated to about a fifth."""
    return zlib.compress(msgspec.json.encode(answer), 1)


def unpacked(stored: bytes) -> Answer:
    """Return the answer behind its stored form."""
    return msgspec.json.decode(zlib.decompress(stored), type=Answer)


def _request_key(submission: Submission) -> str:
    """Return the hash under which a request_id is kept, so that no identifier stands in a key."""
    if not submission.request_id:
        return ""
    return hashlib.sha256(f"{submission.owner}\0{submission.request_id}".encode()).hexdigest()


def _result_fields(result: Answer | JobError) -> tuple[str, Literal["answer", "error"], bytes]:
    if isinstance(result, Answer):
        return JobState.SUCCEEDED.value, "answer", packed(result)
    return JobState.FAILED.value, "error", msgspec.json.encode(result)


def _job(job_id: str, record: dict[bytes, bytes]) -> Job:
    answer, error = record.get(b"answer"), record.get(b"error")
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
        answer=unpacked(answer) if answer else None,
        error=msgspec.json.decode(error, type=JobError) if error else None,
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
