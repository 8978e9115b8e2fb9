"""Clinical reports, as the index holds them and as answers show them."""

from dataclasses import dataclass, field

DRAFT_LABEL = "DRAFT FROM SIMILAR CASES, NOT A DIAGNOSIS"


@dataclass(frozen=True, slots=True)
class Statement:
    """One coded statement (SCP-ECG) that a report's records carry.

    Attributes:
        code: the SCP code, for example "IMI".
        description: the code in words.
        likelihood: per cent, the mean over the records that state it with one; None where no record
            gives a likelihood (PTB-XL writes 0 for rhythm and form statements).
        support: share of the report's records that carry the code, in (0, 1].
    """

    code: str
    description: str = ""
    likelihood: float | None = None
    support: float = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """One distinct report text and the records that bear it.

    Attributes:
        report_id: stable id, derived from the text where the source gives none.
        text: the report as it was written.
        language: ISO 639-1 code, or "" where unknown.
        record_ids: ids of records with this text.
        record_count: how many records bear this text; `record_ids` may be cut.
        statements: their coded statements.
    """

    report_id: str
    text: str = field(repr=False)
    language: str = ""
    record_ids: tuple[str, ...] = ()
    record_count: int = 0
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A coded statement that the hits agree on.

    Attributes:
        code: the SCP code.
        description: the code in words.
        share: similarity-weighted share of the hits that state it, in (0, 1].
        report_ids: the hits it stands on.
    """

    code: str
    description: str
    share: float
    report_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """A coded statement with its probability for this ECG, whatever the hits say.

    Attributes:
        code: the SCP code.
        description: the code in words.
        snomed_code: concept id in SNOMED CT, or "" where none is known to fit.
        probability: calibrated on ECGs that the model was not trained on, in [0, 1].
    """

    code: str
    description: str
    snomed_code: str
    probability: float


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """A sentence or phrase of a draft.

    Attributes:
        text: in the words of the reports.
        report_ids: the hits that say it.
    """

    text: str = field(repr=False)
    report_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """What one of the hits says, as far as other records say it too.

    Attributes:
        sentences: in the order of that hit.
        label: always `DRAFT_LABEL`.
    """

    sentences: tuple[DraftSentence, ...]
    label: str = DRAFT_LABEL
