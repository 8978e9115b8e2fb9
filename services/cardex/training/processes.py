"""Runs trainings side by side, in processes of one thread each that can be stopped together.

Two processes of one thread train two small encoders in two thirds of the time that one process of
two threads takes for both.
"""

import logging
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

import torch

from cardex.domain.errors import CardexError
from cardex.training.trainer import Stopped

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What one process does. Its result is what it writes to disk.

    Attributes:
        name: of messages.
        work: a function of a module, which a new process can import.
        arguments: of the function; they are pickled.
    """

    name: str
    work: Callable[..., object]
    arguments: tuple[Any, ...]


def run_jobs(
    jobs: Sequence[Job], at_once: int, on_done: Callable[[Job], None] = lambda _: None
) -> None:
    """Run every job in a process of its own, some at once.

    Args:
        jobs: the jobs, in the order in which they begin.
        at_once: number of processes.
        on_done: called in this process after each job.

    Raises:
        Stopped: if SIGINT or SIGTERM arrived; every process has written its checkpoint.
        CardexError: if a job fails; the others are stopped, and have written theirs.
    """
    waiting, running = list(jobs), list[_Running]()
    with _interruptible():
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(_Running.begin(waiting.pop(0)))
                wait([each.process.sentinel for each in running])
                ended = [one for one in running if not one.process.is_alive()]
                for each in sorted(ended, key=lambda one: bool(one.process.exitcode)):
                    running.remove(each)
                    each.check()  # those that ended well come first, and are kept
                    on_done(each.job)
        finally:
            for each in running:
                each.process.terminate()  # a training writes its checkpoint and ends
            for each in running:
                each.process.join()


@dataclass(frozen=True, slots=True)
class _Running:
    """A job, and its process."""

    job: Job
    process: BaseProcess

    @classmethod
    def begin(cls, job: Job) -> "_Running":
        """Start the process."""
        process = multiprocessing.get_context("spawn").Process(target=_work, args=(job,))
        process.start()
        return cls(job, process)

    def check(self) -> None:
        """Raise CardexError if the process did not end well; it has said why."""
        if self.process.exitcode:
            raise CardexError(
                f"{self.job.name} ended with {self.process.exitcode}: see above; the same command"
                " goes on from the last checkpoint"
            )
        logger.info("%s: done", self.job.name)


def _work(job: Job) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    try:
        job.work(*job.arguments)
    except CardexError as error:
        sys.exit(f"{job.name}: {error}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM stop the processes too, as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped("the training stopped: the same command goes on from there") from None
    finally:
        signal.signal(signal.SIGTERM, before)
