"""Reads a manifest: a CSV file that names each ECG file of an archive, and its report."""

import csv
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cardex.domain.ecg import MAX_FILE_BYTES, FilePart, Signal
from cardex.domain.errors import InvalidEcg, InvalidReport
from cardex.evaluation.ecgs import read_parts
from cardex.reports.csv import codes_of
from cardex.reports.ptbxl import Record, normalise
from cardex.signals.formats.limits import refuse_size
from cardex.signals.formats.wfdb_header import parse_header

logger = logging.getLogger(__name__)

HEADER = ".hea"
SHOWN = 10
"""How many missing files an error names."""

CALIBRATION_FOLD, VALIDATION_FOLD, TEST_FOLD = 8, 9, 10
COLUMNS = (
    "file and report, and optionally codes (CODE or CODE:LIKELIHOOD, split by ';'), fold (1 to"
    f" {TEST_FOLD}) and patient"
)


def read_manifest(path: Path) -> list[Record]:
    """Read the rows of a manifest that have a report.

    Args:
        path: a CSV file with a header row: `file` (an ECG file relative to the manifest, in any
            format that Cardex reads; of a WFDB record its .hea), `report`, and optionally `codes`,
            `fold` (1 to 7 for training, 8 for training and calibration, 9 for validation, 10 for
            the test; 1 if missing) and `patient`.

    Returns:
        Records with `path` = `file`, numbered from 1 in the order of the rows. A patient's id is
        the number of the patient's first row; a row without a patient is a patient of its own.

    Raises:
        InvalidReport: if a column is missing, the file is empty or not CSV, no row has a report, a
            file is named twice or does not exist, a fold or likelihood is invalid, or a patient is
            in two parts of the corpus: folds 1 to 7, 8, 9 and 10. The message names the line and
            the remedy.
    """
    records = list(_records(path))
    if not records:
        raise InvalidReport(f"{path} has no row with a report: fill the column report")
    _refuse_missing(path, records)
    return records


def _records(path: Path) -> Iterator[Record]:
    lines: dict[str, int] = {}
    patients: dict[str, tuple[int, int]] = {}
    without = 0
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        file, text = (row["file"] or "").strip(), normalise(row["report"] or "")
        if not file:
            raise InvalidReport(f"{where}: file is missing: name the ECG's file", field="file")
        if (first := lines.setdefault(os.path.normpath(path.parent / file), line)) != line:
            raise InvalidReport(
                f"{where}: {file} stands in line {first} too: keep one row for each ECG",
                field="file",
            )
        if not text:
            without += 1
            continue
        fold = _fold(row.get("fold") or "", where)
        number = len(lines)
        yield Record(
            ecg_id=number,
            patient_id=_patient((row.get("patient") or "").strip(), number, fold, patients, where),
            fold=fold,
            text=text,
            codes=codes_of(row.get("codes") or "", where),
            path=file,
        )
    if without:
        logger.warning("%d rows without a report are left out", without)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the line number at which it ends."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not rows.fieldnames:
                raise InvalidReport(f"{path} is empty: it needs a header row with {COLUMNS}")
            if missing := [name for name in ("file", "report") if name not in rows.fieldnames]:
                raise InvalidReport(
                    f"{path}, line 1: the column {' and '.join(missing)} is missing: the header row"
                    f" needs {COLUMNS}, split by commas",
                    field="header",
                )
            for row in rows:
                yield rows.line_num, row
    except UnicodeDecodeError as error:
        raise InvalidReport(f"{path} is not in UTF-8: save it as CSV UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InvalidReport(f"{path} cannot be read as CSV: {error}") from error


def _fold(cell: str, where: str) -> int:
    try:
        fold = int(cell or 1)
    except ValueError:
        fold = 0
    if not 1 <= fold <= TEST_FOLD:
        raise InvalidReport(
            f"{where}: fold {cell!r}: give 1 to {CALIBRATION_FOLD - 1} for training,"
            f" {CALIBRATION_FOLD} for training and calibration, {VALIDATION_FOLD} for validation,"
            f" {TEST_FOLD} for the test",
            field="fold",
        )
    return fold


def _patient(
    name: str, number: int, fold: int, patients: dict[str, tuple[int, int]], where: str
) -> int:
    """Return a patient's id; refuses patients in more than one part of the corpus."""
    if not name:
        return number
    first, other = patients.setdefault(name, (number, fold))
    if _part(other) != _part(fold):
        raise InvalidReport(
            f"{where}: this patient is in fold {fold} and, further up, in fold {other}: a patient"
            f" whose ECGs train a model (1 to {CALIBRATION_FOLD - 1}) can neither calibrate"
            f" ({CALIBRATION_FOLD}) nor test it; give all of them one fold",
            field="patient",
        )
    return first


def _part(fold: int) -> int:
    """Return the part of the corpus that a fold is in: 1 for all that are for training alone."""
    return fold if fold in {CALIBRATION_FOLD, VALIDATION_FOLD, TEST_FOLD} else 1


def _refuse_missing(manifest: Path, records: Iterable[Record]) -> None:
    missing = [r.path for r in records if not (manifest.parent / r.path).is_file()]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise InvalidReport(
            f"{manifest}: {len(missing)} ECG files do not exist:"
            f" {', '.join(missing[:SHOWN])}{more}: paths are relative to {manifest.parent}, and a"
            f" WFDB record is named by its {HEADER}",
            field="file",
        )


def read_signal(folder: Path, record: Record) -> Signal:
    """Read and clean the ECG of a record: (12, 1000) float32, mV, 100 Hz.

    Args:
        folder: the manifest's folder.
        record: a record from `read_manifest`.

    Raises:
        InvalidEcg: if the file is missing or not a usable ECG; the message names it.
    """
    path = folder / record.path
    try:
        files = [path, *_signal_files(path)]
        refuse_size(sum(file.stat().st_size for file in files), MAX_FILE_BYTES, "the recording")
        return read_parts(tuple(FilePart(file.name, file.read_bytes()) for file in files))
    except OSError as error:
        raise InvalidEcg(f"{path} cannot be read: {error.strerror}", field="file") from error
    except InvalidEcg as error:
        raise InvalidEcg(f"{path}: {error.message}", reason=error.reason, field="file") from error


def _signal_files(path: Path) -> list[Path]:
    """Return the files that a WFDB header names and that lie beside it."""
    if path.suffix.lower() != HEADER:
        return []
    refuse_size(path.stat().st_size, MAX_FILE_BYTES, "the header")
    named = dict.fromkeys(line.file for line in parse_header(path.read_bytes()).signals)
    return [file for name in named if (file := path.parent / name).is_file() and file != path]
