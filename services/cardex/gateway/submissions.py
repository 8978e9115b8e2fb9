"""Taking ECGs in: what Retrieve, SubmitEcg and SubmitBatch have in common."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

from google.protobuf.message import DecodeError

from cardex.api.convert.cases import filing_of
from cardex.api.convert.ecg import payload_of
from cardex.api.convert.jobs import priority_of, question_of
from cardex.api.pb.internal.v1.envelope_pb2 import BatchEnvelope, EcgEnvelope
from cardex.api.pb.v1 import case_pb2, ecg_retrieval_pb2
from cardex.domain.cases import Filing
from cardex.domain.errors import (
    CardexError,
    IndexMissing,
    InvalidQuestion,
    InvalidReport,
    JobNotFound,
    PermissionDenied,
    VersionMismatch,
)
from cardex.domain.jobs import MAX_REQUEST_ID, Job, JobState, Priority, Question
from cardex.domain.settings import Settings
from cardex.gateway.archives import require_archive
from cardex.gateway.health import HealthMonitor
from cardex.gateway.keys import Principal, Scope
from cardex.gateway.metrics import CACHE
from cardex.gateway.rate_limit import RateLimit, check_size
from cardex.reports.validation import validated_case
from cardex.retrieval.dependencies import Dependencies
from cardex.retrieval.question import check_question
from cardex.stores.submission import Submission, Submitted
from cardex.telemetry.tracing import archive_traces, current_trace

logger = logging.getLogger(__name__)

BEDSIDE_THREADS = 32
ARCHIVE_THREADS = 2
STREAMS_LEAVE = 0.1
"""Share of a second's submissions that streams do not take."""

Envelope = EcgEnvelope | BatchEnvelope
Taken = Job | CardexError


@dataclass(frozen=True, slots=True)
class Accepted:
    """An ECG that was taken in: its answer's bytes where these are known, else its job."""

    answer: bytes | None
    submitted: Submitted | None


