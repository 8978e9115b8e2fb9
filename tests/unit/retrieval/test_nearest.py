import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from cardex.domain.cases import Case, CaseFilter, FiledCase, Nearness
from cardex.domain.jobs import Question
from cardex.domain.reports import Report, Statement
from cardex.inference.agreement import expected_jaccard
from cardex.inference.statements import Predictor
from cardex.reports.records import report_of_case
from cardex.retrieval import fusion, nearest
from cardex.retrieval.active_index import ServingSnapshot
from cardex.retrieval.case_cache import CaseCache
from cardex.retrieval.nearest import Found, NearestSearch, Scope
from cardex.retrieval.report_cache import ReportCache
from cardex.stores.case_index import CaseIndex
from cardex.stores.report_index import ReportIndex
from tests.helpers.cases import a_case, row_of, vectors
from tests.helpers.embeddings import unit
from tests.helpers.fake_model import agreement, calibration, model_info
from tests.helpers.fake_store import FakeStore

TEXTS = 40
COUNT = 200
OLD = CaseFilter(min_age=60)
BY_ALL = list(Nearness)


class World:
    """Reports and cases at random; one of four cases has no ECG."""

    def __init__(self, *, texts: int = TEXTS, count: int = COUNT, ecgs: bool = True) -> None:
        self.store = FakeStore(has_cases=True)
        self.index = self.store.current()
        self.texts = vectors(texts, seed=1)
        self.ecgs = vectors(count, seed=2)
        self.cases = [self.case(n, texts) for n in range(count)]
        self.reports: dict[str, Report] = {}
        for case in self.cases:
            self.reports[report_of_case(case)] = Report(
                report_of_case(case), case.text, statements=(Statement("AFIB", support=0.5),)
            )
        embeddings = self.texts[: len(self.reports)]
        self.store.upsert(self.index, list(self.reports.values()), embeddings)
        rows = [
            row_of(case, self.ecgs[n] if ecgs and n % 4 else None)
            for n, case in enumerate(self.cases)
        ]
        self.store.cases.upsert(self.index, rows)
        self.snapshot = ServingSnapshot(model_info(), self.index)
        self.search = NearestSearch(
            cast(ReportIndex, self.store),
            ReportCache(cast(ReportIndex, self.store)),
            CaseCache(cast(CaseIndex, self.store.cases)),
        )
        self.store.calls.clear()

    def case(self, number: int, texts: int) -> Case:
        return a_case(
            f"{'north' if number % 5 else 'south'}/{number}", f"text {number % texts}", age=number
        )

    def knows(self, question: Question, fits: Any) -> None:
        """Let the store understand the expression of a question."""
        self.store.cases.predicates[Scope.of(question).expression] = fits

    def found(self, questions: Sequence[Question], asked: np.ndarray, *counts: int) -> list[Found]:
        probabilities = None
        if self.snapshot.predictor is not None:
            probabilities = self.snapshot.predictor.probabilities(asked)
        found, reports = self.search.of_ecgs(
            self.snapshot, asked, questions, counts or [10] * len(questions), probabilities
        )
        assert all(match.report_id in reports for one in found for match in one.matches)
        return found

    def borne(self, records: Callable[[str], int], *statements: Statement) -> None:
        """Let so many records bear each report, by its id, and have these statements."""
        contents = self.store.contents[self.index.name]
        for one, (report, vector) in list(contents.items()):
            borne = replace(report, record_count=records(one), statements=statements)
            contents[one] = borne, vector

    def agrees(self, weight: float, commonness: float = 0.0) -> Predictor:
        """Let the model tell statements of reports: AFIB, on the first axis."""
        made = msgspec.structs.replace(
            calibration("AFIB", slope=1.0), agreement=agreement(weight, commonness)
        )
        predictor = Predictor(made, vectors(1, seed=9))
        self.snapshot = replace(self.snapshot, calibration=made, predictor=predictor)
        return predictor

    def by_text(self, asked: np.ndarray) -> dict[str, float]:
        """Return the similarity of each report by its text."""
        there = self.store.contents[self.index.name]
        return {one: float(asked @ vector) for one, (_, vector) in there.items()}

    def by_ecg(self, asked: np.ndarray, fits: Any = lambda _: True) -> dict[str, float]:
        """Return the similarity of the nearest ECG of each report that has one."""
        best: dict[str, float] = {}
        for row in self.store.cases.of(self.index).values():
            if row.embedding is not None and fits(row.filed):
                similarity = float(asked @ row.embedding)
                best[row.filed.report_id] = max(best.get(row.filed.report_id, -2.0), similarity)
        return best


