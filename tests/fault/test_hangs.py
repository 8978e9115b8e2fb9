"""Parts hang, and clients vanish without a word: nobody else waits for them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import job_pb2, report_index_pb2, report_index_pb2_grpc, report_pb2
from tests.fault.test_kills import (
    _health,
    ecgs,
    held,
    leases,
    running,
    settings,
    stack,
    wait_final,
)
from tests.helpers.stack import Refusal, refusal, variant
from tests.helpers.waiting import until

__all__ = ["ecgs", "leases", "running", "settings", "stack"]


def test_a_milvus_that_hangs_stalls_no_known_answer(stack, settings, ecgs):
    known = pb.RetrieveRequest(ecg=variant(6000))
    ecgs.Retrieve(known, timeout=30)
    with held(stack, "milvus"):
        for _ in range(50):
            assert ecgs.Retrieve(known, timeout=10).answer.from_cache
        while _health(settings) == "SERVING":
            assert ecgs.Retrieve(known, timeout=10).answer.from_cache
        found = refusal(ecgs.Retrieve, pb.RetrieveRequest(ecg=variant(6001)), timeout=30)
        assert found.code == grpc.StatusCode.UNAVAILABLE
        job = ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=variant(6002)), timeout=20).job
        assert job.state == job_pb2.JOB_STATE_QUEUED
        assert ecgs.Retrieve(known, timeout=10).answer.from_cache
    assert wait_final(stack, settings, [job.job_id]) == {"SUCCEEDED": 1}
    until(lambda: _health(settings) == "SERVING")


def test_a_triton_that_hangs_stalls_no_known_answer(stack, settings, ecgs):
    known = pb.RetrieveRequest(ecg=variant(6010))
    ecgs.Retrieve(known, timeout=30)
    with held(stack, "triton"):
        until(lambda: _health(settings) == "NOT_SERVING")
        assert ecgs.Retrieve(known, timeout=10).answer.from_cache
        job = ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=variant(6011)), timeout=20).job
    assert wait_final(stack, settings, [job.job_id]) == {"SUCCEEDED": 1}
    until(lambda: _health(settings) == "SERVING")


class Line:
    """A connection to the gateway that can be cut without either side being told."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._cut = threading.Event()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._door.getsockname()[1]}"
        self.sockets: list[socket.socket] = [self._door]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut.set()

    def _accept(self) -> None:
        near, _ = self._door.accept()
        far = socket.create_connection((self._host, self._port))
        self.sockets += [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            if self._cut.is_set():
                return
            sink.sendall(data)


@contextmanager
def line_to(target: str) -> Iterator[Line]:
    line = Line(target)
    try:
        yield line
    finally:
        for one in line.sockets:
            one.close()


def upsert(channel: grpc.Channel, go_on: threading.Event | None = None):
    """Send one report, and the end of the stream only when told to."""

    def requests():
        report = report_pb2.Report(report_id="vanishing", text="sinus rhythm of one who vanishes")
        yield report_index_pb2.UpsertReportsRequest(reports=[report])
        if go_on is not None:
            go_on.wait(120)

    return report_index_pb2_grpc.ReportIndexServiceStub(channel).UpsertReports(requests())


def test_a_client_that_vanishes_keeps_others_from_the_index_for_seconds_only(stack):
    go_on = threading.Event()
    with line_to(stack.gateway_bind) as line, grpc.insecure_channel(line.address) as gone:
        writing = upsert(gone, go_on)
        assert next(writing).stored == 1
        line.cut()
        with grpc.insecure_channel(stack.gateway_bind) as other:
            assert _busy(other)
            until(lambda: not _busy(other))
        go_on.set()
        writing.cancel()


def _busy(channel: grpc.Channel) -> bool:
    try:
        list(upsert(channel))
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        assert Refusal(error).reason == "INDEX_BUSY"
        return True
    return False
