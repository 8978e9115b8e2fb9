"""A case on its way into the index, with the file that holds its ECG."""

from dataclasses import dataclass, field
from pathlib import Path

from cardex.domain.cases import Case


@dataclass(frozen=True, slots=True)
class CaseSource:
    """What an archive has of one record.

    Attributes:
        case: the case, with the text of its report.
        ecg: the ECG's file, for WFDB the header; None where the archive has none.
    """

    case: Case
    ecg: Path | None = field(default=None, repr=False)