def first(scores: dict[str, float], count: int = 10) -> list[str]:
    return sorted(scores, key=lambda one: -scores[one])[:count]


def order(found: Found) -> list[str]:
    return [match.report_id for match in found.matches]


def old(filed: FiledCase) -> bool:
    return (filed.case.age or 0) >= 60


@pytest.mark.parametrize("by", list(Nearness))
def test_what_is_found_does_not_depend_on_what_else_is_asked_at_the_same_time(by):
    world = World(texts=150, count=300)
    world.agrees(weight=5.0)
    asked, question = vectors(2, seed=7), Question(by=by)
    (alone,) = world.found([question], asked[:1], 3)
    beside, _ = world.found([question, question], asked, 3, 100)
    assert beside.matches == alone.matches
    assert len(alone.matches) == 3


@pytest.mark.parametrize("by", [Nearness.REPORT, Nearness.BOTH])
def test_a_text_that_many_records_bear_gains_and_is_told_apart_from_its_similarity(by):
    (asked,) = vectors(1, seed=3)

    def found(commonness, common=""):
        world = World(texts=10, count=10)
        world.agrees(weight=0.0, commonness=commonness)
        world.borne(lambda one: 50 if one == common else 1)
        (only,) = world.found([Question(by=by)], asked[None])
        return only

    plain = found(0.0)
    last = order(plain)[-1]
    gained = found(10.0, common=last)
    assert order(gained) == [last, *order(plain)[:-1]]
    assert gained.matches[0].score == pytest.approx(plain.matches[-1].score + 10.0 * np.log(50))
    assert gained.report_similarities == plain.report_similarities


# By the texts.


@pytest.mark.parametrize("by", [None, Nearness.REPORT])
def test_by_report_the_order_is_that_of_the_texts_similarities(by):
    world = World()
    asked = vectors(5, seed=7)
    for vector, found in zip(asked, world.found([Question(by=by)] * 5, asked), strict=True):
        similarities = world.by_text(vector)
        assert order(found) == first(similarities)
        assert found.by is Nearness.REPORT
        assert found.report_similarities == pytest.approx(
            {one: similarities[one] for one in order(found)}, abs=1e-6
        )
    assert "cases.search" not in world.store.calls


# By the ECGs.


def test_by_ecg_the_order_is_that_of_the_nearest_ecgs_exact_similarities():
    world = World()
    asked = vectors(8, seed=7)
    questions = [Question(by=Nearness.ECG)] * len(asked)
    for vector, found in zip(asked, world.found(questions, asked), strict=True):
        similarities = world.by_ecg(vector)
        assert found.by is Nearness.ECG
        assert order(found) == first(similarities)
        scores = [match.score for match in found.matches]
        assert scores == pytest.approx([similarities[one] for one in order(found)], abs=1e-6)
        texts = world.by_text(vector)
        for one in order(found):
            assert found.report_similarities[one] == pytest.approx(texts[one], abs=1e-6)


def test_by_ecg_reports_without_an_ecg_are_not_found():
    world = World(ecgs=False)
    (found,) = world.found([Question(by=Nearness.ECG)], vectors(1))
    assert (found.matches, found.by) == ([], Nearness.ECG)


