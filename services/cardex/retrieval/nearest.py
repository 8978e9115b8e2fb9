"""What is nearest to ECGs and texts: reports by their texts, by their cases' ECGs, or by both."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cardex.domain.cases import CaseFilter, Nearness
from cardex.domain.ecg import Embedding
from cardex.domain.index import CaseMatch, IndexInfo, Match
from cardex.domain.jobs import Question
from cardex.domain.reports import Report
from cardex.inference.agreement import expected_jaccard
from cardex.inference.statements import Predictor
from cardex.retrieval import fusion
from cardex.retrieval.active_index import ServingSnapshot
from cardex.retrieval.case_cache import AskedCases, CaseCache, NearestCases
from cardex.retrieval.report_cache import ReportCache
from cardex.stores.case_filter import expression
from cardex.stores.report_index import ReportIndex

T = TypeVar("T", bound=Hashable)

FEW = 10_000
"""Up to so many cases that a filter lets pass, their reports are searched and no others."""
CASES_PER_REPORT = 8
"""By ECG so many cases are searched for each report that is wanted, since reports have several."""
WIDER, WIDEST = 4, 4_096
"""Else so many times more reports are searched until enough have such a case, up to so many."""
AT_ONCE = 256
"""Reports of which is asked at once whether they have a case that passes."""


@dataclass(slots=True)
class Found:
    """What is near to one ECG or text.

    Attributes:
        by: what nearness meant.
        matches: reports in their order.
        report_similarities: of the texts, by report id.
        ecg_similarities: of the nearest cases, by report id, as far as they are known.
        text_scores: similarities of the texts and what the agreement of statements adds, by report
            id; empty where the order is by the similarities alone.
        cases: those that were near, nearest first, by report id.
    """

    by: Nearness
    matches: list[Match] = field(default_factory=list)
    report_similarities: dict[str, float] = field(default_factory=dict)
    ecg_similarities: dict[str, float] = field(default_factory=dict)
    text_scores: dict[str, float] = field(default_factory=dict)
    cases: dict[str, list[CaseMatch]] = field(default_factory=dict)

    def keep(self, reports: Mapping[str, Report], count: int) -> None:
        """Keep the first `count` that are there."""
        self.matches = [match for match in self.matches if match.report_id in reports][:count]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of one ECG's or text's hits.

    Attributes:
        vector: (E,) its embedding.
        reports: of the hits.
        question: what was asked.
        found: what was near.
    """

    vector: Embedding
    reports: Sequence[Report]
    question: Question
    found: Found

    @property
    def asked(self) -> AskedCases:
        """The same for the cache of cases."""
        return self.vector, self.reports, self.found.cases


@dataclass(frozen=True, slots=True)
class Scope:
    """Which cases may be found."""

    wanted: CaseFilter | None
    archive: str

    @classmethod
    def of(cls, question: Question) -> "Scope":
        """Return the scope of a question."""
        return cls(question.filter, question.archive)

    @property
    def expression(self) -> str:
        """The same for Milvus; "" for all cases."""
        return expression(self.wanted, self.archive)


