"""Jobs and answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cardex.domain.cases import CaseFilter, Filing, Nearness
from cardex.domain.errors import ERRORS, CardexError, JobFailed
from cardex.domain.index import Hit
from cardex.domain.quality import SignalQuality
from cardex.domain.reports import Draft, Finding, Prediction
from cardex.domain.trace import Trace

DISCLAIMER = "RESEARCH USE ONLY"
MAX_TOP_K = 100
DEFAULT_TOP_K = 10
MIN_RERANK, MAX_RERANK = 2, 128
MAX_TEXT = 2_000
"""Characters of a text that is asked about."""
MAX_REQUEST_ID = 128
SHOWN_RECORD_IDS = 20


class JobState(StrEnum):
    """State of a job; it ends in exactly one of the last three."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """True where no further change can come."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Priority(StrEnum):
    """Queue of a job."""

    STAT = "stat"
    ROUTINE = "routine"


@dataclass(frozen=True, slots=True)
class Question:
    """What to do with an ECG.

    Attributes:
        top_k: how many reports to return, 1 to 100.
        rerank: how many of the nearest the matcher puts in order first, 2 to 128; 0 for none.
        by: what nearness means; None where the caller leaves it to this house.
        filter: which cases may be found; None for all.
        trace: whether the answer is to hold the ECG itself.
        archive: whose cases the caller may see; "" for those of all.
    """

    top_k: int = DEFAULT_TOP_K
    rerank: int = 0
    by: Nearness | None = None
    filter: CaseFilter | None = None
    trace: bool = False
    archive: str = ""


@dataclass(frozen=True, slots=True)
class StageTime:
    """Seconds that one stage took, and when it began, in Unix seconds; 0 where nobody knows."""

    stage: str
    seconds: float
    began: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What Cardex found for one question.

    Attributes:
        hits: the most similar reports, nearest first; after re-ranking, the best match first.
        findings: statements that the hits agree on.
        model_version: version of the model behind question and index.
        index_name: the collection that was searched.
        index_generation: generation of its contents.
        stages: time of each stage, in order.
        disclaimer: always `DISCLAIMER`.
        quality: how far the signal can be trusted; None where a text was asked about.
        predictions: probable statements, the most probable first; empty where a text was asked
            about or the model came without calibrated statements.
        draft: what the hits agree on, as a report; None where a text was asked about, or no hit is
            similar.
        by: what nearness meant.
        trace: the ECG itself, where the question wants it.
        filter: which cases could be found; None where all could.
    """

    hits: tuple[Hit, ...]
    findings: tuple[Finding, ...]
    model_version: str
    index_name: str
    index_generation: str
    stages: tuple[StageTime, ...] = ()
    disclaimer: str = DISCLAIMER
    quality: SignalQuality | None = None
    predictions: tuple[Prediction, ...] = ()
    draft: Draft | None = None
    by: Nearness = Nearness.REPORT
    trace: Trace | None = None
    filter: CaseFilter | None = None


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, as its record keeps it.

    Attributes:
        reason: stable reason, as in `CardexError`.
        message: what is wrong and what to do.
        field: the field at fault, or "".
        kind: name of the class in the error tree.
    """

    reason: str
    message: str
    field: str = ""
    kind: str = JobFailed.__name__

    @classmethod
    def of(cls, error: CardexError) -> "JobError":
        """Return the record of an error."""
        return cls(error.reason, error.message, error.field, type(error).__name__)

    def to_error(self) -> CardexError:
        """Return the error with the class that it had; of an unknown class, `JobFailed`."""
        kind = ERRORS.get(self.kind, JobFailed)
        return kind(self.message, reason=self.reason, field=self.field)


@dataclass(frozen=True, slots=True)
class Job:
    """The record of one ECG on its way; times are Unix seconds.

    Attributes:
        job_id: id given at submission.
        owner: name of the API key that submitted it.
        state: where it stands.
        priority: its queue.
        payload: SHA-256 of the ECG's bytes, the claim check.
        question: what is asked.
        attempts: how often a worker began it.
        submitted: when it became durable.
        updated: when its state last changed.
        trace: W3C traceparent under which its spans go; "" for none.
        filing: what it is to be filed as; None for nothing.
        answer: once SUCCEEDED: the contract's `Answer` message, serialized.
        error: once FAILED.
    """

    job_id: str
    owner: str
    state: JobState
    priority: Priority
    payload: str
    question: Question
    attempts: int
    submitted: float
    updated: float
    trace: str = ""
    filing: Filing | None = None
    answer: bytes | None = field(default=None, repr=False)
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """An answer in the one form in which it is stored, cached and sent.

    Attributes:
        message: the contract's `Answer` message, serialized.
        stages: time of each stage that ran for it now, that of writing it too; empty where the
            cache had it.
    """

    message: bytes = field(repr=False)
    stages: tuple[StageTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in a worker's hands.

    Attributes:
        job: the job, RUNNING.
        token: proves the claim; a result under an older token is refused.
        payload: the ECG's bytes; None where they have expired.
    """

    job: Job
    token: str
    payload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue now.

    Attributes:
        priority: which.
        depth: jobs that wait.
        oldest_age_s: how long the oldest of them has waited, in seconds.
        running: jobs that a worker holds.
        waiting: jobs that wait, by owner.
    """

    priority: Priority
    depth: int
    oldest_age_s: float
    running: int
    waiting: Mapping[str, int] = field(default_factory=dict)
