"""What `cardex submit` and `cardex search` do."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from cardex.api.client import Client, Result, ecg_of_files
from cardex.api.recordings import recordings
from cardex.cli.render import as_dict, progress_bar, show_answer
from cardex.domain.errors import CardexError, InvalidEcg
from cardex.domain.jobs import Question


def run_submit(
    client: Client,
    paths: Sequence[Path],
    question: Question,
    *,
    stat: bool,
    as_json: bool,
    console: Console,
) -> int:
    """Submit recordings and print their answers; returns how many failed."""
    count = failed = 0
    with client:
        ask = ask_one_by_one if stat else ask_as_batch
        for result in ask(client, paths, question, console):
            count += 1
            failed += result.error is not None
            _print(result, as_json)
    if failed:
        console.print(f"{failed} of {count} recordings failed")
    return failed


def ask_one_by_one(
    client: Client, paths: Sequence[Path], question: Question, console: Console
) -> Iterator[Result]:
    """Retrieve each recording as STAT."""
    try:
        found = list(recordings(paths))
    except FileNotFoundError as error:
        raise InvalidEcg(f"{error.filename} does not exist", field="path") from error
    if not found:
        raise InvalidEcg("no ECG file there", field="path")
    for files in found:
        try:
            response = client.retrieve(ecg_of_files(files), question)
            yield Result(files[0].name, response.answer, None, response.job_id)
        except CardexError as error:
            yield Result(files[0].name, error=error)


def ask_as_batch(
    client: Client, paths: Sequence[Path], question: Question, console: Console
) -> Iterator[Result]:
    """Submit all recordings as one routine stream, behind a progress bar."""
    with progress_bar(console) as progress:
        tasks = {
            step: progress.add_task(step, total=None, start=False)
            for step in ("submitted", "answered")
        }

        def show(step: str, done: int, total: int) -> None:
            progress.start_task(tasks[step])
            progress.update(tasks[step], completed=done, total=total)

        yield from client.submit_folder(*paths, question=question, on_progress=show)


def _print(result: Result, as_json: bool) -> None:
    if as_json:
        body = {"answer": as_dict(result.answer)} if result.answer else {}
        if error := result.error:
            body = {
                "error": {"reason": error.reason, "message": error.message, "field": error.field}
            }
        print(json.dumps({"file": result.name, **body}), flush=True)
    elif result.error:
        words = f"{result.name}: {result.error.reason}: {result.error.message}"
        Console(highlight=False).print(words, markup=False)
    elif result.answer:
        show_answer(Console(highlight=False), result.name, result.answer)


def run_search(client: Client, text: str, top_k: int, *, as_json: bool) -> None:
    """Print the reports nearest to a text."""
    with client:
        answer = client.search(text, top_k)
    if as_json:
        print(json.dumps(as_dict(answer), indent=2))
    else:
        show_answer(Console(highlight=False), text, answer, shown=top_k)
