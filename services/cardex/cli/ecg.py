"""What the commands do that talk to a gateway: index, submit, search."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cardex.api.client import GatewayClient, ecg_of_files
from cardex.api.convert.jobs import question_message
from cardex.api.pb.v1 import ecg_retrieval_pb2, job_pb2, report_index_pb2
from cardex.api.recordings import recordings
from cardex.cli.render import as_dict, show_answer
from cardex.domain.errors import CardexError, InvalidEcg
from cardex.domain.jobs import Question
from cardex.domain.reports import Report
from cardex.reports.csv import read_reports
from cardex.reports.ptbxl import distinct_reports

FINISH_TIMEOUT_S = 24 * 3600.0


def progress_bar(console: Console) -> Progress:
    """Return the bar that every long command shows."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console,
    )  # fmt: skip


def run_index(
    client: GatewayClient,
    ptbxl: Path | None,
    reports: Path | None,
    *,
    merge: bool,
    as_json: bool,
    console: Console,
) -> None:
    """Send the reports of a folder or CSV, and print the index they became."""
    with client:
        found = distinct_reports(ptbxl) if ptbxl else read_reports(reports or Path())
        info = index_reports(client, found, merge=merge, console=console)
    if as_json:
        print(json.dumps(as_dict(info), indent=2))
    else:
        console.print(f"{info.report_count} reports in {info.name}, model {info.model_version}")


def index_reports(
    client: GatewayClient, reports: Sequence[Report], *, merge: bool, console: Console
) -> report_index_pb2.IndexInfo:
    """Send reports behind a progress bar; returns the index."""
    records = sum(report.record_count for report in reports)
    label = f"indexing {len(reports)} distinct reports of {records} records"
    with progress_bar(console) as progress:
        task = progress.add_task(label, total=len(reports))
        for update in client.upsert(reports, rebuild=not merge):
            progress.update(task, completed=update.stored)
    return update.index


def run_submit(
    client: GatewayClient,
    paths: Sequence[Path],
    question: Question,
    *,
    stat: bool,
    as_json: bool,
    console: Console,
) -> int:
    """Submit recordings and print their answers; returns how many failed."""
    try:
        found = list(recordings(paths))
    except FileNotFoundError as error:
        raise InvalidEcg(f"{error} does not exist", field="path") from error
    if not found:
        raise InvalidEcg("no ECG file there", field="path")
    failed = 0
    with client:
        ask = ask_one_by_one if stat else ask_as_batch
        results = ask(client, found, question, console)
        for name, outcome in results:
            failed += isinstance(outcome, CardexError)
            _print(name, outcome, as_json)
    if failed:
        console.print(f"{failed} of {len(found)} recordings failed")
    return failed


Result = tuple[str, job_pb2.Answer | CardexError]


def ask_one_by_one(
    client: GatewayClient,
    found: Sequence[Sequence[Path]],
    question: Question,
    console: Console,
) -> Iterator[Result]:
    """Retrieve each recording as STAT."""
    for files in found:
        try:
            ecg = ecg_of_files(files)
            response = client.retrieve(ecg, question)
            yield files[0].name, response.answer
        except CardexError as error:
            yield files[0].name, error


def ask_as_batch(
    client: GatewayClient,
    found: Sequence[Sequence[Path]],
    question: Question,
    console: Console,
) -> Iterator[Result]:
    """Submit all recordings as one routine stream, then yield each answer when it is there."""
    unreadable: list[Result] = []

    def requests() -> Iterator[ecg_retrieval_pb2.SubmitBatchRequest]:
        for number, files in enumerate(found):
            try:
                ecg = ecg_of_files(files)
            except CardexError as error:
                unreadable.append((files[0].name, error))
            else:
                yield ecg_retrieval_pb2.SubmitBatchRequest(
                    item_id=str(number), ecg=ecg, question=question_message(question)
                )

    names: dict[str, list[str]] = {}
    with progress_bar(console) as progress:
        task = progress.add_task("submitting", total=len(found))
        for response in client.submit(requests()):
            progress.advance(task)
            name = found[int(response.item_id)][0].name
            if response.HasField("error"):
                yield name, _error(response.error)
            else:
                names.setdefault(response.job.job_id, []).append(name)
        task = progress.add_task("answering", total=len(names))
        for job in client.finished(list(names), FINISH_TIMEOUT_S):
            progress.advance(task)
            outcome = job.answer if job.HasField("answer") else _error(job.error)
            yield from ((name, outcome) for name in names[job.job_id])
    yield from unreadable


def _error(error: job_pb2.JobError) -> CardexError:
    return CardexError(error.message, reason=error.reason, field=error.field)


def _print(name: str, outcome: job_pb2.Answer | CardexError, as_json: bool) -> None:
    if as_json:
        body = (
            {
                "error": {
                    "reason": outcome.reason,
                    "message": outcome.message,
                    "field": outcome.field,
                }
            }
            if isinstance(outcome, CardexError)
            else {"answer": as_dict(outcome)}
        )
        print(json.dumps({"file": name, **body}), flush=True)
    elif isinstance(outcome, CardexError):
        Console(highlight=False).print(f"{name}: {outcome.reason}: {outcome.message}", markup=False)
    else:
        show_answer(Console(highlight=False), name, outcome)


def run_search(client: GatewayClient, text: str, top_k: int, *, as_json: bool) -> None:
    """Print the reports nearest to a text."""
    with client:
        answer = client.search(text, top_k)
    if as_json:
        print(json.dumps(as_dict(answer), indent=2))
    else:
        show_answer(Console(highlight=False), text, answer, shown=top_k)
