"""What `cardex submit` does."""

import json
import shlex
import signal
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from cardex.api.archive.output import lines_of, manifest_of
from cardex.api.archive.patience import ENDED
from cardex.api.archive.results_file import described
from cardex.api.client import Client, Progress, Result, ecg_of_files
from cardex.api.recordings import recordings
from cardex.cli.archive_bar import ArchiveBar
from cardex.cli.render import show_answer
from cardex.domain.errors import CardexError, InvalidEcg, Unavailable
from cardex.domain.jobs import Question

SOME_FAILED = 1
GAVE_UP = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later
SIGNALLED = 128


@dataclass(frozen=True, slots=True)
class Archive:
    """What is to be submitted, and where the results go.

    Attributes:
        paths: files or folders.
        question: what is asked of each recording.
        results: file of the results, None to print them.
        manifest: file by which a second call goes on.
        patience_s: how long to try on without a word from the gateway, in seconds.
    """

    paths: tuple[Path, ...]
    question: Question
    results: Path | None = None
    manifest: Path | None = None
    patience_s: float = 900.0

    @property
    def goes_on(self) -> bool:
        """True where a second call goes on where this one stops."""
        return self.results is not None or self.manifest is not None


class Stopped(BaseException):
    """A signal came that ends the command."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__(number)
        self.number = number


def run_submit(client: Client, archive: Archive, *, as_json: bool, console: Console) -> int:
    """Submit an archive and print or write its results; returns the exit status.

    Raises:
        CardexError: what `Client.submit_folder` raises, but for the end of its patience.
    """
    start, bar, complete = time.monotonic(), ArchiveBar(console), False
    try:
        with client, stopped_by_signals(), bar, closing(_results(client, archive, bar)) as results:
            for result in results:
                if as_json or archive.results is None:
                    print_result(result, as_json)
        complete = True
        status = SOME_FAILED if bar.progress.refused else 0
    except Stopped as stop:
        status = SIGNALLED + stop.number
        console.print(f"stopped by {signal.Signals(stop.number).name}", markup=False)
        if not bar.progress.total:  # before there is anything to sum up
            console.print(_how_to_go_on(archive), markup=False, soft_wrap=True)
    except Unavailable as error:
        if error.reason != ENDED:
            raise
        status = GAVE_UP
        console.print(f"gave up: {error.message}", markup=False, soft_wrap=True)
    finally:
        if bar.progress.total:
            seconds = time.monotonic() - start
            for line in summary(archive, bar.progress, seconds, complete=complete):
                console.print(line, markup=False, soft_wrap=True)
    return status


def _results(client: Client, archive: Archive, bar: ArchiveBar) -> Generator[Result, None, None]:
    yield from client.submit_folder(
        *archive.paths,
        question=archive.question,
        results=archive.results,
        manifest=archive.manifest,
        patience_s=archive.patience_s,
        on_progress=bar.show,
    )


def run_stat(
    client: Client, paths: Sequence[Path], question: Question, *, as_json: bool, console: Console
) -> int:
    """Retrieve recordings one by one as STAT and print the answers; returns the exit status."""
    count = failed = 0
    with client:
        for result in ask_one_by_one(client, paths, question):
            count += 1
            failed += result.error is not None
            print_result(result, as_json)
    if failed:
        console.print(f"{failed} of {count} recordings failed")
    return SOME_FAILED if failed else 0


def ask_one_by_one(client: Client, paths: Sequence[Path], question: Question) -> Iterator[Result]:
    """Retrieve each recording as STAT.

    Raises:
        InvalidEcg: if a path does not exist, or there is no recording.
    """
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


def print_result(result: Result, as_json: bool) -> None:
    """Print a result as a line of JSON, or for people."""
    if as_json:
        print(json.dumps({"file": result.name, **described(result)}), flush=True)
    elif result.error:
        words = f"{shown_name(result)}: {result.error.reason}: {result.error.message}"
        Console(highlight=False).print(words, markup=False)
    elif result.answer:
        show_answer(Console(highlight=False), shown_name(result), result.answer)


def shown_name(result: Result) -> str:
    """Return a file's name in characters that every terminal takes."""
    return result.name.encode("utf-8", "backslashreplace").decode()


def summary(
    archive: Archive, progress: Progress, seconds: float, *, complete: bool
) -> Iterator[str]:
    """Yield the lines that end the command."""
    new = progress.finished - progress.earlier
    yield (
        f"{progress.answered} of {progress.total} recordings answered"
        f" ({progress.from_cache} from the cache, {progress.earlier} finished before this call),"
        f" {new} in {seconds:.0f} s, {new / max(seconds, 1e-3):.1f} records/s"
    )
    if progress.refused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in progress.refused.most_common())
        yield f"{progress.refused.total()} refused or failed: {reasons}"
    if archive.results is not None:
        lines = lines_of(archive.results)
        written = archive.results if complete else lines
        yield f"results: {written}"
        if progress.refused:
            yield f"the refused ones: grep '\"error\": ' {shlex.quote(str(lines))}"
    if not complete:
        yield _how_to_go_on(archive)


def _how_to_go_on(archive: Archive) -> str:
    if not archive.goes_on:
        return "nothing was kept to go on from: give --results or --manifest next time"
    manifest = archive.manifest or (manifest_of(archive.results) if archive.results else "")
    return f"run the same command again to go on; {manifest} says what is done"


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` in a block when Ctrl-C or SIGTERM comes; later ones are ignored."""

    def stop(number: int, _: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stdout.flush()