class NearestSearch:
    """Searches reports and cases, and puts what both find in one order."""

    def __init__(self, store: ReportIndex, reports: ReportCache, cases: CaseCache) -> None:
        """Search by the caches; `store` is asked where a filter names reports."""
        self._store = store
        self._reports = reports
        self._cases = cases

    def of_ecgs(
        self,
        snapshot: ServingSnapshot,
        vectors: Embedding,
        questions: Sequence[Question],
        counts: Sequence[int],
        probabilities: NDArray[np.float64] | None,
    ) -> tuple[list[Found], Mapping[str, Report]]:
        """Return what is near to each ECG, and the reports by id.

        Questions of one scope, one kind of nearness and one count are searched for together, so
        that no answer depends on what else is asked at the same time.

        Args:
            snapshot: model and index.
            vectors: (B, E) embeddings of the ECGs.
            questions: what is asked of each.
            counts: how many reports of each.
            probabilities: (B, S) of the ECGs' statements, None where the model tells none, and for
                texts.
        """
        results: list[Found] = [Found(Nearness.REPORT) for _ in questions]
        reports: dict[str, Report] = {}
        asked = (
            (Scope.of(question), question.by or Nearness.REPORT, count)
            for question, count in zip(questions, counts, strict=True)
        )
        for (scope, by, count), places in _groups(asked).items():
            known = probabilities[places] if probabilities is not None else None
            group = _Group(snapshot, vectors[places], known, scope, by)
            self._search(group, count)
            there = self._rank(group)
            reports.update(there)
            for place, found in zip(places, group.found, strict=True):
                found.keep(there, count)
                results[place] = found
        return results, reports

    def of_text(
        self, snapshot: ServingSnapshot, vector: Embedding, question: Question
    ) -> tuple[Found, Mapping[str, Report]]:
        """Return what is near to one text of embedding (1, E), and the reports by id."""
        found, reports = self.of_ecgs(snapshot, vector, [question], [question.top_k], None)
        return found[0], reports

    def cases_of(self, index: IndexInfo, shown: Sequence[Shown]) -> list[NearestCases]:
        """Return the nearest cases of each question's hits."""
        result: list[NearestCases] = [{} for _ in shown]
        for scope, places in _groups(Scope.of(one.question) for one in shown).items():
            asked = [shown[place].asked for place in places]
            found = self._cases.of_reports(index, asked, scope.expression)
            for place, cases in zip(places, found, strict=True):
                result[place] = cases
        return result

    def _search(self, group: "_Group", count: int) -> None:
        """Find candidates: reports by their texts, and by the ECGs of their cases."""
        index, narrowed = group.snapshot.index, group.scope.expression
        if group.by is not Nearness.REPORT:
            more = CASES_PER_REPORT * count if group.by is Nearness.ECG else 0
            group.cases = self._cases.search(
                index,
                group.vectors,
                max(fusion.VOTERS, more),
                narrowed,
                of_text=group.probabilities is None,
            )
            if not any(group.cases) and group.by is Nearness.BOTH:
                group.by = Nearness.REPORT
        if group.by is not Nearness.ECG:
            group.near = (
                self._filtered(index, group.vectors, count, narrowed)
                if narrowed
                else self._reports.search(index, group.vectors, count)
            )

    def _rank(self, group: "_Group") -> Mapping[str, Report]:
        """Score the candidates, and return them by id."""
        index = group.snapshot.index
        group.found = [Found(group.by, list(near)) for near in group.near]
        for found, cases in zip(group.found, group.cases, strict=True):
            found.ecg_similarities = dict(fusion.nearest_similarity(cases))
            for match in cases:
                found.cases.setdefault(match.filed.report_id, []).append(match)
            found.report_similarities = {match.report_id: match.score for match in found.matches}
        every = sorted({one for found in group.found for one in _candidates(found)})
        reports = self._reports.get(index, [Match(one, 0.0) for one in every])
        if group.needs_embeddings:
            vectors = self._reports.embeddings(index, every)
            group.score(
                [one for one in every if one in vectors and one in reports], vectors, reports
            )
        return reports

    def _filtered(
        self, index: IndexInfo, vectors: Embedding, count: int, narrowed: str
    ) -> list[list[Match]]:
        """Return the nearest reports that have a case which an expression fits."""
        if not index.has_cases:
            return [[] for _ in vectors]
        if self._store.cases.count_where(index, narrowed) <= FEW:
            among = sorted(set(self._store.cases.reports_with(index, narrowed, FEW)))
            return self._store.search(index, vectors, count, among) if among else _none(vectors)
        wide, passed, failed = WIDER * count, set[str](), set[str]()
        while True:
            found = self._reports.search(index, vectors, wide)
            new = sorted({m.report_id for row in found for m in row} - passed - failed)
            passing = self._with_case(index, new, narrowed)
            passed |= passing
            failed.update(set(new) - passing)
            kept = [[m for m in row if m.report_id in passed][:count] for row in found]
            exhausted = wide >= WIDEST or any(len(row) < wide for row in found)
            if exhausted or all(len(row) == count for row in kept):
                return kept
            wide = min(WIDEST, WIDER * wide)

    def _with_case(self, index: IndexInfo, report_ids: Sequence[str], narrowed: str) -> set[str]:
        """Return those of the reports that have a case which an expression fits."""
        passed: set[str] = set()
        for first in range(0, len(report_ids), AT_ONCE):
            left = list(report_ids[first : first + AT_ONCE])
            while left:  # common reports may fill an answer of Milvus, so it is asked for the rest
                which = f"report_id in {left} and {narrowed}"
                seen = set(self._store.cases.reports_with(index, which))
                passed |= seen
                if not seen:
                    break
                left = [one for one in left if one not in seen]
        return passed


