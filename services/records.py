"""ECG files on disk: which files below a folder are one recording."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

HEADER = ".hea"
SIGNALS = (".dat", ".mat")
SKIPPED = (".csv", ".txt", ".md", ".json", ".py", ".npz", ".log", ".pdf", ".html")


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
        if not file.name.startswith(".") and file.suffix.lower() not in SKIPPED:
            by_stem[file.with_suffix("")].append(file)
    for group in by_stem.values():
        header = [file for file in group if file.suffix.lower() == HEADER]
        signals = [file for file in group if file.suffix.lower() in SIGNALS]
        if header:
            yield header + signals
        yield from ([file] for file in group if file not in header + signals or not header)


def _signals_of(header: Path) -> list[Path]:
    beside = (path for path in header.parent.iterdir() if path.stem == header.stem)
    return sorted(path for path in beside if path.suffix.lower() in SIGNALS)
