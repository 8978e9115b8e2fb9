"""The recordings of an archive on disk, each with a name that holds from call to call."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cardex.api.archive.manifest import Stamp
from cardex.api.pb.v1 import ecg_pb2
from cardex.api.recordings import recordings
from cardex.domain.errors import InvalidEcg

NO_STAMP: Stamp = (0, 0)


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording.

    Attributes:
        path: of its first file, relative to the archive's root.
        names: its files as they are opened, a WFDB header before its signals.
    """

    path: str
    names: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """Its files, as paths; they are held as text, which takes a tenth of the memory."""
        return list(map(Path, self.names))

    def stamp(self) -> Stamp:
        """Return size and time of the files as they are now; zeros where one is gone."""
        try:
            stats = [file.stat() for file in self.files]
        except OSError:
            return NO_STAMP
        return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


@dataclass(frozen=True, slots=True)
class FoundArchive:
    """The recordings below some files or folders.

    Attributes:
        root: absolute path of the folder that all of them lie below.
        recordings: each once, however often it was named.
    """

    root: str
    recordings: list[Recording]

    def elsewhere(self, path: str) -> Recording:
        """Return a recording by its path, which is not among those that were found."""
        return Recording(path, (str(Path(self.root, path)),))


def find(paths: Sequence[str | Path], kept_files: Iterable[Path] = ()) -> FoundArchive:
    """Find every recording below files or folders; nothing is held but their paths.

    Args:
        paths: the files or folders.
        kept_files: files that Cardex itself writes, which are no recordings wherever they lie.

    Raises:
        InvalidEcg: if a path does not exist, or there is no recording.
    """
    root = _root(paths) if paths else ""
    try:
        found = {recording.path: recording for recording in _named(root, paths)}
        for file in kept_files:
            found.pop(os.path.relpath(file, root), None)
    except FileNotFoundError as error:
        raise InvalidEcg(f"{error.filename} does not exist", field="path") from error
    if not found:
        raise InvalidEcg("no ECG file there", field="path")
    return FoundArchive(root, list(found.values()))


def content_hash(ecg: ecg_pb2.Ecg) -> str:
    """Return the SHA-256 of a recording's files with their names, in hex."""
    digest = hashlib.sha256()
    parts = [(ecg.file.name, ecg.file.content)]
    parts += [(other.name, other.content) for other in ecg.file.companions]
    for name, content in parts:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _root(paths: Sequence[str | Path]) -> str:
    absolute = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100  keeps links
    return os.path.commonpath([path if path.is_dir() else path.parent for path in absolute])


def _named(root: str, paths: Sequence[str | Path]) -> Iterator[Recording]:
    for files in recordings(map(Path, paths)):
        path = os.path.relpath(files[0], root)
        yield Recording(path, tuple(map(str, files)))
