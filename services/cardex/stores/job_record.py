"""A job as the hash in Redis that is its record."""

from typing import Literal

import msgspec

from cardex.domain.cases import Filing
from cardex.domain.jobs import Job, JobError, JobState, Priority, Question


def result_fields(result: bytes | JobError) -> tuple[str, Literal["result", "error"], bytes]:
    """Return the state that a result makes, the field that it goes into, and its bytes."""
    if isinstance(result, JobError):
        return JobState.FAILED.value, "error", msgspec.json.encode(result)
    return JobState.SUCCEEDED.value, "result", result


def job_of(job_id: str, record: dict[bytes, bytes]) -> Job:
    """Return the job that a record tells of."""
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
