import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from cardex.domain.errors import InvalidEcg
from cardex.domain.jobs import Claim, EncodedAnswer, Job, JobState, Priority, Question, StageTime
from cardex.worker import spans
from cardex.worker.spans import Held, record_spans

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HELD = Held(Priority.STAT, 3, since=100.0)
FINISH = StageTime("finish", 0.5, began=102.0)
ANSWER = EncodedAnswer(
    b"answer",
    (StageTime("queue", 2.0, 98.0), StageTime("read", 0.25, 100.0),
     StageTime("inference", 0.5, 101.0)),
)  # fmt: skip


@pytest.fixture
def recorded(monkeypatch):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "tracer", provider.get_tracer("test"))
    return lambda: {span.name: span for span in exporter.get_finished_spans()}


def claim(trace: str = f"00-{TRACE}-{CALLER}-01") -> Claim:
    job = Job(
        "j1", "icu", JobState.RUNNING, Priority.STAT, "sha", Question(), 1, 98.0, 100.0, trace
    )
    return Claim(job, "token", b"ecg")


def test_a_job_has_a_span_for_each_stage_below_its_callers(recorded):
    record_spans(claim(), ANSWER, HELD, FINISH)
    found = recorded()
    assert set(found) == {"answer job", "queue", "read", "inference", "finish"}
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {TRACE}
    own = found["answer job"].context.span_id
    below = {name: span.parent.span_id for name, span in found.items()}
    caller = int(CALLER, 16)
    assert below == {
        "answer job": caller, "queue": caller, "read": own, "inference": own, "finish": own,
    }  # fmt: skip


def test_spans_have_the_times_of_their_stages(recorded):
    record_spans(claim(), ANSWER, HELD, FINISH)
    times = {name: (s.start_time / 1e9, s.end_time / 1e9) for name, s in recorded().items()}
    assert times == {
        "queue": (98.0, 100.0),
        "answer job": (100.0, 102.5),
        "read": (100.0, 100.25),
        "inference": (101.0, 101.5),
        "finish": (102.0, 102.5),
    }


def test_a_span_tells_of_the_job_and_nothing_of_the_patient(recorded):
    record_spans(claim(), ANSWER, HELD, FINISH)
    assert dict(recorded()["answer job"].attributes) == {
        "cardex.job_id": "j1", "cardex.queue": "stat", "cardex.attempt": 1, "cardex.batch_size": 3,
    }  # fmt: skip
    assert dict(recorded()["inference"].attributes) == {"peer.service": "triton"}


def test_an_ecg_that_is_refused_has_a_span_with_the_reason(recorded):
    error = InvalidEcg("the file of patient X is empty", reason="EMPTY", field="ecg")
    record_spans(claim(), error, HELD, FINISH)
    span = recorded()["answer job"]
    assert span.status.status_code is StatusCode.ERROR
    assert "patient" not in span.to_json()
    assert span.attributes["cardex.reason"] == "EMPTY"


def test_a_job_without_a_trace_has_no_spans(recorded):
    record_spans(claim(""), ANSWER, HELD, FINISH)
    assert recorded() == {}
