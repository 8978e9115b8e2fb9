"""A gateway in this process for the client's tests: it takes ECGs, answers them and can break."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from cardex.api.client import Client
from cardex.api.convert.jobs import error_message
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import ecg_retrieval_pb2_grpc, job_pb2
from cardex.api.status import status_of
from cardex.domain.errors import CardexError, JobNotFound

MAX_PAYLOAD = 100_000


class FakeGateway(ecg_retrieval_pb2_grpc.EcgRetrievalServiceServicer):
    """Keeps jobs in memory by their request_id.

    Attributes:
        refuse: is given the content of an ECG; what it returns is the item's error.
        fail: is given the content of an ECG; what it returns is the job's error.
        broken: is given the number of requests so far; what it returns ends the stream.
        answering: while it is not set, jobs wait.
        contents: content of each job.
        requests: how many items came.
    """

    def __init__(self) -> None:
        self.refuse: Callable[[bytes], CardexError | None] = lambda content: None
        self.fail: Callable[[bytes], CardexError | None] = lambda content: None
        self.broken: Callable[[int], CardexError | None] = lambda count: None
        self.answering = threading.Event()
        self.answering.set()
        self.contents: dict[str, bytes] = {}
        self.requests = 0
        self.asked: list[tuple[int, int]] = []
        self._ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def GetServerInfo(self, request, context):
        return pb.GetServerInfoResponse(limits=pb.Limits(max_payload_bytes=MAX_PAYLOAD))

    def Retrieve(self, request, context):
        self.asked.append((request.question.top_k, request.question.rerank))
        refusal = self.refuse(request.ecg.file.content)
        if refusal:
            context.abort_with_status(status_of(refusal))
        answer = job_pb2.Answer(model_version=request.ecg.file.content.decode())
        return pb.RetrieveResponse(answer=answer, job_id="stat")

    def SubmitBatch(self, request_iterator, context):
        for request in request_iterator:
            with self._lock:
                self.requests += 1
                self.asked.append((request.question.top_k, request.question.rerank))
                job_id = self._ids.setdefault(request.request_id, f"job-{len(self._ids)}")
                refusal = self.refuse(request.ecg.file.content)
                if refusal is None:
                    self.contents[job_id] = request.ecg.file.content
                breakage = self.broken(self.requests)
            if breakage:
                context.abort_with_status(status_of(breakage))
            if refusal:
                yield pb.SubmitBatchResponse(item_id=request.item_id, error=error_message(refusal))
            else:
                job = job_pb2.Job(job_id=job_id, state="JOB_STATE_QUEUED")
                yield pb.SubmitBatchResponse(item_id=request.item_id, job=job)

    def WatchJobs(self, request, context):
        missing = [job_id for job_id in request.job_ids if job_id not in self.contents]
        if missing:
            context.abort_with_status(status_of(JobNotFound(f"no job {missing[0]}")))
        yield from (
            pb.WatchJobsResponse(job=job_pb2.Job(job_id=job_id, state="JOB_STATE_QUEUED"))
            for job_id in request.job_ids
        )
        while not self.answering.wait(0.02):
            if not context.is_active():
                return
        for job_id in request.job_ids:
            yield pb.WatchJobsResponse(job=self._final(job_id))

    def GetJob(self, request, context):
        if request.job_id not in self.contents:
            context.abort_with_status(status_of(JobNotFound(f"no job {request.job_id}")))
        return pb.GetJobResponse(job=self._final(request.job_id))

    def _final(self, job_id: str) -> job_pb2.Job:
        error = self.fail(self.contents[job_id])
        if error:
            message = error_message(error)
            return job_pb2.Job(job_id=job_id, state="JOB_STATE_FAILED", error=message)
        answer = job_pb2.Answer(model_version=self.contents[job_id].decode())
        return job_pb2.Job(job_id=job_id, state="JOB_STATE_SUCCEEDED", answer=answer)

    def forget(self) -> None:
        """Let all jobs expire."""
        with self._lock:
            self.contents.clear()
            self._ids.clear()


class FakeServer:
    """Serves a `FakeGateway` on one port, as often as it is started."""

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self.port = 0
        self._server: grpc.Server | None = None

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        ecg_retrieval_pb2_grpc.add_EcgRetrievalServiceServicer_to_server(self.gateway, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.stop(0).wait()


@contextmanager
def fake_server() -> Iterator[tuple[FakeServer, Client]]:
    """Serve a fake gateway; yields it with a client."""
    server = FakeServer(FakeGateway())
    server.start()
    try:
        with Client(f"127.0.0.1:{server.port}") as client:
            yield server, client
    finally:
        server.stop()
