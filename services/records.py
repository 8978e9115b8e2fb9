"""ECG files on disk: which files below a folder are one recording."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.domain.ecg import FilePart
from services.domain.errors import InvalidEcg
from services.signals.formats.limits import MAX_FILE_BYTES, refuse_size
from services.signals.formats.tables import is_table

HEADER = ".hea"
SIGNALS = (".dat", ".mat")
TABLE = ".csv"
SKIPPED = (".txt", ".md", ".json", ".py", ".npz", ".log", ".pdf", ".html")


SNIFFED_BYTES = 16 * 1024


def load(files: Iterable[Path]) -> tuple[FilePart, ...]:
    """Read the files of one recording.

    Raises:
        InvalidEcg: if a file cannot be read, or they are too large together, which costs no reading.
    """
    paths = list(files)
    try:
        refuse_size(sum(path.stat().st_size for path in paths), MAX_FILE_BYTES, "the recording")
        return tuple(FilePart(path.name, path.read_bytes()) for path in paths)
    except OSError as error:
        raise InvalidEcg(f"cannot read {error.filename}: {error.strerror}", field="path") from error


def recordings(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield the files of each recording below files or folders, a WFDB header before its signals.

    Raises:
        FileNotFoundError: if a path does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from _grouped(sorted(p for p in path.rglob("*") if p.is_file()))
        elif path.is_file():
            yield [path, *_signals_of(path)] if path.suffix.lower() == HEADER else [path]
        else:
            raise FileNotFoundError(path)


def _grouped(files: list[Path]) -> Iterator[list[Path]]:
    by_stem: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        if not file.name.startswith(".") and _may_be_ecg(file):
            by_stem[file.with_suffix("")].append(file)
    for group in by_stem.values():
        header = [file for file in group if file.suffix.lower() == HEADER]
        signals = [file for file in group if file.suffix.lower() in SIGNALS]
        if header:
            yield header + signals
        yield from ([file] for file in group if file not in header + signals or not header)


def _may_be_ecg(file: Path) -> bool:
    """Tell by name, and a table, which is more often one of reports, by its first lines."""
    if file.suffix.lower() != TABLE:
        return file.suffix.lower() not in SKIPPED
    try:
        with file.open("rb") as stream:
            return is_table(stream.read(SNIFFED_BYTES))
    except OSError:
        return True  # whoever reads it says what is wrong


def _signals_of(header: Path) -> list[Path]:
    beside = (path for path in header.parent.iterdir() if path.stem == header.stem)
    return sorted(path for path in beside if path.suffix.lower() in SIGNALS)
