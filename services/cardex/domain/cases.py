"""Cases: the records of the archive, each with its report, and its ECG where there is one."""

from dataclasses import dataclass, field
from enum import StrEnum

from cardex.domain.reports import Statement

MAX_CASE_ID = 128
MAX_DEVICE = 64
MAX_AGE = 150
MAX_CODES = 100
MAX_FILTER_VALUES = 20
"""Codes, languages or devices that a filter may name, of each."""
SHOWN_CASES = 5
"""Cases that an answer shows of each report."""


class Sex(StrEnum):
    """Sex of a patient, as the archive has it."""

    UNKNOWN = ""
    FEMALE = "F"
    MALE = "M"


class Nearness(StrEnum):
    """What two things are compared where the nearest are looked for."""

    REPORT = "report"
    """The ECG, or text, with the texts of the reports."""
    ECG = "ecg"
    """The ECG, or text, with the ECGs of the cases."""
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Case:
    """One record of the archive.

    Attributes:
        case_id: the archive's own reference; opaque.
        text: of its report.
        age: in years at the recording, None where unknown.
        sex: of the patient.
        month: of the recording, "2026-11", or "" where unknown.
        language: of the report, ISO 639-1, or "" where unknown.
        device: that recorded the ECG, or "".
        statements: coded statements; their support is 1.
        has_ecg: whether the archive has its ECG.
    """

    case_id: str
    text: str = field(repr=False)
    age: int | None = None
    sex: Sex = Sex.UNKNOWN
    month: str = ""
    language: str = ""
    device: str = ""
    statements: tuple[Statement, ...] = ()
    has_ecg: bool = False


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases may be found. Each field that is set has to fit; a case that lacks it does not.

    Attributes:
        min_age: youngest age in years.
        max_age: oldest age in years.
        sex: of the patient; `UNKNOWN` for any.
        with_codes: codes of statements that a case has to have, all of them.
        without_codes: codes that it must not have, none of them.
        languages: of its report, one of them.
        devices: that recorded it, one of them.
        from_month: first month of the recording, "2026-11".
        to_month: last month of the recording.
    """

    min_age: int | None = None
    max_age: int | None = None
    sex: Sex = Sex.UNKNOWN
    with_codes: tuple[str, ...] = ()
    without_codes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    from_month: str = ""
    to_month: str = ""


@dataclass(frozen=True, slots=True)
class FiledCase:
    """A case as the index keeps it; its text stands with its report alone.

    Attributes:
        case: without its text, its `case_id` with the archive before it.
        report_id: of its report.
        submitted: when it was sent to be filed, in Unix seconds: a later one takes its place.
    """

    case: Case
    report_id: str
    submitted: float = 0.0


@dataclass(frozen=True, slots=True)
class Filing:
    """What an ECG is to be filed as.

    Attributes:
        case: with the text of its report.
        index: name of the index that it goes to; "" for the one in force.
        only: whether it is filed without an answer.
    """

    case: Case
    index: str = ""
    only: bool = False


def archive_of(case_id: str) -> str:
    """Return the archive that a case's id names; "" where it names none."""
    archive, slash, _ = case_id.partition("/")
    return archive if slash else ""


def full_id(case_id: str, archive: str) -> str:
    """Return a case's id with its archive, which a caller of that archive may leave out."""
    return case_id if not archive or "/" in case_id else f"{archive}/{case_id}"
