import threading

import grpc
import pytest

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import report_index_pb2, report_index_pb2_grpc, report_pb2
from cardex.domain.errors import VersionMismatch
from cardex.domain.reports import Report
from cardex.gateway.health import RETRIEVAL
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST, free_ports
from cardex.retrieval.dependencies import assemble
from tests.helpers.real import reports
from tests.helpers.stack import dicom_ecg, health, refusal, variant

TEXT = "entirely invented rhythm with cardexian waves in v2"


def test_every_distinct_report_is_in_the_index(index):
    info = index.GetIndex(report_index_pb2.GetIndexRequest(), timeout=10).index
    assert info.report_count == len(reports())
    assert info.create_time.seconds > 0


def test_a_text_finds_the_report_that_says_it(ecgs):
    wanted = "vorhofflimmern/-flattern lagetyp normal"
    answer = ecgs.SearchReports(pb.SearchReportsRequest(text=wanted, top_k=5), timeout=10).answer
    assert answer.hits[0].report.text == wanted
    assert answer.hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert "AFIB" in {finding.code for finding in answer.findings}


@pytest.mark.parametrize("text", ["", "   ", "x" * 2001])
def test_a_bad_text_is_refused(ecgs, text):
    found = refusal(ecgs.SearchReports, pb.SearchReportsRequest(text=text), timeout=10)
    assert (found.code, found.reason, found.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "TEXT",
        "text",
    )


def test_an_added_report_is_found_and_a_deleted_one_is_not(ecgs, index, settings):
    question = pb.RetrieveRequest(ecg=dicom_ecg())
    before = ecgs.Retrieve(question, timeout=30).answer.index_generation
    with Client.from_settings(settings) as client:
        report = Report("invented-1", TEXT, record_ids=("r1", "r2"))
        *_, last = client.upsert([report], rebuild=False)
    assert last.committed
    search = pb.SearchReportsRequest(text=TEXT, top_k=1)
    hit = ecgs.SearchReports(search, timeout=10).answer.hits[0]
    assert (hit.report.report_id, list(hit.report.record_ids)) == ("invented-1", ["r1", "r2"])
    delete = report_index_pb2.DeleteReportsRequest(report_ids=["invented-1", "never-there"])
    deleted = index.DeleteReports(delete, timeout=10)
    assert deleted.deleted == 1
    assert deleted.index.report_count == len(reports())
    assert ecgs.SearchReports(search, timeout=10).answer.hits[0].report.report_id != "invented-1"
    assert deleted.index.generation != before


@pytest.mark.parametrize(
    ("report", "field"),
    [
        (report_pb2.Report(text=""), "reports.text"),
        (report_pb2.Report(text="x" * 20_001), "reports.text"),
        (report_pb2.Report(text="fine", report_id="no spaces"), "reports.report_id"),
    ],
)
def test_a_bad_report_is_refused_and_the_index_stays(index, report, field):
    before = index.GetIndex(report_index_pb2.GetIndexRequest(), timeout=10).index
    for mode in (report_index_pb2.UPSERT_MODE_MERGE, report_index_pb2.UPSERT_MODE_REBUILD):
        request = report_index_pb2.UpsertReportsRequest(mode=mode, reports=[report])
        found = refusal(index.UpsertReports, iter([request]), timeout=30)
        assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    after = index.GetIndex(report_index_pb2.GetIndexRequest(), timeout=10).index
    assert after == before


def test_an_empty_rebuild_leaves_the_index_as_it_is(index):
    request = report_index_pb2.UpsertReportsRequest(mode=report_index_pb2.UPSERT_MODE_REBUILD)
    found = refusal(index.UpsertReports, iter([request]), timeout=30)
    assert found.reason == "INVALID_REPORT"
    info = index.GetIndex(report_index_pb2.GetIndexRequest(), timeout=10).index
    assert info.report_count == len(reports())


