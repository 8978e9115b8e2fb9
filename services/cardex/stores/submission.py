"""ECGs that are to be made jobs, as `submit.lua` takes them, and what it says became of them."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from cardex.domain.cases import Filing
from cardex.domain.errors import CardexError, Overloaded, RequestIdReused
from cardex.domain.jobs import Priority, Question
from cardex.stores.job_limits import JobLimits
from cardex.stores.scripts import Argument, milliseconds

BACKLOG_RETRY_S = 5.0
"""After how long to come back to a full queue of which nothing ended lately."""
DRAINED = 0.05
"""Share of a full queue that should have ended before its callers come back."""
RETRY_S = (0.5, 60.0)


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


def submit_arguments(
    submissions: Sequence[tuple[Submission, bytes | None]], limits: JobLimits
) -> list[Argument]:
    """Return what `submit.lua` is called with: the limits, and eleven arguments for each job.

    Args:
        submissions: each with its encoded answer where that is known already.
        limits: how long and how much.
    """
    arguments: list[Argument] = [
        milliseconds(limits.payload_ttl_s), limits.max_backlog, limits.max_backlog_per_key,
        milliseconds(limits.latch_s), milliseconds(limits.job_ttl_s), str(limits.watermark),
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


def outcome_of(
    reply: tuple[bytes, bytes], priority: Priority, now_ms: int, limits: JobLimits
) -> Submitted | CardexError:
    """Return what became of a submission.

    Args:
        reply: what `submit.lua` says of it: a word, and the job's id or what ends each second.
        priority: its queue.
        now_ms: the store's clock, in milliseconds of Unix time.
        limits: those that the script was called with.
    """
    outcome, detail = reply
    if outcome in (b"NEW", b"KNOWN"):
        return Submitted(detail.decode(), outcome == b"NEW", now_ms / 1e3)
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


def _request_key(submission: Submission) -> str:
    """Return the hash under which a request_id is kept, so that no identifier stands in a key."""
    if not submission.request_id:
        return ""
    return hashlib.sha256(f"{submission.owner}\0{submission.request_id}".encode()).hexdigest()


def _retry_after_s(limit: int, ended_per_s: float) -> float:
    """Return in how many seconds some of a full queue will have ended, as it goes of late."""
    if ended_per_s <= 0.0:
        return BACKLOG_RETRY_S
    return min(max(DRAINED * limit / ended_per_s, RETRY_S[0]), RETRY_S[1])
