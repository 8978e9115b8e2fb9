"""The spans of a job: one for its time in this worker, below it one for each stage.

A micro-batch goes its way together, and each of its jobs may have a trace of its own. So spans are
made when the job has ended, of the times that its answer has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from cardex.domain.errors import CardexError
from cardex.domain.jobs import Claim, EncodedAnswer, Priority, StageTime
from cardex.telemetry.tracing import context_of, tracer

CALLS = {"inference": "triton", "rerank": "triton", "search": "milvus"}
"""Stages that are calls of another part; a small index is searched in the worker's memory."""


@dataclass(frozen=True, slots=True)
class Held:
    """A micro-batch in this worker's hands.

    Attributes:
        priority: its queue.
        size: how many jobs it has.
        since: when it was taken, in Unix seconds.
    """

    priority: Priority
    size: int
    since: float


def record_spans(
    claim: Claim, outcome: EncodedAnswer | CardexError, held: Held, finish: StageTime
) -> None:
    """Make the spans of a job that has a trace.

    Args:
        claim: the job.
        outcome: its answer or error.
        held: its micro-batch.
        finish: the writing of its result, which ends it.
    """
    if not claim.job.trace:
        return
    end = finish.began + finish.seconds
    span = tracer.start_span(
        "answer job",
        context=context_of(claim.job.trace),
        kind=SpanKind.CONSUMER,
        attributes=_attributes(claim, held),
        start_time=_ns(held.since),
    )
    if isinstance(outcome, CardexError):
        span.set_attribute("cardex.reason", outcome.reason)
        span.set_status(Status(StatusCode.ERROR, outcome.reason))
    _record_stages([*_stages(outcome), finish], claim.job.trace, set_span_in_context(span))
    span.end(_ns(end))


def _record_stages(stages: Sequence[StageTime], trace: str, own: Context) -> None:
    for stage in stages:
        waited = stage.stage == "queue"  # before this worker had it
        part = CALLS.get(stage.stage)
        span = tracer.start_span(
            stage.stage,
            context=context_of(trace) if waited else own,
            kind=SpanKind.CLIENT if part else SpanKind.INTERNAL,
            attributes={"peer.service": part} if part else None,
            start_time=_ns(stage.began),
        )
        span.end(_ns(stage.began + stage.seconds))


def _stages(outcome: EncodedAnswer | CardexError) -> Sequence[StageTime]:
    return () if isinstance(outcome, CardexError) else outcome.stages


def _attributes(claim: Claim, held: Held) -> dict[str, AttributeValue]:
    return {
        "cardex.job_id": claim.job.job_id,
        "cardex.queue": held.priority.value,
        "cardex.attempt": claim.job.attempts,
        "cardex.batch_size": held.size,
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
