"""Where an archive's results and its manifest are kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cardex.api.archive.found import FoundArchive
from cardex.api.archive.manifest import Manifest, Scope
from cardex.api.archive.parquet import require_pyarrow, write_table
from cardex.api.archive.results_file import ResultsFile
from cardex.domain.jobs import Question

TABLE = ".parquet"


def lines_of(results: Path) -> Path:
    """Return the file of JSON lines behind a results file; of a table it lies beside it."""
    return results.with_name(f"{results.name}.jsonl") if results.suffix == TABLE else results


def manifest_of(results: Path) -> Path:
    """Return the manifest that a results file has where none is named."""
    return results.with_name(f"{results.name}.manifest")


def kept_files(results: str | Path | None, manifest: str | Path | None) -> list[Path]:
    """Return every file that is written for an archive."""
    files = [Path(manifest)] if manifest is not None else []
    if results is not None:
        file = Path(results)
        files += [file, lines_of(file), manifest_of(file)]
    return files


@dataclass(frozen=True, slots=True)
class Output:
    """What is open for a run.

    Attributes:
        manifest: what became of each recording.
        results: the file of results, if one was asked for.
        table: the Parquet file to make of it, if one was asked for.
    """

    manifest: Manifest
    results: ResultsFile | None = None
    table: Path | None = None

    def complete(self) -> None:
        """Make the table, now that every result is written; one that is up to date stays."""
        if self.results is not None and self.table is not None:
            lines = self.results.path
            if not self.table.exists() or self.table.stat().st_mtime <= lines.stat().st_mtime:
                write_table(lines, self.table)


@contextmanager
def open_output(
    found: FoundArchive,
    question: Question,
    results: str | Path | None,
    manifest: str | Path | None,
) -> Iterator[Output]:
    """Open results and manifest, each where it is asked for.

    Raises:
        ConfigurationError: if one cannot be used, or belongs to another archive or question.
    """
    file = Path(results) if results is not None else None
    if manifest is None and file is not None:
        manifest = manifest_of(file)
    if file is not None and file.suffix == TABLE:
        require_pyarrow()
    scope = Scope(found.root, question, file.name if file else "")
    with Manifest(scope, Path(manifest) if manifest is not None else None) as noted:
        if file is None:
            yield Output(noted)
            return
        paths = (recording.path for recording in found.recordings)
        with ResultsFile(lines_of(file), noted, paths) as written:
            yield Output(noted, written, file if file.suffix == TABLE else None)