def test_an_index_of_another_model_is_refused_with_both_names(ecgs, channel, settings):
    parts = assemble(settings)
    right = parts.reports.current()
    wrong = parts.reports.create("cardex-of-yesterday", right.dimension)
    parts.reports._milvus.call(lambda client: client.alter_alias(wrong.name, "reports"))
    try:
        with pytest.raises(
            VersionMismatch, match=f"(?s){right.model_version}.*cardex-of-yesterday"
        ):
            assemble(settings).active_index.current_or_looked_up()
        _wait(lambda: _refused_with(ecgs, "VERSION_MISMATCH"))
        _wait(lambda: health(channel, RETRIEVAL) == "NOT_SERVING")
        found = refusal(ecgs.SubmitEcg, pb.SubmitEcgRequest(ecg=variant(20)), timeout=10)
        assert found.code == grpc.StatusCode.FAILED_PRECONDITION
        assert right.model_version in found.message
        assert "cardex-of-yesterday" in found.message
    finally:
        parts.reports._milvus.call(lambda client: client.alter_alias(right.name, "reports"))
        parts.reports.drop(wrong)
    _wait(lambda: not _refused_with(ecgs, "VERSION_MISMATCH"))
    _wait(lambda: health(channel, RETRIEVAL) == "SERVING")


def test_a_stopped_rebuild_changes_nothing(settings, index):
    before = index.GetIndex(report_index_pb2.GetIndexRequest(), timeout=10).index

    def broken():
        chunk = [report_pb2.Report(text=f"one of many {number}") for number in range(50)]
        yield report_index_pb2.UpsertReportsRequest(
            mode=report_index_pb2.UPSERT_MODE_REBUILD, reports=chunk
        )
        raise RuntimeError("the client dies")

    with pytest.raises(grpc.RpcError):
        list(index.UpsertReports(broken(), timeout=30))
    _wait(lambda: not _busy(index))
    assert index.GetIndex(report_index_pb2.GetIndexRequest(), timeout=10).index == before


@pytest.fixture
def second_gateway(stack, tmp_path):
    """Another gateway of the same deployment; yields a client of its index service."""
    first, ready, (port,) = stack.processes["gateway"], tmp_path / "ready", free_ports(1)
    own = {
        "CARDEX_GATEWAY_BIND": f"{HOST}:{port}",
        "CARDEX_GATEWAY_SOCKET": str(tmp_path / "socket"),
        "CARDEX_READY_FILE": str(ready),
    }
    part = ManagedProcess(
        "gateway", first.argv, tmp_path / "log", ready.exists, env={**first.env, **own}
    )
    part.start()
    try:
        part.wait_ready()
        with grpc.insecure_channel(f"{HOST}:{port}") as channel:
            yield report_index_pb2_grpc.ReportIndexServiceStub(channel)
    finally:
        part.stop()


def test_one_client_writes_at_a_time_over_all_gateways(index, second_gateway):
    enough = threading.Event()

    def slowly():
        reports = [report_pb2.Report(report_id="invented", text=TEXT)]
        yield report_index_pb2.UpsertReportsRequest(reports=reports)
        enough.wait(30)

    writing = index.UpsertReports(slowly(), timeout=60)
    try:
        next(writing)
        assert _busy(second_gateway)
        deletion = report_index_pb2.DeleteReportsRequest(report_ids=["invented"])
        found = refusal(second_gateway.DeleteReports, deletion, timeout=10)
        assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "INDEX_BUSY")
    finally:
        enough.set()
    assert list(writing)[-1].committed
    assert second_gateway.DeleteReports(deletion, timeout=30).deleted == 1


def _busy(index) -> bool:
    request = report_index_pb2.UpsertReportsRequest(mode=report_index_pb2.UPSERT_MODE_REBUILD)
    return refusal(index.UpsertReports, iter([request]), timeout=30).reason == "INDEX_BUSY"


def _refused_with(ecgs, reason: str) -> bool:
    try:
        ecgs.SearchReports(pb.SearchReportsRequest(text="normal"), timeout=10)
    except grpc.RpcError:
        found = refusal(ecgs.SearchReports, pb.SearchReportsRequest(text="normal"), timeout=10)
        return found.reason == reason
    return False


def _wait(condition) -> None:
    import time

    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
