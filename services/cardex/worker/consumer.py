"""Consumes a queue: takes waiting jobs, has them answered and writes their results."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cardex.api.convert.ecg import from_payload
from cardex.domain.errors import (
    CardexError,
    ConfigurationError,
    IndexMissing,
    InvalidEcg,
    Overloaded,
    PayloadExpired,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.jobs import Claim, EncodedAnswer, JobError, Priority, StageTime
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.pipeline import QueryItem, timed
from cardex.retrieval.retriever import Retriever
from cardex.stores.job_queue import JobQueue, claim_token
from cardex.worker.heartbeat import LeaseHeartbeat
from cardex.worker.metrics import BATCH_SIZE, JOBS, STAGE_SECONDS
from cardex.worker.spans import Held, record_spans

logger = logging.getLogger(__name__)

IDLE_S = 1.0
"""How long an idle worker waits for the next job before it looks whether it has to stop."""
MARGIN_S = 1.0
"""How much longer it counts as idle, so that jobs ring for it until it looks again."""

SHARES = {Priority.STAT: 1, Priority.ROUTINE: 8}
"""What share of a queue is taken at a time: the rest of an archive is left for others' threads."""

NOT_THE_ECG = (Unavailable, VersionMismatch, IndexMissing, ConfigurationError)
"""Errors of a part that is down or does not fit: the job goes back and waits."""

GO_BACK = (Overloaded, Unavailable, VersionMismatch)
"""Outcomes of a case that another client's writing, or a part, keeps from being filed for now."""

_UNFORESEEN = JobError(
    "PROCESSING_FAILED",
    "this ECG made every worker fail that tried it: see the worker's log, and send the file to us",
)

Outcome = EncodedAnswer | CardexError


