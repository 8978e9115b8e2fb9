"""What a training says of itself: a CSV row every few steps, TensorBoard on request, progress with time left."""

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
SAY_EVERY_S = 15.0


class MetricLogger:
    """The log of one stage."""

    def __init__(
        self, folder: Path | None, name: str, writes: bool, begun: int, tensorboard: bool
    ) -> None:
        """Open the log of stage `name` at step `begun`; later rows, of a run cut off, are dropped.

        Raises:
            CardexError: if TensorBoard is asked for and not installed.
        """
        self._name, self._writes, self._begun = name, writes, begun
        self._path = folder / f"{name}.csv" if folder and writes else None
        self._file: TextIO | None = None
        self._rows: Any = None
        self._start = self._said = time.monotonic()
        self._board: Any = None
        if tensorboard and folder:
            writer = _board()  # in every process, so that all stop where it is missing
            if writes:
                self._board = writer(str(folder / "tensorboard" / name), purge_step=begun + 1)

    def __enter__(self) -> "MetricLogger":
        """Open the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close the file."""
        if self._file:
            self._file.close()
        if self._board:
            self._board.close()

    def write(self, step: int, total: int, rate: float, losses: dict[str, Tensor]) -> None:
        """Take the losses of a step; every `EVERY` steps they become a row."""
        if not self._writes:
            return
        # a GPU's losses are only read here: reading them at each step would make it wait
        if step % EVERY and step != total:
            return
        found = {name: float(value.detach()) for name, value in losses.items()}
        self._row(step, rate, found)
        now = time.monotonic()
        if now - self._said > SAY_EVERY_S or step == total:
            self._said = now
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
