"""What became of the recordings of an archive, one by one and as a whole."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

from cardex.api.convert.jobs import error_of
from cardex.api.pb.v1 import job_pb2
from cardex.domain.errors import CardexError, JobCancelled

ANSWERED = "ANSWERED"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recording of an archive.

    Attributes:
        name: name of its file; of a WFDB record, of its header.
        answer: the answer, None where it failed.
        error: why it failed, None where it was answered.
        job_id: its job, "" where it was refused before it became one.
        path: its file's path relative to the archive's root.
    """

    name: str
    answer: job_pb2.Answer | None = None
    error: CardexError | None = None
    job_id: str = ""
    path: str = ""

    @property
    def outcome(self) -> str:
        """`ANSWERED`, or the reason why it was not."""
        return self.error.reason if self.error else ANSWERED


@dataclass(slots=True)
class Progress:
    """How far an archive is; recordings that earlier calls finished count as well.

    Attributes:
        total: recordings that were found.
        submitted: how many of them are jobs, or finished.
        answered: how many are answered.
        refused: how many were refused or failed, by reason.
        earlier: how many of the answered and refused were so before this call.
        from_cache: how many answers of this call came from the result cache.
    """

    total: int = 0
    submitted: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    earlier: int = 0
    from_cache: int = 0

    @property
    def finished(self) -> int:
        """How many recordings have an outcome."""
        return self.answered + self.refused.total()

    def count(self, outcome: str, *, earlier: bool = False, from_cache: bool = False) -> None:
        """Count one recording that has its outcome."""
        if outcome == ANSWERED:
            self.answered += 1
        else:
            self.refused[outcome] += 1
        self.earlier += earlier
        self.from_cache += from_cache


OnProgress = Callable[[Progress], None]
"""Is given the progress, at least twice a second; it is one object that goes on changing."""


def refused(path: str, error: CardexError) -> Result:
    """Return the result of a recording that became no job."""
    return Result(PurePath(path).name, error=error, path=path)


def result_of_job(path: str, job: job_pb2.Job) -> Result:
    """Return the result of a recording whose job is final."""
    name = PurePath(path).name
    if job.HasField("answer"):
        return Result(name, job.answer, None, job.job_id, path)
    if job.state == job_pb2.JOB_STATE_CANCELLED:
        cancelled = JobCancelled(f"job {job.job_id} was cancelled")
        return Result(name, None, cancelled, job.job_id, path)
    return Result(name, None, error_of(job.error), job.job_id, path)
