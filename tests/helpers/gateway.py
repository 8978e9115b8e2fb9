"""What stands behind the gateway's services in unit tests, made up."""

import asyncio
import hashlib
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from cardex.api.convert.ecg import to_payload
from cardex.api.pb.internal.v1.envelope_pb2 import EcgEnvelope
from cardex.api.pb.v1 import ecg_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.jobs import EncodedAnswer, JobState, Question
from cardex.domain.settings import Settings
from cardex.gateway.health import HealthMonitor
from cardex.gateway.keys import Principal, Scope
from cardex.gateway.submissions import SubmissionService
from cardex.retrieval.dependencies import Dependencies
from cardex.stores.submission import Submission, Submitted
from tests.helpers.fake_jobs import a_job

ICU = Principal("icu", frozenset({Scope.SUBMIT}))
ECG = ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=b"an ECG"))
SHA256 = hashlib.sha256(to_payload(ECG)).hexdigest()


def asked(**request: Any) -> EcgEnvelope:
    """Return a request as the gateway reads it."""
    sent = pb.RetrieveRequest(**{"ecg": ECG, **request}).SerializeToString()
    return EcgEnvelope.FromString(sent)


class Jobs:
    """Jobs that are made one after another, `j1` first, and end as `ends` says when one waits."""

    def __init__(self) -> None:
        self.job = a_job("j1", state=JobState.QUEUED)
        self.ends: dict[str, Any] = {}
        self.errors: list[Exception] = []
        self.known: dict[str, str] = {}
        self.units: list[int] = []
        self.submitted: list[tuple[Submission, bytes | None]] = []
        self.cancelled: list[str] = []

    def submit(self, submissions):
        self.units.append(len(submissions))
        return [self._one(*one) for one in submissions]

    def _one(self, submission, answer):
        if self.errors:
            return self.errors.pop(0)
        if submission.request_id in self.known:
            return Submitted(self.known[submission.request_id], is_new=False, at=0.0)
        self.submitted.append((submission, answer))
        return Submitted(f"j{len(self.submitted)}", is_new=True, at=0.0)

    def get(self, job_id):
        return self.job

    def find(self, job_ids):
        return [replace(self.job, job_id=job_id) for job_id in job_ids]

    def cancel(self, job_id):
        self.cancelled.append(job_id)


class Retriever:
    """Known answers by the payload's hash; `looked_up` counts the look-ups."""

    def __init__(self) -> None:
        self.known: dict[str, EncodedAnswer] = {}
        self.looked_up = 0

    def cached(self, wanted: list[tuple[str, Question]]):
        self.looked_up += 1
        return [self.known.get(sha256) for sha256, _ in wanted]


class Events:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    @contextmanager
    def ending(self, job_id):
        future = asyncio.get_running_loop().create_future()
        if self._jobs.ends:
            self._jobs.job = replace(self._jobs.job, **self._jobs.ends)
            future.set_result(None)
        yield future


class Health:
    def __init__(self) -> None:
        self.outage: Exception | None = None
        self.lasting_outage = asyncio.Event()

    def require(self):
        if self.outage is not None:
            raise self.outage


class Parts:
    """A submission service with jobs, known answers and health behind it."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.jobs, self.retriever, self.health = Jobs(), Retriever(), Health()
        self.service = service_of(settings or Settings(), self, self.health)


def service_of(settings: Settings, parts, health) -> SubmissionService:
    return SubmissionService(settings, cast(Dependencies, parts), cast(HealthMonitor, health))
