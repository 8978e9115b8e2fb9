"""Reads PTB-XL's tables: records, statements, and the distinct reports."""

import ast
import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean

from cardex.domain.cases import Case, Sex
from cardex.domain.errors import InvalidReport
from cardex.domain.reports import Report, Statement
from cardex.reports.case_source import CaseSource
from cardex.reports.language import language_of

TABLE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"
REPRESENTATIVE = "derived_100hz.txt"
NORMAL = "NORM"
"""Code of the statement that an ECG is normal."""

DUPLICATES = frozenset(
    {
        137, 139, 140, 141, 142, 143, 145, 456, 458, 459, 461, 462, 2506, 2511, 3795, 3798, 3800,
        3801, 3832, 5817, 7777, 7779, 7782, 9821, 9825, 9888, 11810, 11814, 11815, 11817, 11838,
        13791, 13793, 13796, 13797, 13799, 15742, 18150,
    }
)  # fmt: skip
"""Records that PTB-XL v1.0.3 dropped because they repeat others."""
OLDEST = 90
"""Age of everybody who is older than 89: PTB-XL hides theirs, as 300 from v1.0.2 on."""
SEXES = {"": Sex.UNKNOWN, "0": Sex.MALE, "1": Sex.FEMALE}


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the table.

    Attributes:
        ecg_id: PTB-XL's record number.
        patient_id: PTB-XL's pseudonymous patient number.
        fold: official stratified fold, 1 to 10.
        text: the report, white space normalised.
        codes: SCP code to likelihood in per cent; 0 if none was given.
        path: the 100 Hz waveform relative to the data set's folder, without suffix.
        site: number of the site that recorded the ECG, "" where it is unknown.
        device: model of the electrocardiograph, "" where it is unknown.
        age: in years, `OLDEST` for all above 89, None where it is unknown.
        sex: of the patient.
        month: of the recording, "1984-11", "" where it is unknown.
    """

    ecg_id: int
    patient_id: int
    fold: int
    text: str
    codes: dict[str, float]
    path: str
    site: str = ""
    device: str = ""
    age: int | None = None
    sex: Sex = Sex.UNKNOWN
    month: str = ""

    @property
    def coded(self) -> bool:
        """Whether the ECG's statements are known: without any code they are not."""
        return bool(self.codes)

    @property
    def abnormal(self) -> bool:
        """Whether the statements are known, and the one that the ECG is normal is missing."""
        return self.coded and NORMAL not in self.codes


def read_records(folder: Path) -> list[Record]:
    """Read every record of `folder`'s table.

    Raises:
        InvalidReport: if the table is missing, is not CSV in UTF-8, lacks a column or has an
            unreadable row.
    """
    table = folder / TABLE
    if not table.is_file():
        raise InvalidReport(f"{table} does not exist: give the folder that holds PTB-XL's {TABLE}")
    with _table(table) as rows:
        return [_record(row, rows.line_num) for row in rows]