def test_by_ecg_what_a_model_tells_of_statements_changes_nothing():
    world = World()
    asked = vectors(3, seed=7)
    questions = [Question(by=Nearness.ECG)] * 3
    plain = [found.matches for found in world.found(questions, asked)]
    world.agrees(100.0)
    assert [found.matches for found in world.found(questions, asked)] == plain


# By both.


def test_by_both_ranks_are_fused_where_the_model_tells_no_statements():
    world = World()
    asked = vectors(5, seed=7)
    for vector, found in zip(
        asked, world.found([Question(by=Nearness.BOTH)] * 5, asked), strict=True
    ):
        by_text, by_ecg = first(world.by_text(vector), TEXTS), first(world.by_ecg(vector), TEXTS)
        near = set(first(world.by_text(vector))) | set(found.ecg_similarities)
        expected = fusion.reciprocal_ranks(
            [one for one in by_text if one in near],
            [one for one in by_ecg if one in found.ecg_similarities],
        )
        assert found.by is Nearness.BOTH
        assert [match.score for match in found.matches] == pytest.approx(
            sorted(expected.values(), reverse=True)[:10]
        )


def test_by_both_votes_and_coded_statements_are_added_by_the_models_weight():
    world = World()
    predictor = world.agrees(0.3)
    asked = vectors(5, seed=7)
    probabilities = predictor.probabilities(asked)
    for row, (vector, found) in enumerate(
        zip(asked, world.found([Question(by=Nearness.BOTH)] * 5, asked), strict=True)
    ):
        (cases,) = world.store.cases.search(world.index, vector[None], fusion.VOTERS)
        shares = fusion.votes(cases)
        texts = world.by_text(vector)
        for match in found.matches:
            one = match.report_id
            own = world.store.contents[world.index.name][one][1][None]
            coded = np.array([[0.5]])
            expected = (
                texts[one]
                + predictor.agreement(probabilities[row], own)[0]
                + 0.3 * fusion.CODED_WEIGHT * expected_jaccard(probabilities[row], coded)[0]
                + 0.3 * fusion.VOTE_WEIGHT * shares.get(one, 0.0)
            )
            assert match.score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("by", list(Nearness))
def test_how_far_the_text_fits_is_told_whatever_the_order_is_by(by):
    world = World()
    predictor = world.agrees(0.3, commonness=10.0)
    counts = itertools.count(1)
    world.borne(lambda _: next(counts))
    asked = vectors(3, seed=7)
    probabilities = predictor.probabilities(asked)
    for row, (vector, found) in enumerate(
        zip(asked, world.found([Question(by=by)] * 3, asked), strict=True)
    ):
        texts = world.by_text(vector)
        for one in order(found):
            own = world.store.contents[world.index.name][one][1][None]
            expected = texts[one] + predictor.agreement(probabilities[row], own)[0]
            assert found.text_scores[one] == pytest.approx(expected, abs=1e-5)


def test_by_both_a_report_that_only_its_ecgs_are_near_to_is_found():
    world = World()
    world.agrees(1.0)
    (asked,) = vectors(1, seed=7)
    far = first(world.by_text(asked), TEXTS)[-1]
    case = next(case for case in world.cases if report_of_case(case) == far)
    world.store.cases.upsert(world.index, [row_of(case, asked)])
    (found,) = world.found([Question(by=Nearness.BOTH)], asked[None], 5)
    assert order(found)[0] == far
    assert found.ecg_similarities[far] == pytest.approx(1.0, abs=1e-5)


def test_by_both_falls_back_to_the_texts_where_no_case_has_an_ecg():
    world = World(ecgs=False)
    asked = vectors(3, seed=7)
    for vector, found in zip(
        asked, world.found([Question(by=Nearness.BOTH)] * 3, asked), strict=True
    ):
        assert found.by is Nearness.REPORT
        assert order(found) == first(world.by_text(vector))