@dataclass(slots=True)
class _Group:
    """Questions of one scope and one kind of nearness.

    Attributes:
        snapshot: model and index.
        vectors: (B, E) embeddings of what is asked about.
        probabilities: (B, S) of the ECGs' statements; None for texts.
        scope: which cases may be found.
        by: what nearness means.
        near: reports by their texts, nearest first.
        cases: cases by their ECGs, nearest first.
        found: the outcome.
    """

    snapshot: ServingSnapshot
    vectors: Embedding
    probabilities: NDArray[np.float64] | None
    scope: Scope
    by: Nearness
    near: list[list[Match]] = field(init=False)
    cases: list[list[CaseMatch]] = field(init=False)
    found: list[Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with nothing found."""
        self.near, self.cases = _none(self.vectors), [[] for _ in self.vectors]

    @property
    def predictor(self) -> Predictor | None:
        """Tells what is added to similarities; None for texts, and where the model adds nothing."""
        predictor = self.snapshot.predictor
        told = self.probabilities is not None and predictor is not None and predictor.agrees
        return predictor if told else None

    @property
    def needs_embeddings(self) -> bool:
        """Whether more is added to the similarities than the search tells."""
        return self.by is not Nearness.REPORT or self.predictor is not None

    def score(
        self, ids: list[str], vectors: Mapping[str, Embedding], reports: Mapping[str, Report]
    ) -> None:
        """Score the candidates `ids`, whose embeddings and reports are given by id."""
        if not ids:
            for found in self.found:
                found.matches = []
            return
        own = np.stack([vectors[one] for one in ids])  # (n, E)
        similarities = self.vectors @ own.T  # (B, n)
        stated = self._stated(own)  # (B, n)
        more = self._recorded([reports[one] for one in ids])  # (B, n)
        places = {one: place for place, one in enumerate(ids)}
        for row, (found, cases) in enumerate(zip(self.found, self.cases, strict=True)):
            candidates = [one for one in _candidates(found) if one in places]
            at = [places[one] for one in candidates]
            similar = dict(zip(candidates, similarities[row, at].tolist(), strict=True))
            texts = (similarities[row] + stated[row])[at]
            scores = dict(zip(candidates, (texts + more[row, at]).tolist(), strict=True))
            found.text_scores = dict(zip(candidates, texts.tolist(), strict=True))
            found.report_similarities = similar
            found.matches = self._ordered(found, cases, scores)

    def _stated(self, own: Embedding) -> NDArray[np.float64]:
        """Return what agreeing with the texts' statements adds to each report: (B, n)."""
        if self.predictor is None or self.probabilities is None:
            return np.zeros((len(self.vectors), len(own)))
        return self.predictor.agreement(self.probabilities, own)

    def _recorded(self, reports: Sequence[Report]) -> NDArray[np.float64]:
        """Return what its records add to each report, their number and coded statements: (B, n).

        Nothing where the caller may see the cases of one archive alone: the order would tell what
        others have recorded.
        """
        predictor, probabilities = self.predictor, self.probabilities
        added = np.zeros((len(self.vectors), len(reports)))
        if predictor is None or probabilities is None or self.scope.archive:
            return added
        added += predictor.commonness([one.record_count for one in reports])
        if self.by is Nearness.BOTH:
            weight = predictor.agreement_weight * fusion.CODED_WEIGHT
            coded = fusion.coded(reports, predictor.codes)
            added += weight * expected_jaccard(probabilities, coded)
        return added

    def _ordered(
        self, found: Found, cases: Sequence[CaseMatch], scores: dict[str, float]
    ) -> list[Match]:
        if self.by is Nearness.ECG:
            scores = {one: found.ecg_similarities[one] for one in scores}
        elif self.by is Nearness.BOTH and self.predictor is None:
            known = scores
            by_text = sorted(known, key=lambda one: -known[one])
            by_ecg = [one for one in found.ecg_similarities if one in known]
            scores = fusion.reciprocal_ranks(by_text, by_ecg)
        elif self.by is Nearness.BOTH:
            assert self.predictor is not None
            weight = self.predictor.agreement_weight * fusion.VOTE_WEIGHT
            shares = fusion.votes(cases)
            scores = {one: score + weight * shares.get(one, 0.0) for one, score in scores.items()}
        ordered = sorted(scores, key=lambda one: -scores[one])  # equal ones stay in their order
        return [Match(one, scores[one]) for one in ordered]


def _candidates(found: Found) -> list[str]:
    """Return the reports that either search found: those by text first, each once."""
    by_text = [match.report_id for match in found.matches]
    return list(dict.fromkeys([*by_text, *found.ecg_similarities]))


def _none(vectors: Embedding) -> list[list[Match]]:
    return [[] for _ in vectors]


def _groups(keys: Iterable[T]) -> dict[T, list[int]]:
    """Return the places of each key."""
    groups: dict[T, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    return groups
