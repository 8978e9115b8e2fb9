import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from cardex.telemetry import tracing
from cardex.telemetry.tracing import (
    archive_traces,
    context_of,
    current_trace,
    tracing_wanted,
)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def recorded(monkeypatch):
    """Spans are recorded, by a provider of this test's own."""
    monkeypatch.setattr(tracing, "tracer", TracerProvider().get_tracer("test"))
    return tracing.tracer


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_sent_where_the_environment_says(monkeypatch, variables, wanted):
    for name in (*tracing.ENDPOINTS, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing_wanted() is wanted


def test_without_a_span_there_is_no_trace():
    assert current_trace() == ""


def test_the_trace_of_a_span_is_its_traceparent(recorded):
    with recorded.start_as_current_span("call", context=context_of(TRACEPARENT)) as span:
        found = current_trace()
    assert found.split("-")[1] == TRACEPARENT.split("-")[1]
    assert found.split("-")[2] == f"{span.get_span_context().span_id:016x}"


def test_a_caller_who_does_not_record_gets_no_spans(recorded):
    unsampled = TRACEPARENT[:-2] + "00"
    with recorded.start_as_current_span("call", context=context_of(unsampled)):
        assert current_trace() == ""


@pytest.mark.parametrize("rubbish", ["", "no trace", "00-0-0-01", "00-" + "g" * 32 + "-0-01"])
def test_rubbish_is_no_trace(rubbish):
    assert not trace.get_current_span(context_of(rubbish)).get_span_context().is_valid


def test_few_ecgs_of_an_archive_have_a_trace_and_each_its_own(recorded, monkeypatch):
    monkeypatch.setattr(tracing, "ARCHIVE_SHARE", 0.25)
    with recorded.start_as_current_span("stream") as stream:
        traces = archive_traces()
    found = [next(traces) for _ in range(400)]
    own = [each for each in found if each]
    assert 40 < len(own) < 180
    assert len({each.split("-")[1] for each in own}) == len(own)
    assert f"{stream.get_span_context().trace_id:032x}" not in {e.split("-")[1] for e in own}


def test_an_archive_of_a_stream_without_a_span_has_no_trace(recorded):
    traces = archive_traces()
    assert [next(traces) for _ in range(3)] == ["", "", ""]
