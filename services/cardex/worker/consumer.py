"""What a wake-up sets off: take jobs from a queue until it is empty."""

import logging
import threading
import time
import traceback
from collections.abc import Mapping, Sequence

from cardex.api.convert.ecg import from_payload
from cardex.domain.errors import (
    CardexError,
    ConfigurationError,
    IndexMissing,
    InvalidEcg,
    PayloadExpired,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.jobs import Answer, Claim, JobError, Priority
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.pipeline import QueryItem
from cardex.retrieval.retriever import Retriever
from cardex.stores.broker import Doorbell
from cardex.stores.job_queue import JobQueue
from cardex.worker.heartbeat import LeaseHeartbeat
from cardex.worker.metrics import BATCH_SIZE, JOBS, STAGE_SECONDS

logger = logging.getLogger(__name__)

NOT_THE_ECG = (Unavailable, VersionMismatch, IndexMissing, ConfigurationError)
"""Errors of a part that is down or does not fit: the job goes back and waits."""

_UNFORESEEN = JobError(
    "PROCESSING_FAILED",
    "this ECG made every worker fail that tried it: see the worker's log, and send the file to us",
)

Outcome = Answer | CardexError


class JobConsumer:
    """Takes micro-batches of one queue, in as many threads as call it."""

    def __init__(
        self,
        jobs: JobQueue,
        retriever: Retriever,
        catalogue: ActiveIndex,
        doorbell: Doorbell,
        batch: Mapping[Priority, int],
    ) -> None:
        """Take up to `batch` jobs at a time."""
        self._jobs = jobs
        self._retriever = retriever
        self._catalogue = catalogue
        self._doorbell = doorbell
        self._batch = batch
        self._leases = LeaseHeartbeat(jobs)
        self.stopping = threading.Event()

    def run(self, priority: Priority) -> int:
        """Answer waiting jobs until none is left or a part is down; returns how many were taken.

        A batch is what waits at this moment: one ECG when the house is quiet, more under load.
        """
        taken = 0
        while not self.stopping.is_set() and self._can_answer():
            claimed = self._jobs.claim(priority, self._batch[priority])
            if claimed.wake:
                self._ring(priority)
            if not claimed.claims:
                break
            taken += len(claimed.claims)
            BATCH_SIZE.labels(priority.value).observe(len(claimed.claims))
            with self._leases.hold(claimed.claims):
                self._answer(claimed.claims, priority)
        return taken

    def _can_answer(self) -> bool:
        """Ask before taking jobs, so that they wait in the queue while a part is down."""
        try:
            self._catalogue.current()
        except NOT_THE_ECG as error:
            logger.warning("no job is taken: %s", error.message)
            return False
        return True

    def _ring(self, priority: Priority) -> None:
        try:
            self._doorbell.ring(priority)
        except Unavailable as error:
            logger.warning("%s; the sweeper will ring", error.message)

    def _answer(self, claims: Sequence[Claim], priority: Priority) -> None:
        try:
            outcomes = self._outcomes(claims, priority)
        except NOT_THE_ECG as error:
            logger.warning("%d jobs go back: %s", len(claims), error.message)
            self._catalogue.forget()
            self._jobs.give_back(claims, JobError.of(error), counted=False)
        except Exception as error:
            # Unforeseen, so perhaps one ECG's doing: alone, it takes no other with it. The message may
            # quote the file, so only the place is logged.
            place = "".join(traceback.format_tb(error.__traceback__))
            logger.error(
                "a batch of %d failed: %s at\n%s", len(claims), type(error).__name__, place
            )
            if len(claims) == 1:
                self._jobs.give_back(claims, _UNFORESEEN, counted=True)
                return
            for claim in claims:
                self._answer([claim], priority)
        else:
            self._write(claims, outcomes, priority)

    def _outcomes(self, claims: Sequence[Claim], priority: Priority) -> list[Outcome]:
        now = time.time()
        outcomes: dict[int, Outcome] = {}
        asked: dict[int, QueryItem] = {}
        payloads = self._jobs.payloads([claim.job for claim in claims])
        for place, (claim, payload) in enumerate(zip(claims, payloads, strict=True)):
            job = claim.job
            try:
                ecg = from_payload(_present(payload))
            except (InvalidEcg, PayloadExpired) as error:
                outcomes[place] = error
            else:
                asked[place] = QueryItem(
                    job.payload, ecg, job.question, max(0.0, now - job.submitted)
                )
        answered = self._retriever.by_ecg(list(asked.values()), priority)
        outcomes.update(zip(asked, answered, strict=True))
        return [outcomes[place] for place in range(len(claims))]

    def _write(
        self, claims: Sequence[Claim], outcomes: Sequence[Outcome], priority: Priority
    ) -> None:
        results = [
            outcome if isinstance(outcome, Answer) else JobError.of(outcome) for outcome in outcomes
        ]
        written = self._jobs.finish(zip(claims, results, strict=True))
        for claim, result, done in zip(claims, results, written, strict=True):
            _count(claim, result, done, priority)


def _present(payload: bytes | None) -> bytes:
    if payload is None:
        raise PayloadExpired(
            "the ECG waited longer than its payload is kept: submit it again, or raise"
            " CARDEX_PAYLOAD_TTL_S"
        )
    return payload


def _count(claim: Claim, result: Answer | JobError, done: bool, priority: Priority) -> None:
    if not done:
        logger.info("the claim was lost, the result is dropped", extra={"job_id": claim.job.job_id})
        JOBS.labels(priority.value, "lost").inc()
    elif isinstance(result, Answer):
        JOBS.labels(priority.value, "succeeded").inc()
        for stage in result.stages:
            STAGE_SECONDS.labels(stage.stage).observe(stage.seconds)
    else:
        logger.info("refused: %s", result.reason, extra={"job_id": claim.job.job_id})
        JOBS.labels(priority.value, "failed").inc()
