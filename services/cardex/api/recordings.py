"""ECG files on disk: which files below a folder are one recording."""

import codecs
import errno
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from cardex.domain.ecg import MAX_FILE_BYTES, FilePart
from cardex.domain.errors import InvalidEcg
from cardex.domain.leads import canonical

HEADER = ".hea"
SIGNALS = (".dat", ".mat")
TABLE = ".csv"
SKIPPED = (
    ".txt", ".md", ".json", ".jsonl", ".parquet", ".manifest", ".py", ".npz", ".log", ".pdf",
    ".html",
)  # fmt: skip
SNIFFED_BYTES = 16 * 1024
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
COMMENTS = ("#", '"#', "\ufeff#", "sep=", '"sep=')
DELIMITER = re.compile(r"[;\t,]")
UNIT = re.compile(r"\s*[(\[].{1,12}[)\]]$")


def load(files: Iterable[Path]) -> tuple[FilePart, ...]:
    """Read the files of one recording.

    Raises:
        InvalidEcg: if a file cannot be read, or they are too large together, which costs no
            reading.
    """
    paths = list(files)
    try:
        _check_size(sum(path.stat().st_size for path in paths))
        return tuple(FilePart(path.name, _content(path)) for path in paths)
    except OSError as error:
        raise _unreadable(error) from error


def one_recording_files(path: Path) -> list[Path]:
    """Return the files of the recording behind a path: a file, a WFDB header, or a folder of one.

    Raises:
        InvalidEcg: if there is none, or more than one.
    """
    try:
        found = (
            list(recordings([path])) if path.is_dir() or path.suffix.lower() == HEADER else [[path]]
        )
    except OSError as error:
        raise _unreadable(error) from error
    if len(found) != 1:
        raise InvalidEcg(
            f"{path} holds {len(found)} recordings: name one file of them", field="path"
        )
    return found[0]


def one_recording(path: Path) -> tuple[FilePart, ...]:
    """Read the recording behind a path; raises as `one_recording_files` and `load`."""
    return load(one_recording_files(path))


def recordings(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield the files of each recording below files or folders, a WFDB header before its signals.

    A folder is read when its turn comes, so that no more than the names of one folder are held.
    Links to folders are not followed. What cannot be read is yielded all the same: whoever reads
    it says what is wrong.

    Raises:
        FileNotFoundError: if a path does not exist.
    """
    folders: dict[Path, FolderNames] = {}
    for path in paths:
        if path.is_dir():
            yield from _below(path)
        elif not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        elif path.suffix.lower() == HEADER:
            if path.parent not in folders:
                names = (beside.name for beside in path.parent.iterdir())
                folders = {path.parent: FolderNames(names)}
            yield [path, *folders[path.parent].signals_of(path)]
        else:
            yield [path]


class FolderNames:
    """The names in one folder, looked up by WFDB headers."""

    def __init__(self, names: Iterable[str]) -> None:
        """Look up these names."""
        self._names = frozenset(names)
        self._signals: dict[str, list[str]] = {}
        for name in sorted(self._names):
            path = Path(name)
            if path.suffix.lower() in SIGNALS:
                self._signals.setdefault(path.stem, []).append(name)

    def signals_of(self, header: Path) -> list[Path]:
        """Return the files beside a header that it names, or else those that have its stem."""
        try:
            with header.open("rb") as stream:
                lines = stream.read(SNIFFED_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        named = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}
        beside = sorted((named & self._names) - {header.name})
        return [header.parent / name for name in beside or self._signals.get(header.stem, [])]


def _below(top: Path) -> Iterator[list[Path]]:
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield [folder]
            continue
        folders += [Path(e.path) for e in reversed(found) if e.is_dir(follow_symlinks=False)]
        yield from _grouped(folder, [entry.name for entry in found if _is_file(entry)])


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a file, or a link that leads nowhere where a file was meant."""
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True  # a link that leads to itself


def _grouped(folder: Path, names: list[str]) -> Iterator[list[Path]]:
    beside = FolderNames(names)
    left = {name for name in names if not name.startswith(".") and _may_be_ecg(folder / name)}
    for name in names:
        if name in left and name.lower().endswith(HEADER):
            header = folder / name
            signals = beside.signals_of(header)
            left -= {name, *(path.name for path in signals)}
            yield [header, *signals]
    yield from ([folder / name] for name in names if name in left)


def _content(path: Path) -> bytes:
    """Read a file, be it a pipe that tells no size, up to the limit."""
    with path.open("rb") as stream:
        content = stream.read(MAX_FILE_BYTES + 1)
    _check_size(len(content))
    return content


def _check_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise InvalidEcg(
            f"the recording has {size} bytes: at most {MAX_FILE_BYTES}",
            reason="FILE_TOO_LARGE",
            field="ecg.file.content",
        )


def _unreadable(error: OSError) -> InvalidEcg:
    return InvalidEcg(f"cannot read {error.filename}: {error.strerror}", field="path")


def _may_be_ecg(file: Path) -> bool:
    """Tell by name, and a table, which is more often one of reports, by its first lines."""
    if file.suffix.lower() != TABLE:
        return file.suffix.lower() not in SKIPPED
    try:
        with file.open("rb") as stream:
            return _names_leads(stream.read(SNIFFED_BYTES))
    except OSError:
        return True  # whoever reads it says what is wrong


def _names_leads(start: bytes) -> bool:
    """Tell whether the first line of a table that is no comment names two leads."""
    encoding = "utf-16" if start.startswith(UTF_16) else "utf-8"
    lines = (line.strip() for line in start.decode(encoding, "replace").splitlines())
    heading = next((line for line in lines if line and not line.startswith(COMMENTS)), "")
    cells = (UNIT.sub("", cell.strip(' "\ufeff')) for cell in DELIMITER.split(heading))
    return sum(canonical(cell) is not None for cell in cells) >= 2
