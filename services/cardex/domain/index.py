"""The report index, as all rooms see it."""

from dataclasses import dataclass

from cardex.domain.cases import FiledCase
from cardex.domain.reports import Report
from cardex.domain.trace import Trace


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """One collection of reports.

    Attributes:
        name: of the collection.
        generation: changes with every change of its contents.
        model_version: that embedded its reports.
        created: Unix seconds.
        dimension: of its vectors.
        kind: of its vector index, a key of `KINDS`.
        twin: name and generation of the index that it has the same reports as, by another model,
            and its own generation at that time; empty where it was built from anything else.
        cells: into how many its vectors are divided, of which a search looks at a part; 1 where it
            looks at all vectors.
        has_cases: whether cases can be filed in it; not in one of an earlier version of Cardex.
        case_cells: as `cells`, of the ECGs of its cases.
        answered: whether it answers, or did once.
    """

    name: str
    generation: str
    model_version: str
    created: float
    dimension: int
    kind: str
    twin: tuple[str, ...] = ()
    cells: int = 1
    has_cases: bool = False
    case_cells: int = 1
    answered: bool = False

    def same_reports(self, other: "IndexInfo") -> bool:
        """Return whether one is the other, or was made from it and neither has changed since."""
        made_from_other = self.twin == (*other.contents, self.generation)
        other_made_from_it = other.twin == (*self.contents, other.generation)
        return self.contents == other.contents or made_from_other or other_made_from_it

    @property
    def changed(self) -> float:
        """When its contents changed last, in Unix seconds; the generation begins with it."""
        try:
            return int(self.generation[:-4], 16) / 1000.0
        except ValueError:
            return self.created

    @property
    def contents(self) -> tuple[str, str]:
        """What names this index with these reports."""
        return self.name, self.generation


@dataclass(frozen=True, slots=True)
class Match:
    """A report's id and its score: the cosine similarity, and what is added to it."""

    report_id: str
    score: float


@dataclass(frozen=True, slots=True)
class CaseMatch:
    """A case and the cosine similarity of its ECG, which says nothing where it has none."""

    filed: FiledCase
    similarity: float


@dataclass(frozen=True, slots=True)
class FoundCase:
    """One case with its report and, where there is one, the trace of its ECG."""

    filed: FiledCase
    report: Report
    trace: Trace | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A report that was found.

    Attributes:
        report: the report.
        score: what the order is by: the similarity of the text and what the agreement of statements
            and the number of records add, the similarity of the nearest case, or what both
            together make.
        rank: 1 for the first: that with the highest score, or the one that the matcher put first.
        match: the matcher's log-odds that report and ECG belong together; None without re-ranking.
        report_similarity: cosine similarity of the question and the text.
        ecg_similarity: cosine similarity of the question and the ECG of the nearest case; None
            where no case has one.
        cases: its nearest cases, those without an ECG last.
        text_score: similarity of the text and what the agreement of statements adds, whatever the
            order is by; None where `score` is that.
    """

    report: Report
    score: float
    rank: int
    match: float | None = None
    report_similarity: float | None = None
    ecg_similarity: float | None = None
    cases: tuple[CaseMatch, ...] = ()
    text_score: float | None = None

    @property
    def said(self) -> float:
        """How far the text fits: the weight of the hit where hits vote on what is said."""
        return self.score if self.text_score is None else self.text_score
