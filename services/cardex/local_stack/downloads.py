"""Downloads a data set's files in parallel, each checked against its published checksum."""

import fcntl
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from cardex.domain.errors import CardexError, ConfigurationError, Unavailable
from cardex.local_stack.checksums import PublishedFile, parse_checksums
from cardex.local_stack.http_files import FileFailed, HttpFiles, Stopped

CHECKSUMS = "SHA256SUMS.txt"
PART = ".part"
LOCK = ".download.lock"
GIVE_UP = 10
"""Files in a row that the server does not answer for before the others are left."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that could not be had.

    Attributes:
        path: relative to the folder.
        problem: why.
    """

    path: str
    problem: str


class Download:
    """A data set on its way into a folder."""

    def __init__(self, files: HttpFiles, folder: Path) -> None:
        """Fetch `files` into `folder`, which is made where it is missing."""
        self._files = files
        self._folder = folder

    def published(self) -> list[PublishedFile]:
        """Return the files that the data set has, by its own list.

        Raises:
            CardexError: Unavailable where the server does not answer, ConfigurationError where it
                has no list, or one that cannot be used.
        """
        target, part = self._folder / CHECKSUMS, self._folder / (CHECKSUMS + PART)
        part.unlink(missing_ok=True)  # of a list that may have changed
        try:
            self._files.complete(CHECKSUMS, part)
        except FileFailed as error:
            if error.server:
                raise _unreachable(str(error)) from error
            raise ConfigurationError(
                f"{CHECKSUMS}: {error}: CARDEX_PTBXL_URL must be the address of the data set"
            ) from error
        except OSError as error:
            raise _unwritable(error, target) from error
        found = parse_checksums(part.read_text("utf-8", "replace"), CHECKSUMS)
        part.replace(target)
        return found

    def fetch(
        self, wanted: Sequence[PublishedFile], jobs: int, on_progress: Callable[[int], None]
    ) -> list[Missing]:
        """Fetch files by `jobs` threads; returns those that could not be had.

        A file that is there and whole is left as it is. What came of a file stays beside it as
        `.part`, and the next call goes on from there, also after an exception.

        Args:
            wanted: the files.
            jobs: how many at once.
            on_progress: is told how many files are done.

        Raises:
            CardexError: Unavailable if the server answers for no file any more, ConfigurationError
                if the folder cannot be written.
        """
        waiting = iter(wanted)
        turn = threading.Lock()
        outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        for _ in range(min(jobs, len(wanted))):
            # A thread that hangs in a read does not hold up the end of the program.
            threading.Thread(target=self._work, args=(waiting, turn, outcomes), daemon=True).start()
        missing: list[Missing] = []
        unanswered = 0
        try:
            for done in range(1, len(wanted) + 1):
                outcome = outcomes.get()
                if isinstance(outcome, CardexError):
                    raise outcome
                if outcome.problem:
                    missing.append(Missing(outcome.path, outcome.problem))
                unanswered = unanswered + 1 if outcome.server else 0
                if unanswered == GIVE_UP:
                    raise _unreachable(outcome.problem)
                on_progress(done)
        finally:
            self._files.stop.set()
        return missing

    def _work(
        self,
        waiting: Iterator[PublishedFile],
        turn: threading.Lock,
        outcomes: "queue.SimpleQueue[_Outcome]",
    ) -> None:
        while not self._files.stop.is_set():
            with turn:
                file = next(waiting, None)
            if file is None:
                return
            try:
                self._fetch_one(file)
            except Stopped:
                return
            except FileFailed as error:
                outcomes.put(_Done(str(file.path), str(error), error.server))
            except OSError as error:
                outcomes.put(_unwritable(error, file.path))
            except Exception as error:
                # Whoever waits for the outcome has to hear of it.
                outcomes.put(CardexError(f"{file.path}: {type(error).__name__}: {error}"))
                raise
            else:
                outcomes.put(_Done(str(file.path)))

    def _fetch_one(self, file: PublishedFile) -> None:
        target = self._folder / file.path
        if file.is_whole(target):
            return
        part = target.with_name(target.name + PART)
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            self._files.complete(str(file.path), part)
            if file.is_whole(part):
                part.replace(target)
                return
            part.unlink(missing_ok=True)  # of no use: it is fetched anew, once
        raise FileFailed(
            "its content is not what was published, twice: something on the way changes it, or the"
            " server has another version"
        )


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a file; `problem` is "" where it is there."""

    path: str
    problem: str = ""
    server: bool = False


_Outcome = _Done | CardexError


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder, made where it is missing, against a second download.

    Raises:
        ConfigurationError: if another holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise _unwritable(error, folder) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another download into {folder} is running: let it end, or name another folder"
            ) from error
        yield


def _unreachable(problem: str) -> Unavailable:
    return Unavailable(
        f"the server of the data set does not answer: {problem}. Check network and proxy"
        " (HTTPS_PROXY), or set CARDEX_PTBXL_URL to a mirror; the same command goes on"
    )


def _unwritable(error: OSError, path: PurePath) -> ConfigurationError:
    """Say what cannot be written; the error itself does not where a disk is full."""
    return ConfigurationError(
        f"cannot write {error.filename or path}: {error.strerror}: make room, or name another"
        " folder; the same command goes on"
    )
