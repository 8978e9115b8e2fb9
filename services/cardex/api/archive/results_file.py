"""The results of an archive as a file of JSON lines that a kill at any moment leaves usable.

A result is written before the manifest notes it. What a kill left between the two is found in the
file by the next call, and noted then; a line that was cut off is removed, and its job asked again.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from google.protobuf.json_format import MessageToDict

from cardex.api.archive.manifest import SYNC_S, Manifest
from cardex.api.archive.results import ANSWERED, Result
from cardex.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class WrittenResult:
    """A line of the file: whose it is, the outcome, and where the line ends."""

    file: str
    job_id: str
    outcome: str
    end: int


class ResultsFile:
    """Appends a line for each result."""

    def __init__(self, path: Path, manifest: Manifest, paths: Iterable[str]) -> None:
        """Open the file and bring it and the manifest into agreement.

        Args:
            path: the file; made if missing.
            manifest: of the archive.
            paths: the recordings' paths, by which lines without a job are recognised.

        Raises:
            ConfigurationError: if the file cannot be written, or is not the manifest's.
        """
        self.path = path
        self._synced = 0.0
        with self._writing():
            self._file = path.open("a+b", buffering=0)
        try:
            with self._writing():
                self._end = self._agree(manifest, paths)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Use the file in a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        with self._file, self._writing():
            os.fsync(self._file.fileno())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the results to {self.path}: {error.strerror}", field="results"
            ) from error

    def write(self, result: Result) -> int:
        """Append a result; returns the size of the file after it.

        Raises:
            ConfigurationError: if the disk is full.
        """
        head = {"file": shown(result.path), "job_id": result.job_id}
        line = json.dumps({**head, **described(result)}).encode() + b"\n"
        with self._writing():
            self._append(line)
        return self._end

    def _append(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[self._file.write(left) or 0 :]
        self._end += len(line)
        if time.monotonic() - self._synced > SYNC_S:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _agree(self, manifest: Manifest, paths: Iterable[str]) -> int:
        """Return the size of the file, with every whole line in the manifest and no other."""
        size = self._file.seek(0, os.SEEK_END)
        noted = [(path, entry) for path, entry in manifest.finished() if entry.end]
        self._check(manifest, size, bool(noted))
        for path, entry in noted:
            if entry.end > size:  # written, but lost with the machine's power
                manifest.unfinished(path)
        end = max((entry.end for _, entry in noted if entry.end <= size), default=0)
        unnoted = list(_written(self._file, end, self.path))
        _note(manifest, unnoted, paths)
        end = unnoted[-1].end if unnoted else end
        if end < self._file.seek(0, os.SEEK_END):
            self._file.truncate(end)
        return end

    def _check(self, manifest: Manifest, size: int, noted: bool) -> None:
        if size and not manifest.resumed:
            raise ConfigurationError(
                f"{self.path} exists, and its manifest {manifest.path} does not: give another"
                " --results, or the --manifest of its first call",
                reason="RESULTS",
                field="results",
            )
        if noted and not size:
            raise ConfigurationError(
                f"the results that the manifest {manifest.path} tells of are not in {self.path}:"
                " put the file back, or give another --manifest and --results to begin anew",
                reason="RESULTS",
                field="results",
            )


def described(result: Result) -> dict[str, Any]:
    """Return the answer or the error as plain values, names as in the contract."""
    if error := result.error:
        return {"error": {"reason": error.reason, "message": error.message, "field": error.field}}
    assert result.answer is not None
    return {"answer": MessageToDict(result.answer, preserving_proto_field_name=True)}


def shown(path: str) -> str:
    r"""Return a path as text: a byte that is no UTF-8 is told as `\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _written(file: BinaryIO, start: int, path: Path) -> Iterator[WrittenResult]:
    """Yield the whole lines of a file from a place on."""
    file.seek(start)
    end = start
    for line in file:
        if not line.endswith(b"\n"):
            return
        end += len(line)
        try:
            body = json.loads(line)
            outcome = body["error"]["reason"] if "error" in body else ANSWERED
            yield WrittenResult(body["file"], body["job_id"], outcome, end)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(
                f"{path} has a line before byte {end} that is no result: put the file back as it"
                " was, or give another --manifest and --results to begin anew",
                reason="RESULTS",
                field="results",
            ) from error


def _note(manifest: Manifest, written: list[WrittenResult], paths: Iterable[str]) -> None:
    if not written:
        return
    by_job = {entry.job_id: path for path, entry in manifest.open_jobs()}
    by_name = {shown(path): path for path in paths}
    for result in written:
        path = by_job.get(result.job_id) or by_name.get(result.file, result.file)
        entry = manifest.get(path)
        manifest.finish(path, entry.stamp, entry.sha256, result.outcome, result.end)
