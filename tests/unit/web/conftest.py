"""A gateway that answers by the key alone, and the web process before it."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from cardex.api.pb.v1 import case_pb2, ecg_retrieval_pb2_grpc, job_pb2, report_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.status import status_of
from cardex.domain.errors import JobNotFound, Unauthenticated, Unavailable
from cardex.domain.settings import Settings
from cardex.signals.image_spec import ImageSpec
from cardex.web.main import WebServer
from tests.helpers.web import running_web, serving

KEY = "cdx_of-this-test"
SPEC = ImageSpec()


class Gateway(ecg_retrieval_pb2_grpc.EcgRetrievalServiceServicer):
    """Keeps what it was asked, and answers what a test can tell apart.

    Attributes:
        keys: that it knows; empty where it needs none.
        asked: every request that it let in.
        image_spec_json: of its server's information.
        going_on: while it is not set, watched jobs are not final.
        broken: what ends a watch in the midst.
        cancelled: set when a watch was cancelled by its caller.
    """

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.asked: list[object] = []
        self.image_spec_json = SPEC.to_json()
        self.going_on = threading.Event()
        self.going_on.set()
        self.broken: Unavailable | None = None
        self.cancelled = threading.Event()

    def _let_in(self, request, context):
        metadata = {item.key: item.value for item in context.invocation_metadata()}
        key = metadata.get("authorization", "").removeprefix("Bearer ")
        if self.keys and key not in self.keys:
            context.abort_with_status(status_of(Unauthenticated("no such key")))
        self.asked.append(request)

    def GetServerInfo(self, request, context):
        self._let_in(request, context)
        return pb.GetServerInfoResponse(
            by="NEARNESS_BOTH", image_spec_json=self.image_spec_json, version="0"
        )

    def Retrieve(self, request, context):
        self._let_in(request, context)
        return pb.RetrieveResponse(answer=job_pb2.Answer(by=request.question.by), job_id="1")

    def SubmitEcg(self, request, context):
        self._let_in(request, context)
        return pb.SubmitEcgResponse(job=job_pb2.Job(job_id="1", priority=request.priority))

    def SearchReports(self, request, context):
        self._let_in(request, context)
        return pb.SearchReportsResponse(answer=job_pb2.Answer(by=request.by))

    def GetCase(self, request, context):
        self._let_in(request, context)
        return case_pb2.GetCaseResponse(case=report_pb2.Case(case_id=request.case_id))

    def GetJob(self, request, context):
        self._let_in(request, context)
        return pb.GetJobResponse(job=job_pb2.Job(job_id=request.job_id))

    def WatchJobs(self, request, context):
        self._let_in(request, context)
        context.add_callback(self.cancelled.set)
        if "unknown" in request.job_ids:
            context.abort_with_status(status_of(JobNotFound("no such job", field="job_ids")))
        jobs = [job_pb2.Job(job_id=name, state="JOB_STATE_QUEUED") for name in request.job_ids]
        yield pb.WatchJobsResponse(jobs=jobs, cursor="1-0")
        while not self.going_on.wait(0.02):
            if not context.is_active():
                return
        if self.broken:
            context.abort_with_status(status_of(self.broken))
        for job in jobs:
            job.state = job_pb2.JOB_STATE_SUCCEEDED
            if request.with_answers:
                job.answer.model_version = "made up"
        yield pb.WatchJobsResponse(jobs=jobs, cursor="2-0")


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "page"
    (folder / "icons").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Cardex</title>")
    (folder / "app.js").write_text("export {};\n")
    (folder / "icons" / "heart.svg").write_text("<svg/>")
    (folder / ".hidden.js").write_text("secret")
    (folder / "notes.md").write_text("secret")
    (tmp_path / "secret.js").write_text("secret")
    return folder


@pytest.fixture
def served(gateway, page, tmp_path) -> Iterator[tuple[httpx.Client, WebServer]]:
    with serving(gateway) as target:
        settings = Settings(gateway_target=target, data_dir=tmp_path / "data_dir")
        with running_web(settings, page) as found:
            yield found


@pytest.fixture
def web(served) -> httpx.Client:
    return served[0]


def refused(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, reason and field of a refusal."""
    error = response.json()["error"]
    return response.status_code, error["reason"], error["field"]
