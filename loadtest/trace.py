"""`make trace`: one real ECG's trace from the caller to the last stage, as file and picture."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from opentelemetry import trace

from cardex.api.client import ecg_of_files
from cardex.api.recordings import recordings
from cardex.telemetry.tracing import start_tracing, tracer
from loadtest.house import house
from loadtest.otlp import Receiver, Span

DOCS = Path(__file__).parents[1] / "docs"
PICTURE, FILE = DOCS / "pictures" / "trace.svg", DOCS / "pictures" / "trace.json"
LAST = "finish"
WAIT_S = 30.0
REPORTS = 2_000
COLOURS = {"cardex-cart": "0.6", "cardex-gateway": "tab:blue", "cardex-worker": "tab:green"}


def traced(spans: Sequence[Span], trace_id: str) -> list[Span]:
    """Return the spans of one trace in the order of a walk from its root, children by begin."""
    own = [span for span in spans if span.trace == trace_id]
    ids = {span.id for span in own}

    def below(parent: str) -> list[Span]:
        return [each for span in own if span.parent == parent for each in (span, *below(span.id))]

    return [each for span in own if span.parent not in ids for each in (span, *below(span.id))]


def measure() -> list[Span]:
    """Trace one real ECG through a stack; returns its spans."""
    with Receiver() as receiver:
        os.environ.update(receiver.environment)
        start_tracing("cart")
        with house(REPORTS) as own:
            own.warm_up()
            ecgs = [ecg_of_files(files) for files in recordings(own.data.cpsc)]
            own.client.retrieve(ecgs[0])  # what a first file needs is imported then
            with tracer.start_as_current_span("bedside ECG") as span:
                trace_id = f"{span.get_span_context().trace_id:032x}"
                own.client.retrieve(ecgs[1])
        provider = trace.get_tracer_provider()
        provider.force_flush()  # type: ignore[attr-defined]
        return traced(receiver.wait_for(lambda spans: _whole(spans, trace_id), WAIT_S), trace_id)


def _whole(spans: Sequence[Span], trace_id: str) -> bool:
    names = {span.name for span in spans if span.trace == trace_id}
    return {"bedside ECG", LAST} <= names


def draw(spans: Sequence[Span], path: Path) -> None:
    """Draw each span as a bar over time, in milliseconds from the first."""
    mpl.rcParams["svg.hashsalt"] = "cardex"
    figure = Figure(figsize=(9.0, 0.32 * len(spans) + 0.8), layout="constrained")
    axes = figure.subplots()
    start = min(span.began for span in spans)
    for row, span in enumerate(spans):
        left, width = 1000 * (span.began - start), 1000 * (span.ended - span.began)
        axes.barh(row, width, left=left, color=COLOURS[span.service], height=0.7)
        axes.annotate(f"{width:.1f} ms", (left + width, row), xytext=(3, 0), va="center",
                      textcoords="offset points", fontsize="small")  # fmt: skip
    names = [f"{span.name} ({span.service.removeprefix('cardex-')})" for span in spans]
    axes.set(yticks=range(len(spans)), yticklabels=names, xlabel="ms")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.margins(x=0.12)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Trace one ECG; keep its spans, and draw them."""
    spans = measure()
    FILE.write_text(json.dumps([asdict(span) for span in spans], indent=1) + "\n")
    draw(spans, PICTURE)
    for span in spans:
        print(f"{1000 * (span.ended - span.began):8.2f} ms  {span.service:15} {span.name}")
    print(f"kept: {FILE}, {PICTURE}")


if __name__ == "__main__":
    main()
