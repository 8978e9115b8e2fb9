"""Answers on a terminal."""

from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, Group
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cardex.api.pb.v1 import job_pb2, report_pb2


def progress_bar(console: Console) -> Progress:
    """Return the bar that every long command shows."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console,
    )  # fmt: skip


def as_dict(message: Message) -> dict[str, object]:
    """Return a message as plain values, names as in the contract."""
    return MessageToDict(message, preserving_proto_field_name=True)


def show_answer(console: Console, title: str, answer: job_pb2.Answer, shown: int = 3) -> None:
    """Print the nearest reports, what they and the model say, the warnings and the stage times."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    for hit in answer.hits[:shown]:
        bearers = _nearest_case(hit) if hit.cases else _bearers(hit.report)
        table.add_row(f"{hit.rank}", _score(hit), Text(hit.report.text), bearers)
    lines = [Text(f"findings  {_findings(answer.findings)}")]
    if answer.predictions:
        lines.append(Text(f"probable  {_predictions(answer.predictions)}"))
    if answer.HasField("draft"):
        sentences = " ".join(sentence.text for sentence in answer.draft.sentences)
        lines.append(Text(f"draft     {sentences} [{answer.draft.label}]"))
    if answer.HasField("signal_quality"):
        lines.append(Text(f"signal    {_quality(answer.signal_quality)}"))
    lines += [Text(f"warning   {w.message} {' '.join(w.leads)}", "yellow") for w in answer.warnings]
    lines.append(Text(f"{'cached' if answer.from_cache else 'times':<9} {_stages(answer)}", "dim"))
    console.print(Text(title, "bold"))
    console.print(Padding(Group(table, *lines), (0, 0, 1, 2)))


def _score(hit: report_pb2.Hit) -> str:
    match = f" match {hit.match:+.1f}" if hit.HasField("match") else ""
    return f"{hit.score:.3f}{match}"


def _nearest_case(hit: report_pb2.Hit) -> Text:
    """Return the nearest case: who it was, and how alike its ECG is."""
    case, more = hit.cases[0], hit.report.record_count - 1
    known = [
        f"case {case.case_id}",
        {report_pb2.SEX_FEMALE: "F", report_pb2.SEX_MALE: "M"}.get(case.sex, ""),
        str(case.age) if case.HasField("age") else "",
        f"ECG {case.similarity:.3f}" if case.HasField("similarity") else "",
        f"and {more} more" if more > 0 else "",
    ]
    return Text(" ".join(filter(None, known)), "dim", no_wrap=True)


def _bearers(report: report_pb2.Report) -> Text:
    first = ", ".join(report.record_ids[:2])
    more = report.record_count - len(report.record_ids[:2])
    return Text(f"ECG {first}{f' and {more} more' if more > 0 else ''}", "dim", no_wrap=True)


def _findings(findings: Sequence[report_pb2.Finding]) -> str:
    return ", ".join(f"{f.description or f.code} {f.share:.0%}" for f in findings) or "none agreed"


def _predictions(predictions: Sequence[report_pb2.Prediction]) -> str:
    return ", ".join(f"{p.description or p.code} {p.probability:.0%}" for p in predictions)


def _quality(quality: job_pb2.SignalQuality) -> str:
    rate = f", {quality.heart_rate_bpm:.0f}/min" if quality.HasField("heart_rate_bpm") else ""
    return f"quality {quality.index:.2f}{rate}"


def _stages(answer: job_pb2.Answer) -> str:
    stages = ((s.stage, s.duration.ToTimedelta().total_seconds() * 1000) for s in answer.stages)
    return " ".join(f"{stage} {milliseconds:.1f} ms" for stage, milliseconds in stages)