def test_by_both_an_index_of_an_earlier_version_is_searched_by_its_texts():
    world = World()
    world.snapshot = replace(world.snapshot, index=replace(world.index, has_cases=False))
    (found,) = world.found([Question(by=Nearness.BOTH)], vectors(1))
    assert found.by is Nearness.REPORT
    assert order(found) == first(world.by_text(vectors(1)[0]))


# Filters.


@pytest.mark.parametrize("few", [nearest.FEW, 1], ids=["few fit", "many fit"])
@pytest.mark.parametrize("by", BY_ALL)
def test_a_filter_finds_reports_with_a_case_that_fits_and_no_other(by, few, monkeypatch):
    monkeypatch.setattr(nearest, "FEW", few)
    monkeypatch.setattr(nearest, "AT_ONCE", 7)
    world = World(texts=60)
    world.store.cases.most = 9 if few == 1 else 16_384
    question = Question(by=by, filter=CaseFilter(min_age=170))

    def fits(filed: FiledCase) -> bool:
        return (filed.case.age or 0) >= 170

    world.knows(question, fits)
    asked = vectors(4, seed=7)
    there = {
        row.filed.report_id for row in world.store.cases.of(world.index).values() if fits(row.filed)
    }
    for vector, found in zip(asked, world.found([question] * 4, asked), strict=True):
        assert set(order(found)) <= there
        assert len(order(found)) == 10
        if by is Nearness.REPORT:
            texts = world.by_text(vector)
            assert order(found) == first({one: texts[one] for one in there})
        if by is Nearness.ECG:
            assert order(found) == first(world.by_ecg(vector, fits))


@pytest.mark.parametrize("by", BY_ALL)
def test_a_filter_that_nothing_fits_finds_nothing(by):
    world = World()
    question = Question(by=by, filter=OLD)
    world.knows(question, lambda _: False)
    (found,) = world.found([question], vectors(1))
    assert found.matches == []


def test_where_few_reports_have_a_case_that_fits_only_those_are_searched():
    world = World()
    question = Question(filter=OLD)
    world.knows(question, lambda filed: filed.case.age == 150)
    (found,) = world.found([question], vectors(1))
    assert order(found) == [report_of_case(world.cases[150])]
    assert world.store.calls.count("search") == 1


def test_more_is_searched_until_enough_reports_fit(monkeypatch):
    monkeypatch.setattr(nearest, "FEW", 0)
    world = World(texts=100, count=100)
    asked = vectors(1, seed=7)
    behind = first(world.by_text(asked[0]), 100)[80:]
    question = Question(filter=OLD)
    world.knows(question, lambda filed: filed.report_id in behind)
    (found,) = world.found([question], asked, 3)
    assert order(found) == behind[:3]
    assert world.store.top_ks == [12, 48, 192]


def test_no_more_than_a_limit_is_searched(monkeypatch):
    monkeypatch.setattr(nearest, "FEW", 0)
    monkeypatch.setattr(nearest, "WIDEST", 20)
    world = World(texts=100, count=100)
    asked = vectors(1, seed=7)
    near = first(world.by_text(asked[0]), 100)[19:]
    question = Question(filter=OLD)
    world.knows(question, lambda filed: filed.report_id in near)
    (found,) = world.found([question], asked, 3)
    assert order(found) == near[:1]


def test_a_filter_of_an_index_without_cases_finds_nothing():
    world = World()
    world.snapshot = replace(world.snapshot, index=replace(world.index, has_cases=False))
    (found,) = world.found([Question(filter=OLD)], vectors(1))
    assert found.matches == []


# Archives, and questions of several kinds at once.