class SubmissionService:
    """Checks, looks up and submits; the blocking work of one unit is one visit to a thread."""

    def __init__(
        self, settings: Settings, dependencies: Dependencies, health: HealthMonitor
    ) -> None:
        """Take ECGs in for `dependencies`."""
        self._settings = settings
        self._dependencies = dependencies
        self._health = health
        self._rate = RateLimit(settings.rate_per_s, settings.rate_total_per_s)
        # Known answers must not wait behind submissions that a hanging state store holds up, and
        # one ECG not behind the units of archives.
        self._bedside = ThreadPoolExecutor(BEDSIDE_THREADS, thread_name_prefix="bedside")
        self._archive = ThreadPoolExecutor(ARCHIVE_THREADS, thread_name_prefix="archive")

    def submission(
        self, request: Envelope, caller: Principal, default: Priority, trace: str = ""
    ) -> Submission:
        """Return what a request asks for, checked as far as no sample and no file is parsed.

        Args:
            request: the request.
            caller: who makes it.
            default: the queue where the request names none.
            trace: traceparent of the call, or "".

        Raises:
            CardexError: InvalidInput or PayloadTooLarge, with the field.
        """
        filing = _filing(request, caller)
        priority = priority_of(request.priority, default)
        if filing and priority is Priority.STAT:
            raise InvalidQuestion(
                "a case is filed as ROUTINE: nobody at the bedside waits for that",
                reason="PRIORITY",
                field="priority",
            )
        # A case without an ECG is filed for its report alone.
        payload = payload_of(request.ecg) if request.ecg or not (filing and filing.only) else b""
        check_size(payload, self._settings.max_payload_bytes)
        if len(request.request_id) > MAX_REQUEST_ID:
            raise InvalidQuestion(
                f"request_id has {len(request.request_id)} characters: at most {MAX_REQUEST_ID}",
                reason="REQUEST_ID",
                field="request_id",
            )
        return Submission(
            owner=caller.name,
            priority=priority,
            payload=payload,
            question=self.question(_question(request.question), caller),
            request_id=request.request_id,
            trace=trace,
            filing=filing,
        )

    def question(self, question: Question, caller: Principal) -> Question:
        """Return a caller's question as this house answers it; raises InvalidQuestion."""
        by = question.by or self._settings.nearness
        return replace(check_question(question), by=by, archive=caller.archive)

    def limit(self, caller: Principal) -> None:
        """Count one submission of a caller; raises Overloaded."""
        self._rate.check(caller.name)

    async def pace(self, caller: Principal) -> None:
        """Wait for the caller's turn: a stream is slowed down rather than refused.

        It leaves some of the rate to calls that nobody slows down.
        """
        while (delay := self._rate.wait_s(caller.name, STREAMS_LEAVE)) > 0.0:
            await asyncio.sleep(delay)

    async def submit_one(self, request: Envelope, caller: Principal, default: Priority) -> Job:
        """Make an ECG a job, answered at once where the answer is known.

        Raises:
            CardexError: InvalidInput, PayloadTooLarge, RequestIdReused, Overloaded, Unavailable, or
                what does not fit together.
        """
        running = asyncio.get_running_loop()
        (taken,) = await running.run_in_executor(
            self._bedside, self.take, [request], caller, default, repeat(current_trace())
        )
        if isinstance(taken, CardexError):
            raise taken
        return taken

    async def submit_unit(self, unit: Sequence[Envelope], caller: Principal) -> list[Taken]:
        """Make ECGs of an archive jobs, all at once.

        Returns:
            For each its job, or why there is none: what `submit_one` raises.
        """
        running = asyncio.get_running_loop()
        return await running.run_in_executor(
            self._archive, self.take, unit, caller, Priority.ROUTINE, archive_traces()
        )

    def begin(self, request: Envelope, caller: Principal) -> "asyncio.Future[Accepted]":
        """Begin to take in an ECG that somebody waits for.

        It ends even if the caller goes away, and fails as `submit_one`, or because a part is down.
        """
        running = asyncio.get_running_loop()
        return running.run_in_executor(
            self._bedside, self._accept, request, caller, current_trace()
        )

    def take(
        self,
        requests: Sequence[Envelope],
        caller: Principal,
        default: Priority,
        traces: Iterable[str],
    ) -> list[Taken]:
        """Check, look up and submit requests: one look-up of known answers, one durable step."""
        taken: dict[int, Taken] = {}
        submissions: dict[int, Submission] = {}
        for place, (request, trace) in enumerate(zip(requests, traces, strict=False)):
            try:
                submissions[place] = self.submission(request, caller, default, trace)
            except CardexError as error:
                taken[place] = error
        try:
            self._submit(submissions, taken)
        except CardexError as error:  # the state store: nothing of this unit was stored
            taken |= {place: error for place in submissions if place not in taken}
        return [taken[place] for place in range(len(requests))]

    def _submit(self, submissions: dict[int, Submission], taken: dict[int, Taken]) -> None:
        answers = dict(zip(submissions, self._known(list(submissions.values())), strict=True))
        unknown = [place for place, answer in answers.items() if answer is None]
        if unknown and (error := self._cannot_end()):
            taken |= dict.fromkeys(unknown, error)
        asked = {place: one for place, one in submissions.items() if place not in taken}
        outcomes = self._dependencies.jobs.submit([(one, answers[at]) for at, one in asked.items()])
        known = {}
        for (place, one), outcome in zip(asked.items(), outcomes, strict=True):
            if isinstance(outcome, CardexError):
                taken[place] = outcome
            elif outcome.is_new:
                taken[place] = _new_job(one, outcome, answers[place])
            else:
                known[place] = outcome.job_id
        for place, job in zip(
            known, self._dependencies.jobs.find(list(known.values())), strict=True
        ):
            taken[place] = job or JobNotFound(
                "the job of this request_id has just expired: try again"
            )

    def _known(self, submissions: Sequence[Submission]) -> list[bytes | None]:
        """Return the answers that the cache has."""
        asked = [(one.sha256, one.question) for one in submissions]
        found = self._dependencies.retriever.cached(asked)
        # What is to be filed has to come to a worker.
        found = [
            None if one.filing else answer for one, answer in zip(submissions, found, strict=True)
        ]
        hits = sum(answer is not None for answer in found)
        CACHE.labels("hit").inc(hits)
        CACHE.labels("miss").inc(len(found) - hits)
        return [answer.message if answer else None for answer in found]

    def _cannot_end(self) -> CardexError | None:
        """A part that is down comes back and the job waits; a mismatch needs the operator."""
        try:
            self._health.require()
        except (VersionMismatch, IndexMissing) as error:
            return error
        except CardexError as error:
            logger.debug("the job will wait: %s", error.reason)
        return None

    def _accept(self, request: Envelope, caller: Principal, trace: str) -> Accepted:
        submission = self.submission(request, caller, Priority.STAT, trace)
        (answer,) = self._known([submission])
        if answer is not None:
            return Accepted(answer, None)
        self._health.require()
        (outcome,) = self._dependencies.jobs.submit([(submission, None)])
        if isinstance(outcome, CardexError):
            raise outcome
        return Accepted(None, outcome)


def _question(message: bytes) -> Question:
    try:
        return question_of(ecg_retrieval_pb2.Question.FromString(message))
    except DecodeError as error:
        raise InvalidQuestion(
            "the question is no cardex.v1.Question message", reason="QUESTION", field="question"
        ) from error


def _filing(request: Envelope, caller: Principal) -> Filing | None:
    """Return what an ECG of a batch is to be filed as, checked.

    Raises:
        InvalidReport: naming the field at fault.
        PermissionDenied: if the caller may not write the index, or names another's archive.
    """
    if isinstance(request, EcgEnvelope) or not request.HasField("file_as"):
        return None
    if not caller.may(frozenset({Scope.INDEX})):
        raise PermissionDenied(
            f"key {caller.name!r} lacks the scope index, which file_as needs", field="file_as"
        )
    try:
        message = case_pb2.FileAs.FromString(request.file_as)
    except DecodeError as error:
        raise InvalidReport(
            "file_as is no cardex.v1.FileAs message", reason="FILE_AS", field="file_as"
        ) from error
    filing = filing_of(message, caller.archive)
    case = validated_case(filing.case)
    require_archive(caller, case.case_id)
    return replace(filing, case=case)


def _new_job(submission: Submission, submitted: Submitted, answer: bytes | None) -> Job:
    return Job(
        job_id=submitted.job_id,
        owner=submission.owner,
        state=JobState.QUEUED if answer is None else JobState.SUCCEEDED,
        priority=submission.priority,
        payload=submission.sha256,
        question=submission.question,
        attempts=0,
        submitted=submitted.at,
        updated=submitted.at,
        answer=answer,
    )
