"""A call's trace goes the whole way: gateway, queue, worker, Triton, Milvus, and back."""

import pytest
from opentelemetry.sdk.trace import TracerProvider

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import JobNotFound
from cardex.telemetry import tracing
from loadtest.otlp import Receiver
from tests.helpers.real import dicom, reports
from tests.helpers.stack import build_index, dicom_ecg, running_stack, variant

STAGES = {"queue", "read", "clean", "encode", "inference", "search", "answer", "finish"}
KEYS = {
    "cardex.job_id", "cardex.queue", "cardex.attempt", "cardex.batch_size", "cardex.reason",
    "peer.service", "rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code",
}  # fmt: skip
WAIT_S = 60.0


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced(receiver, tmp_path_factory):
    """The settings of a stack whose processes send their spans to the receiver."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in receiver.environment.items():
            patch.setenv(name, value)
        with running_stack(tmp_path_factory.mktemp("traced"), routine_workers=1) as running:
            build_index(running[1], reports(200))
            yield running


@pytest.fixture
def span(monkeypatch):
    """A caller's span: what is called within it belongs to its trace."""
    tracer = TracerProvider().get_tracer("caller")
    monkeypatch.setattr(tracing, "tracer", tracer)
    with tracer.start_as_current_span("caller") as span:
        yield span


def trace_of(receiver, trace_id, names):
    def complete(spans):
        return names <= {each.name for each in spans if each.trace == trace_id}

    found = [each for each in receiver.wait_for(complete, WAIT_S) if each.trace == trace_id]
    assert names <= {each.name for each in found}
    return {each.name: each for each in found}


def id_of(span):
    return f"{span.get_span_context().trace_id:032x}"


def test_an_ecg_has_a_span_for_each_stage_in_its_callers_trace(traced, receiver, span):
    with Client.from_settings(traced[1]) as client:
        client.retrieve(variant(1))
    call = "/cardex.v1.EcgRetrievalService/Retrieve"
    found = trace_of(receiver, id_of(span), STAGES | {call, "submit", "wait", "answer job"})
    assert found[call].parent == f"{span.get_span_context().span_id:016x}"
    assert {found[name].parent for name in ("submit", "wait", "answer job", "queue")} == {
        found[call].id
    }
    assert {found[name].parent for name in STAGES - {"queue"}} == {found["answer job"].id}
    assert (found[call].service, found["search"].service) == ("cardex-gateway", "cardex-worker")
    order = [found[name].began for name in ("queue", "read", "inference", "search", "finish")]
    assert order == sorted(order)
    assert set().union(*(each.attributes for each in found.values())) <= KEYS


def test_a_refused_file_fails_its_trace_and_no_word_of_it_is_sent(traced, receiver, span):
    ecg = dicom_ecg()
    ecg.file.content = b"PATIENT MILLER " * 10
    with Client.from_settings(traced[1]) as client, pytest.raises(Exception, match="format"):
        client.retrieve(ecg)
    call = "/cardex.v1.EcgRetrievalService/Retrieve"
    found = trace_of(receiver, id_of(span), {"answer job", "finish", call})
    assert found["answer job"].failed
    assert found[call].attributes["rpc.grpc.status_code"] == "3"  # INVALID_ARGUMENT
    assert "MILLER" not in str(found)
    assert {each.words for each in found.values()} == {""}


def test_what_a_caller_says_of_itself_is_not_sent(traced, receiver, span):
    with Client.from_settings(traced[1]) as client, pytest.raises(JobNotFound):
        client.job("patient Miller")
    found = trace_of(receiver, id_of(span), {"/cardex.v1.EcgRetrievalService/GetJob"})
    (call,) = found.values()
    assert call.attributes["rpc.grpc.status_code"] == "5"  # NOT_FOUND
    assert (call.words, set(call.attributes) - KEYS) == ("", set())
    assert "Miller" not in str(found)


def test_rest_hands_the_trace_on(traced, receiver, span):
    import httpx

    headers = {"traceparent": tracing.current_trace()}
    with httpx.Client(base_url=traced[0].endpoints.web, timeout=60) as web:
        files = {"files": ("a.dcm", dicom().read_bytes())}
        assert web.post("/v1/ecgs:retrieve", files=files, headers=headers).status_code == 200
    found = trace_of(receiver, id_of(span), {"POST /v1/ecgs:retrieve", "answer job", "finish"})
    assert {each.service for each in found.values()} == {
        "cardex-web", "cardex-gateway", "cardex-worker",
    }  # fmt: skip
    assert "a.dcm" not in str(found)


def test_a_stream_is_one_span_whatever_it_holds(traced, receiver, span):
    requests = [pb.SubmitBatchRequest(item_id=str(n), ecg=variant(10 + n)) for n in range(5)]
    with Client.from_settings(traced[1]) as client:
        ids = [response.job.job_id for response in client.submit(iter(requests))]
        assert len(list(client.finished(ids, 60))) == 5
    call = "/cardex.v1.EcgRetrievalService/SubmitBatch"
    found = trace_of(receiver, id_of(span), {call})
    assert "answer job" not in found


def test_a_receiver_that_is_gone_costs_no_answer(traced, receiver, span):
    receiver._server.stop(None).wait()
    with Client.from_settings(traced[1]) as client:
        assert client.retrieve(variant(99)).answer.hits