@pytest.mark.parametrize("by", BY_ALL)
def test_a_caller_of_an_archive_finds_by_its_own_cases_alone(by):
    world = World(texts=10)
    question = Question(by=by, archive="south")

    def own(filed: FiledCase) -> bool:
        return filed.case.case_id.startswith("south/")

    world.knows(question, own)
    asked = vectors(2, seed=7)
    there = {report_of_case(case) for case in world.cases if case.case_id.startswith("south/")}
    assert len(there) < 10
    for vector, found in zip(asked, world.found([question] * 2, asked), strict=True):
        assert order(found)
        assert set(order(found)) <= there
        if by is not Nearness.REPORT:
            similarities = world.by_ecg(vector, own)
            for one, similarity in found.ecg_similarities.items():
                assert similarity == pytest.approx(similarities[one], abs=1e-6)


@pytest.mark.parametrize("by", BY_ALL)
def test_a_caller_of_an_archive_is_not_told_what_others_have_recorded(by):
    question = Question(by=by, archive="south")

    def found(records, *statements):
        world = World(texts=10)
        world.agrees(weight=0.3, commonness=10.0)
        world.knows(question, lambda filed: filed.case.case_id.startswith("south/"))
        world.borne(lambda _: records, *statements)
        (only,) = world.found([question], vectors(1, seed=7))
        return only.matches

    assert found(1, Statement("AFIB", support=1.0)) == found(1000) != []


def test_questions_of_several_kinds_are_answered_as_each_alone():
    world = World()
    filtered = Question(by=Nearness.BOTH, filter=OLD)
    world.knows(filtered, old)
    kinds = [Question(by=by) for by in BY_ALL]
    questions = [*kinds, filtered, *kinds[::-1], filtered]
    asked = vectors(len(questions), seed=7)
    together = world.found(questions, asked)
    for place, (question, found) in enumerate(zip(questions, together, strict=True)):
        (alone,) = world.found([question], asked[place : place + 1])
        assert order(found) == order(alone)
        assert [m.score for m in found.matches] == pytest.approx(
            [m.score for m in alone.matches], abs=1e-6
        )
        assert found.by is alone.by


def test_each_question_shows_the_cases_of_its_own_scope():
    world = World()
    filtered = Question(filter=OLD)
    world.knows(filtered, old)
    reports = list(world.reports.values())
    asked = vectors(3, seed=7)
    shown = [
        nearest.Shown(vector, reports, question, nearest.Found(Nearness.BOTH))
        for vector, question in zip(asked, [Question(), filtered, Question()], strict=True)
    ]
    every, some, again = world.search.cases_of(world.index, shown)
    assert all(old(match.filed) for matches in some.values() for match in matches)
    assert not all(old(match.filed) for matches in every.values() for match in matches)
    for vector, cases in ((asked[0], every), (asked[2], again)):
        for report_id, similarity in world.by_ecg(vector).items():
            assert cases[report_id][0].similarity == pytest.approx(similarity, abs=1e-6)


# Texts.


@pytest.mark.parametrize("by", [Nearness.REPORT, Nearness.ECG])
def test_a_text_is_searched_for_as_an_ecg_is(by):
    world = World()
    vector = unit(np.ones((1, world.texts.shape[1])))
    found, _ = world.search.of_text(world.snapshot, vector, Question(7, by=by))
    similarities = (world.by_text if by is Nearness.REPORT else world.by_ecg)(vector[0])
    assert order(found) == first(similarities, 7)


def test_a_text_by_both_is_ordered_by_ranks_whatever_the_model_tells():
    world = World()
    vector = vectors(1, seed=7)
    question = Question(7, by=Nearness.BOTH)
    plain, _ = world.search.of_text(world.snapshot, vector, question)
    world.agrees(100.0)
    found, _ = world.search.of_text(world.snapshot, vector, question)
    assert (found.matches, found.by) == (plain.matches, Nearness.BOTH)


def test_a_report_that_was_deleted_meanwhile_is_not_found():
    world = World()
    asked = vectors(1, seed=7)
    gone = first(world.by_ecg(asked[0]))[0]
    world.store.delete(world.index, [gone])
    for by in BY_ALL:
        (found,) = world.found([Question(by=by)], asked)
        assert gone not in order(found)
        assert len(found.matches) == 10