class JobConsumer:
    """Takes micro-batches of one queue, in as many threads as call it."""

    def __init__(
        self,
        jobs: JobQueue,
        retriever: Retriever,
        active_index: ActiveIndex,
        batch: Mapping[Priority, int],
        *,
        linger_s: float = 0.0,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Take up to `batch` jobs of a queue at a time.

        Args:
            jobs: the job records.
            retriever: answers.
            active_index: tells whether anything can be answered now.
            batch: how many jobs at a time, by queue.
            linger_s: how long to wait for further jobs when none is left: a job that comes
                meanwhile needs no message to wake a worker.
            on_beat: called every few seconds as long as no job is stuck.
        """
        self._jobs = jobs
        self._retriever = retriever
        self._active_index = active_index
        self._batch = batch
        self._linger_s = linger_s
        self._heartbeat = LeaseHeartbeat(jobs, on_beat)
        self.stopping = threading.Event()

    def run(self, priority: Priority) -> int:
        """Answer waiting jobs until none comes any more or a part is down; returns how many.

        A batch is what waits at this moment: one ECG when the house is quiet, more under load.
        """
        taken, quiet_since, token = 0, time.monotonic(), claim_token()
        idle = False
        while not self.stopping.is_set() and self._can_answer():
            lingers = time.monotonic() - quiet_since < self._linger_s
            idle_s = IDLE_S + MARGIN_S if lingers else 0.0
            claims = self._jobs.claim(
                priority, self._batch[priority], token, idle_s, SHARES[priority]
            )
            idle = lingers and not claims
            if claims:
                taken += len(claims)
                self._answer_held(claims, priority)
                quiet_since, token = time.monotonic(), claim_token()
            elif idle:
                self._jobs.wait(priority, IDLE_S)
            else:
                break
        if idle:  # jobs that ring for this worker from now on would not be heard
            self._jobs.claim(priority, 0, token)
        return taken

    def _answer_held(self, claims: Sequence[Claim], priority: Priority) -> None:
        BATCH_SIZE.labels(priority.value).observe(len(claims))
        with self._heartbeat.hold(claims):
            self._answer(claims, Held(priority, len(claims), time.time()))

    def _can_answer(self) -> bool:
        """Ask before taking jobs, so that they wait in the queue while a part is down."""
        try:
            self._active_index.current_or_looked_up()
        except NOT_THE_ECG as error:
            logger.warning("no job is taken: %s", error.message)
            return False
        return True

    def _answer(self, claims: Sequence[Claim], held: Held) -> None:
        try:
            outcomes = self._outcomes(claims, held.priority)
        except NOT_THE_ECG as error:
            logger.warning("%d jobs go back: %s", len(claims), error.message)
            self._active_index.suspect(error)
            self._jobs.release(claims, JobError.of(error), counted=False)
        except Exception as error:
            # Unforeseen, so perhaps one ECG's doing: alone, it takes no other with it. The message
            # may quote the file, so only the place is logged.
            place = "".join(traceback.format_tb(error.__traceback__))
            logger.error(
                "a batch of %d failed: %s at\n%s", len(claims), type(error).__name__, place
            )
            if len(claims) == 1:
                self._jobs.release(claims, _UNFORESEEN, counted=True)
                return
            for claim in claims:
                self._answer([claim], held)
        else:
            back = [isinstance(outcome, GO_BACK) for outcome in outcomes]
            self._release(claims, outcomes, back)
            ended = [place for place, goes_back in enumerate(back) if not goes_back]
            self._write([claims[at] for at in ended], [outcomes[at] for at in ended], held)

    def _release(
        self, claims: Sequence[Claim], outcomes: Sequence[Outcome], back: Sequence[bool]
    ) -> None:
        """Put back what was answered and could not be filed, and leave the others alone."""
        held = [claim for claim, goes_back in zip(claims, back, strict=True) if goes_back]
        errors = [one for one in outcomes if isinstance(one, GO_BACK)]
        if held:
            logger.warning("%d cases go back: %s", len(held), errors[0].message)
            self._jobs.release(held, JobError.of(errors[0]), counted=False)

    def _outcomes(self, claims: Sequence[Claim], priority: Priority) -> list[Outcome]:
        now = time.time()
        outcomes: dict[int, Outcome] = {}
        items: dict[int, QueryItem] = {}
        for place, claim in enumerate(claims):
            job = claim.job
            try:
                payload = _present(claim.payload)
                ecg = from_payload(payload) if payload else None  # a case may have none
            except (InvalidEcg, PayloadExpired) as error:
                outcomes[place] = error
            else:
                waited = max(0.0, now - job.submitted)
                items[place] = QueryItem(
                    job.payload, ecg, job.question, waited, job.filing, job.submitted,
                    partial(self._jobs.holds, claim),
                )  # fmt: skip
        answered = self._retriever.by_ecg(list(items.values()), priority)
        outcomes.update(zip(items, answered, strict=True))
        return [outcomes[place] for place in range(len(claims))]

    def _write(self, claims: Sequence[Claim], outcomes: Sequence[Outcome], held: Held) -> None:
        results = [
            outcome.message if isinstance(outcome, EncodedAnswer) else JobError.of(outcome)
            for outcome in outcomes
        ]
        stages: dict[str, StageTime] = {}
        with timed(stages, "finish"):
            written = self._jobs.finish(zip(claims, results, strict=True))
        for claim, outcome, done in zip(claims, outcomes, written, strict=True):
            _count(claim, outcome, done, held.priority)
            record_spans(claim, outcome, held, stages["finish"])


def _present(payload: bytes | None) -> bytes:
    if payload is None:
        raise PayloadExpired(
            "the ECG waited longer than its payload is kept: submit it again, or raise"
            " CARDEX_PAYLOAD_TTL_S"
        )
    return payload


def _count(claim: Claim, outcome: Outcome, done: bool, priority: Priority) -> None:
    if not done:
        logger.info("the claim was lost, the result is dropped", extra={"job_id": claim.job.job_id})
        JOBS.labels(priority.value, "lost").inc()
    elif isinstance(outcome, EncodedAnswer):
        JOBS.labels(priority.value, "succeeded").inc()
        for stage in outcome.stages:
            STAGE_SECONDS.labels(stage.stage).observe(stage.seconds)
    else:
        logger.info("refused: %s", outcome.reason, extra={"job_id": claim.job.job_id})
        JOBS.labels(priority.value, "failed").inc()
