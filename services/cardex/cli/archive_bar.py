"""The progress of an archive: a bar on a terminal, a line a minute in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from cardex.api.client import Progress

LOG_EVERY_S = 60.0


class ArchiveBar:
    """Shows what is told of an archive's progress."""

    def __init__(self, console: Console) -> None:
        """Show on `console`."""
        self.progress = Progress()
        self._console = console
        self._logged = self._start = time.monotonic()
        self._bar = RichProgress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(),
            TimeRemainingColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("looking for recordings", total=None)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state behind."""
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show the progress as it is now."""
        self.progress = progress
        words = (
            f"{progress.submitted} submitted, {progress.answered} answered,"
            f" {progress.refused.total()} refused"
        )
        if not self._bar.tasks[0].total:
            self._bar.reset(self._task, total=progress.total, completed=progress.earlier)
        self._bar.update(self._task, description=words, completed=progress.finished)
        if not self._console.is_terminal and time.monotonic() - self._logged > LOG_EVERY_S:
            self._logged = time.monotonic()
            rate = (progress.finished - progress.earlier) / (self._logged - self._start)
            self._console.print(f"{words} of {progress.total}, {rate:.1f} records/s")


class _Rate(ProgressColumn):
    """Records a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} records/s" if task.speed else "")