@contextmanager
def _table(path: Path) -> Iterator["csv.DictReader[str]"]:
    """Open a table; what is not CSV in UTF-8 becomes an InvalidReport that names the file."""
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            yield csv.DictReader(lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidReport(
            f"{path} cannot be read as CSV in UTF-8: {error}: save it as that, or download it anew"
        ) from error


def _record(row: dict[str, str], line: int) -> Record:
    try:
        codes = ast.literal_eval(row["scp_codes"])
        return Record(
            ecg_id=int(float(row["ecg_id"])),
            patient_id=int(float(row["patient_id"])),
            fold=int(row["strat_fold"]),
            text=normalise(row["report"]),
            codes={str(code): float(value) for code, value in codes.items()},
            path=row["filename_lr"],
            site=normalise(row.get("site") or "").removesuffix(".0"),
            device=normalise(row.get("device") or ""),
            age=_age(row.get("age") or ""),
            sex=SEXES[(row.get("sex") or "").removesuffix(".0")],
            month=_month(row.get("recording_date") or ""),
        )
    except (KeyError, ValueError, OverflowError, SyntaxError, TypeError, AttributeError) as error:
        raise InvalidReport(f"{TABLE}, line {line}: {type(error).__name__}: {error}") from error


def _age(cell: str) -> int | None:
    """Return an age in years that nobody is known by, None where there is none."""
    return min(int(float(cell)), OLDEST) if cell else None


def _month(cell: str) -> str:
    """Return the month of a time such as "1984-11-09 09:17:34"."""
    return datetime.fromisoformat(cell).strftime("%Y-%m") if cell else ""


def read_representative(folder: Path) -> frozenset[int]:
    """Return the ids that `derived_100hz.txt` lists, one in a line; none where it is missing.

    The ECGs of this list are spread over all of PTB-XL. Where only the first ids are there besides,
    they stand for PTB-XL as a whole, and the others do not.

    Raises:
        InvalidReport: if a line is not a number.
    """
    path = folder / REPRESENTATIVE
    if not path.is_file():
        return frozenset()
    try:
        return frozenset(int(line) for line in path.read_text().split())
    except ValueError as error:
        raise InvalidReport(f"{path} needs one record number in a line: {error}") from error


@dataclass(frozen=True, slots=True)
class StatementKind:
    """One row of the table of statements.

    Attributes:
        description: the statement in words.
        superclass: diagnostic superclass, "" for a statement that is not diagnostic.
        subclass: diagnostic subclass, "" for a statement that is not diagnostic.
        form: whether the statement describes the waveform's shape.
        rhythm: whether the statement describes the rhythm.
    """

    description: str
    superclass: str
    subclass: str
    form: bool
    rhythm: bool

    def classes(self, level: str, code: str) -> tuple[str, ...]:
        """Return the statement's class at a level, or nothing.

        Args:
            level: "superclass", "subclass", "form" or "rhythm"; in the last two a statement is a
                class of its own.
            code: the statement's code.
        """
        if level in ("form", "rhythm"):
            return (code,) if getattr(self, level) else ()
        label: str = getattr(self, level)
        return (label,) if label else ()


def read_kinds(folder: Path) -> dict[str, StatementKind]:
    """Return SCP code to kind from `scp_statements.csv`; empty where the file is missing.

    Raises:
        InvalidReport: if the table is damaged, or not in UTF-8.
    """
    path = folder / STATEMENTS
    if not path.is_file():
        return {}
    with _table(path) as rows:
        try:
            code = (rows.fieldnames or [""])[0]
            if "description" not in (rows.fieldnames or ()):
                raise KeyError("description")
            return {row[code]: _kind(row) for row in rows}
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidReport(
                f"{path}, line {rows.line_num}: needs a code and the column description"
            ) from error


def _kind(row: dict[str, str]) -> StatementKind:
    return StatementKind(
        description=row["description"].strip(),
        superclass=row.get("diagnostic_class", "").strip(),
        subclass=row.get("diagnostic_subclass", "").strip(),
        form=row.get("form", "").strip() == "1.0",
        rhythm=row.get("rhythm", "").strip() == "1.0",
    )


def read_descriptions(folder: Path) -> dict[str, str]:
    """Return SCP code to description from `scp_statements.csv`; empty where the file is missing.

    Raises:
        InvalidReport: if the table is damaged.
    """
    return {code: kind.description for code, kind in read_kinds(folder).items()}


def distinct_reports(folder: Path) -> list[Report]:
    """Read the distinct reports of all records, each with the records and statements behind it."""
    return reports_of(read_records(folder), read_descriptions(folder))


def reports_of(records: Iterable[Record], descriptions: Mapping[str, str]) -> list[Report]:
    """Return the distinct reports of records, each with the records and statements behind it."""
    by_text: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.text:
            by_text[record.text].append(record)
    return [
        Report(
            report_id=report_id(text),
            text=text,
            language=language_of(text),
            record_ids=tuple(str(record.ecg_id) for record in own),
            record_count=len(own),
            statements=merge_statements((record.codes for record in own), descriptions),
        )
        for text, own in by_text.items()
    ]


def cases_of(folder: Path) -> Iterator[CaseSource]:
    """Yield a case of every record that has a report, with its 100 Hz ECG where it is there.

    Records that v1.0.3 dropped are left out of earlier tables too.

    Raises:
        InvalidReport: as `read_records` and `read_descriptions`.
    """
    descriptions = read_descriptions(folder)
    for record in read_records(folder):
        if record.text and record.ecg_id not in DUPLICATES:
            ecg = _ecg_of(folder / record.path)
            case = Case(
                case_id=str(record.ecg_id),
                text=record.text,
                age=record.age,
                sex=record.sex,
                month=record.month,
                language=language_of(record.text),
                device=record.device,
                statements=merge_statements([record.codes], descriptions),
                has_ecg=ecg is not None,
            )
            yield CaseSource(case, ecg)


def _ecg_of(path: Path) -> Path | None:
    """Return the header of a waveform, None where it or its samples are not there."""
    header, samples = path.with_suffix(".hea"), path.with_suffix(".dat")
    return header if header.is_file() and samples.is_file() else None


def merge_statements(
    records: Iterable[dict[str, float]], descriptions: Mapping[str, str]
) -> tuple[Statement, ...]:
    """Merge the codes of the records behind one report, the most supported first."""
    every = list(records)
    likelihoods: dict[str, list[float]] = defaultdict(list)
    for codes in every:
        for code, likelihood in codes.items():
            likelihoods[code].append(likelihood)
    merged = []
    for code, values in likelihoods.items():
        given = [value for value in values if value > 0]
        merged.append(
            Statement(
                code=code,
                description=descriptions.get(code, ""),
                likelihood=round(fmean(given), 1) if given else None,
                support=max(1e-4, round(len(values) / len(every), 4)),
            )
        )
    return tuple(sorted(merged, key=lambda s: (-s.support, -(s.likelihood or 0.0), s.code)))


def normalise(text: str) -> str:
    """Collapse white space; the words stay as they were written."""
    return " ".join(text.split())


def report_id(text: str) -> str:
    """Return the stable id of a report text: 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
