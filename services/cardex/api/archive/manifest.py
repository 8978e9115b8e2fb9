"""The manifest of an archive: what became of each recording, so that a later call can go on.

A file of JSON lines: a head, then an event a line, appended as it happens. The last event of a
recording holds. A last line without its end was cut off by a kill, and is ignored.
"""

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec

from cardex.domain.errors import ConfigurationError
from cardex.domain.jobs import Question

MARK = "cardex_manifest"
VERSION = 1
SYNC_S = 1.0
MAX_HEAD_BYTES = 65_536
Stamp = tuple[int, int]
"""Bytes of a recording's files together, and the newest modification time in ns."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one recording.

    Attributes:
        stamp: its size and time when it was read.
        sha256: hash of its content; "" where it could not be read or was too large.
        job_id: its job, "" where there is none.
        outcome: "" while it has none; see `Result.outcome`.
        end: size of the results file after its result was written, 0 without such a file.
    """

    stamp: Stamp = (0, 0)
    sha256: str = ""
    job_id: str = ""
    outcome: str = ""
    end: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """What a manifest is for; another scope needs another manifest.

    Attributes:
        root: absolute path of the folder that all recordings lie below.
        question: what is asked of each.
        results: name of the results file, "" without one.
    """

    root: str
    question: Question
    results: str = ""


_PLAIN = msgspec.to_builtins(Question())


