"""Jobs, answers and questions."""

from dataclasses import replace

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from cardex.api.convert.cases import NEARNESS, filter_message, filter_of, nearness_of
from cardex.api.convert.quality import quality_message, warning_messages
from cardex.api.convert.reports import (
    draft_message,
    finding_message,
    hit_message,
    prediction_message,
)
from cardex.api.convert.traces import trace_message
from cardex.api.pb.internal.v1 import envelope_pb2
from cardex.api.pb.v1 import case_pb2, ecg_retrieval_pb2, job_pb2
from cardex.domain.errors import CardexError, InvalidQuestion
from cardex.domain.jobs import (
    DEFAULT_TOP_K,
    Answer,
    EncodedAnswer,
    Job,
    JobError,
    JobState,
    Priority,
    Question,
    StageTime,
)

_STATES = {
    JobState.QUEUED: job_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: job_pb2.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: job_pb2.JOB_STATE_SUCCEEDED,
    JobState.FAILED: job_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: job_pb2.JOB_STATE_CANCELLED,
}
PRIORITIES = {
    Priority.ROUTINE: job_pb2.PRIORITY_ROUTINE,
    Priority.STAT: job_pb2.PRIORITY_STAT,
}

_FROM_CACHE = job_pb2.Answer(from_cache=True).SerializeToString()


def question_of(
    message: ecg_retrieval_pb2.Question | ecg_retrieval_pb2.SearchReportsRequest,
) -> Question:
    """Translate a question, or the same fields of a search by text, unchecked.

    Raises:
        InvalidQuestion: if a number stands for no kind of nearness or no sex.
    """
    question = Question(
        top_k=message.top_k if message.HasField("top_k") else DEFAULT_TOP_K,
        by=nearness_of(message.by),
        filter=filter_of(message.filter) if message.HasField("filter") else None,
    )
    if isinstance(message, ecg_retrieval_pb2.SearchReportsRequest):
        return question
    return replace(question, rerank=message.rerank, trace=message.trace)


def question_message(question: Question) -> ecg_retrieval_pb2.Question:
    """Translate a question."""
    return ecg_retrieval_pb2.Question(
        top_k=question.top_k,
        rerank=question.rerank,
        by=NEARNESS[question.by] if question.by else case_pb2.NEARNESS_UNSPECIFIED,
        filter=filter_message(question.filter) if question.filter else None,
        trace=question.trace,
    )


def priority_of(value: int, default: Priority) -> Priority:
    """Translate a priority.

    Raises:
        InvalidQuestion: if the number stands for none.
    """
    if value == job_pb2.PRIORITY_UNSPECIFIED:
        return default
    for priority, number in PRIORITIES.items():
        if number == value:
            return priority
    raise InvalidQuestion(
        f"priority {value}: must be ROUTINE or STAT", reason="PRIORITY", field="priority"
    )


def job_envelope(job: Job, *, with_answer: bool = True) -> envelope_pb2.JobEnvelope:
    """Translate a job; its answer stays the bytes that it is stored as."""
    return envelope_pb2.JobEnvelope(
        job_id=job.job_id,
        state=_STATES[job.state],
        priority=PRIORITIES[job.priority],
        attempts=job.attempts,
        submit_time=_timestamp(job.submitted),
        update_time=_timestamp(job.updated),
        answer=job.answer if with_answer else None,
        error=error_message(job.error.to_error()).SerializeToString() if job.error else None,
    )


def error_message(error: CardexError) -> job_pb2.JobError:
    """Translate why a job failed."""
    return job_pb2.JobError(
        reason=error.reason,
        message=error.message,
        field=error.field,
        code=grpc.StatusCode[error.grpc_code].value[0],
        http_status=error.http_status,
        kind=type(error).__name__,
    )


def error_of(message: job_pb2.JobError) -> CardexError:
    """Return the error that a message tells, with its class."""
    return JobError(message.reason, message.message, message.field, message.kind).to_error()


def encode_answer(answer: Answer) -> EncodedAnswer:
    """Encode an answer once, in the form in which it is stored, cached and sent."""
    return EncodedAnswer(answer_message(answer).SerializeToString(), answer.stages)


def decode_answer(message: bytes) -> job_pb2.Answer:
    """Return the message behind its bytes.

    Raises:
        DecodeError: if the bytes are no answer.
    """
    return job_pb2.Answer.FromString(message)


def from_cache(message: bytes) -> EncodedAnswer | None:
    """Return a stored answer, marked as coming from the cache; None where it cannot be read."""
    # Of two values of one field, a parser takes the last: so a flag is added without decoding.
    marked = message + _FROM_CACHE
    try:
        decode_answer(marked)
    except DecodeError:
        return None
    return EncodedAnswer(marked)


def filed_answer(
    answer: EncodedAnswer, case_id: str, stages: tuple[StageTime, ...]
) -> EncodedAnswer:
    """Add to an encoded answer what its ECG was filed as, and how long that took."""
    more = job_pb2.Answer(case_id=case_id, stages=map(_stage_message, stages))
    return EncodedAnswer(answer.message + more.SerializeToString(), (*answer.stages, *stages))


def answer_message(answer: Answer) -> job_pb2.Answer:
    """Translate an answer."""
    return job_pb2.Answer(
        disclaimer=answer.disclaimer,
        hits=[hit_message(hit) for hit in answer.hits],
        findings=[finding_message(finding) for finding in answer.findings],
        model_version=answer.model_version,
        index_name=answer.index_name,
        index_generation=answer.index_generation,
        stages=map(_stage_message, answer.stages),
        signal_quality=quality_message(answer.quality) if answer.quality else None,
        warnings=warning_messages(answer.quality) if answer.quality else (),
        predictions=[prediction_message(prediction) for prediction in answer.predictions],
        draft=draft_message(answer.draft) if answer.draft else None,
        by=NEARNESS[answer.by],
        trace=trace_message(answer.trace) if answer.trace else None,
        filter=filter_message(answer.filter) if answer.filter else None,
    )


def _stage_message(stage: StageTime) -> job_pb2.StageTime:
    return job_pb2.StageTime(stage=stage.stage, duration=_duration(stage.seconds))


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(int(seconds * 1e6))
    return duration


def _timestamp(seconds: float) -> bytes:
    whole, part = divmod(round(seconds * 1000), 1000)
    return Timestamp(seconds=whole, nanos=part * 1_000_000).SerializeToString()
