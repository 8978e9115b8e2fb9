"""Logs losses: CSV rows, TensorBoard on request, and progress with the time left."""

import csv
import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from torch import Tensor

from cardex.domain.errors import CardexError

logger = logging.getLogger(__name__)

EVERY = 20
REPORT_EVERY_S = 15.0


class MetricLogger:
    """Writes the losses of one stage."""

    def __init__(
        self, folder: Path | None, name: str, writes: bool, begun: int, tensorboard: bool
    ) -> None:
        """Prepare the log of a stage.

        Args:
            folder: for the files; None to write none.
            name: of the stage and its files.
            writes: whether this process writes; one of all does.
            begun: the step that the training continues from; later rows of an interrupted run are
                dropped.
            tensorboard: whether TensorBoard's event files are written.

        Raises:
            CardexError: if TensorBoard is asked for but not installed.
        """
        self._name, self._writes, self._begun = name, writes, begun
        self._path = folder / f"{name}.csv" if folder and writes else None
        self._file: TextIO | None = None
        self._rows: Any = None
        self._start = self._reported = time.monotonic()
        self._board: Any = None
        if tensorboard and folder:
            writer = _board()  # in every process, so that all stop if it is not installed
            if writes:
                self._board = writer(str(folder / "tensorboard" / name), purge_step=begun + 1)

    def __enter__(self) -> "MetricLogger":
        """Return the logger; its file is opened with the first row."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close the files."""
        if self._file:
            self._file.close()
        if self._board:
            self._board.close()

    def write(self, step: int, total: int, rate: float, losses: dict[str, Tensor]) -> None:
        """Write the losses of a step, if it is one of every `EVERY` or the last.

        Args:
            step: number of the step, from 1.
            total: number of steps.
            rate: learning rate.
            losses: scalars by name.
        """
        if not self._writes:
            return
        # Losses are read only now: to read them at each step would make a GPU wait.
        if step % EVERY and step != total:
            return
        found = {name: float(value.detach()) for name, value in losses.items()}
        self._row(step, rate, found)
        now = time.monotonic()
        if now - self._reported > REPORT_EVERY_S or step == total:
            self._reported = now
            left = (now - self._start) / (step - self._begun) * (total - step)
            text = " ".join(f"{name} {value:.4f}" for name, value in found.items())
            logger.info("%s step %d of %d: %s, %.0f s left", self._name, step, total, text, left)

    def _row(self, step: int, rate: float, losses: dict[str, float]) -> None:
        seconds = round(time.monotonic() - self._start, 1)
        if self._board:
            for name, value in losses.items():
                self._board.add_scalar(name, value, step)
        if self._path is None:
            return
        if self._rows is None:
            self._open(["step", "seconds", "rate", *losses])
        self._rows.writerow([step, seconds, f"{rate:.3g}", *(f"{v:.6g}" for v in losses.values())])
        assert self._file is not None
        self._file.flush()

    def _open(self, header: list[str]) -> None:
        assert self._path is not None
        kept: list[list[str]] = []
        if self._begun and self._path.is_file():
            with self._path.open(newline="") as lines:
                kept = [row for row in csv.reader(lines) if row and row[0].isdigit()]
            kept = [row for row in kept if int(row[0]) <= self._begun]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(header)
        self._rows.writerows(kept)


def _board() -> Any:  # noqa: ANN401  # an optional package has no type here
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise CardexError("--tensorboard needs the package: pip install tensorboard") from error
    return SummaryWriter