class Manifest:
    """The outcomes of an archive, in memory and, where it has a file, in that file.

    Threads may share it.

    Attributes:
        id: random, made when the manifest was begun; every request_id depends on it.
        path: its file, if it has one.
        resumed: True where an earlier call began it.
    """

    def __init__(self, scope: Scope, path: Path | None = None) -> None:
        """Open a manifest, or begin one; without a path nothing is kept.

        Raises:
            ConfigurationError: if another process uses it, it cannot be written, it is no manifest
                or one of another scope.
        """
        self.id = secrets.token_hex(16)
        self.path = path
        self.resumed = False
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._synced = 0.0
        if path is not None:
            self._file = _locked(path)
            try:
                self._load(self._file, scope)
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> Self:
        """Use the manifest in a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Write everything through to the disk and let the file go."""
        with self._lock:
            if self._file is not None:
                os.fsync(self._file.fileno())
                self._file.close()
                self._file = None

    def get(self, path: str) -> Entry:
        """Return what is known of a recording; an empty entry where nothing is."""
        return self._entries.get(path, Entry())

    def open_jobs(self) -> Iterator[tuple[str, Entry]]:
        """Yield the recordings that have a job and no outcome."""
        for path, entry in list(self._entries.items()):
            if entry.job_id and not entry.outcome:
                yield path, entry

    def finished(self) -> Iterator[tuple[str, Entry]]:
        """Yield the recordings that have an outcome."""
        for path, entry in list(self._entries.items()):
            if entry.outcome:
                yield path, entry

    def request_id(self, path: str, sha256: str) -> str:
        """Return the request_id of a recording: the same for the same content, and only then."""
        words = f"{self.id}\0{path}\0{sha256}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(words).hexdigest()

    def submitted(self, path: str, stamp: Stamp, sha256: str, job_id: str) -> None:
        """Note that a recording has a job."""
        event = {
            "size": stamp[0], "mtime_ns": stamp[1], "sha256": sha256,
            "request_id": self.request_id(path, sha256), "job_id": job_id,
        }  # fmt: skip
        self._note(path, Entry(stamp, sha256, job_id), event)

    def unfinished(self, path: str) -> None:
        """Forget the outcome of a recording whose result was lost; its job is known still."""
        self._entries[path] = replace(self.get(path), outcome="", end=0)

    def finish(self, path: str, stamp: Stamp, sha256: str, outcome: str, end: int) -> None:
        """Note that the result of a recording is written."""
        entry = Entry(stamp, sha256, self.get(path).job_id, outcome, end)
        event = {
            "size": stamp[0], "mtime_ns": stamp[1], "sha256": sha256, "outcome": outcome,
            "end": end,
        }  # fmt: skip
        self._note(path, entry, event)

    def _note(self, path: str, entry: Entry, event: dict[str, Any]) -> None:
        with self._lock:
            self._entries[path] = entry
            if self._file is not None:
                self._append({"file": path, **event})

    def _append(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_S:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _load(self, file: BinaryIO, scope: Scope) -> None:
        head = file.readline(MAX_HEAD_BYTES)
        if not head.endswith(b"\n"):
            self._begin(file, head, scope)
            return
        self._check(head, scope)
        self.resumed = True
        whole = len(head)
        for number, line in enumerate(file, start=2):
            if not line.endswith(b"\n"):
                break
            self._replay(number, line)
            whole += len(line)
        file.truncate(whole)

    def _begin(self, file: BinaryIO, head: bytes, scope: Scope) -> None:
        if head and not head.startswith(f'{{"{MARK}"'.encode()):
            raise self._no_manifest("its first line is not a manifest's")
        file.truncate(0)
        question = {name: value for name, value in msgspec.to_builtins(scope.question).items()
                    if value != _PLAIN[name]}  # fmt: skip
        plain = {name: getattr(scope.question, name) for name in ("top_k", "rerank")}
        self._append(
            {MARK: VERSION, "id": self.id, **self._described(scope), **plain, "question": question}
        )

    @staticmethod
    def _described(scope: Scope) -> dict[str, str]:
        return {"root": scope.root, "results": scope.results}

    def _check(self, line: bytes, scope: Scope) -> None:
        try:
            head = json.loads(line)
            version, self.id = head[MARK], head["id"]
            asked = {name: head[name] for name in ("top_k", "rerank")} | head.get("question", {})
            found = Scope(head["root"], msgspec.convert(asked, Question), head["results"])
        except (ValueError, TypeError, KeyError) as error:
            raise self._no_manifest("its first line is not a manifest's") from error
        if version != VERSION:
            raise self._no_manifest(f"it has version {version}, this Cardex writes {VERSION}")
        for what, there, here in (
            ("the folder", found.root, scope.root),
            ("the question (top_k, rerank, ...)", found.question, scope.question),
            ("the results file", found.results, scope.results),
        ):
            if there != here:
                raise ConfigurationError(
                    f"the manifest {self.path} was begun for {what} {_words(there)}, not"
                    f" {_words(here)}: call with that again, or give another --manifest and"
                    " --results to begin anew",
                    reason="MANIFEST",
                    field="manifest",
                )

    def _replay(self, number: int, line: bytes) -> None:
        try:
            event = json.loads(line)
            path, before = event["file"], self.get(event["file"])
            self._entries[path] = Entry(
                (event["size"], event["mtime_ns"]),
                event["sha256"],
                event.get("job_id", before.job_id),
                event.get("outcome", ""),
                event.get("end", 0),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise self._no_manifest(f"line {number} cannot be read") from error

    def _no_manifest(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path} is no manifest that this can go on from ({why}): give another --manifest",
            reason="MANIFEST",
            field="manifest",
        )


def _words(value: object) -> str:
    if isinstance(value, Question):
        more = (
            f"{name} {told}"
            for name, told in msgspec.to_builtins(value).items()
            if told != _PLAIN[name] and name not in ("top_k", "rerank")
        )
        return ", ".join((str(value.top_k), str(value.rerank), *more))
    return str(value) or "none"


def _locked(path: Path) -> BinaryIO:
    try:
        import fcntl  # the client without a manifest runs where there is none
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "this system has no file locks, which a manifest needs: use Linux or macOS",
            field="manifest",
        ) from error
    try:
        file = path.open("a+b")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the manifest {path}: {error.strerror}", field="manifest"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigurationError(
            f"another process submits with the manifest {path}: wait for it or stop it, or give"
            " another --manifest",
            reason="MANIFEST_TAKEN",
            field="manifest",
        ) from error
    file.seek(0)
    return file
