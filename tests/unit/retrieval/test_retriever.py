import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from cardex.domain.cases import CaseFilter
from cardex.domain.errors import (
    CardexError,
    InvalidEcg,
    InvalidQuestion,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.jobs import DISCLAIMER, MAX_TEXT, SHOWN_RECORD_IDS, Priority, Question
from cardex.domain.reports import Report
from cardex.retrieval import retriever
from cardex.retrieval.draft import VOTERS
from cardex.retrieval.pipeline import prepare
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import image_of
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg
from tests.helpers.fake_model import novelty
from tests.helpers.fake_store import FakeStore
from tests.helpers.house import House
from tests.helpers.retrieval import REPORTS, answer, asked, at_fault

# Threads.


class Gate:
    """In place of `prepare`: the first that comes stays inside until the test lets it go."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()
        self.passed = 0

    def __call__(self, queries, snapshot):
        if not self.inside.is_set():
            self.inside.set()
            assert self.go.wait(20)
        self.passed += 1
        prepare(queries, snapshot)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate()
    monkeypatch.setattr(retriever, "prepare", gate)
    yield gate
    gate.go.set()


def test_one_thread_computes_at_a_time(house, gate):
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(answer, house, asked(1))
        assert gate.inside.wait(20)
        second = pool.submit(answer, house, asked(2))
        with pytest.raises(TimeoutError):
            second.result(0.2)
        assert gate.passed == 0
        gate.go.set()
        assert first.result(20)[0].hits
        assert second.result(20)[0].hits


def test_a_thread_that_is_stuck_holds_up_nobody_for_long(house, gate, monkeypatch):
    monkeypatch.setattr(retriever, "TURN_S", 0.01)
    with ThreadPoolExecutor(2) as pool:
        stuck = pool.submit(answer, house, asked(1))
        assert gate.inside.wait(20)
        assert pool.submit(answer, house, asked(2)).result(20)[0].hits
        assert not stuck.done()
        gate.go.set()


# ECGs.


def test_an_answer_holds_the_nearest_reports_in_order(house):
    (found,) = answer(house, asked(top_k=5))
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert [hit.rank for hit in found.hits] == [1, 2, 3, 4, 5]
    assert {hit.report for hit in found.hits} == set(REPORTS)


def test_an_answer_names_model_index_and_generation(house):
    (found,) = answer(house, asked())
    assert (found.model_version, found.index_name) == ("model-1", "reports_1")
    assert found.index_generation == "g1"
    assert found.disclaimer == DISCLAIMER


def test_an_answer_says_what_the_hits_agree_on(house):
    (found,) = answer(house, asked(top_k=5))
    assert [finding.code for finding in found.findings] == ["SR"]


def test_an_answer_tells_the_time_of_each_stage_in_order(house):
    (found,) = answer(house, asked(queued_s=1.5))
    assert [stage.stage for stage in found.stages] == [
        "queue",
        "read",
        "clean",
        "encode",
        "inference",
        "search",
    ]
    assert found.stages[0].seconds == 1.5


def test_an_answer_carries_the_doubts_about_the_signal(house):
    signal = ecg()
    signal[6] = 0.0
    (found,) = answer(house, asked(signal=signal))
    assert [(warning.code, warning.leads) for warning in found.quality.warnings] == [
        ("LEAD_OFF", ("V1",))
    ]


@pytest.mark.parametrize(("threshold", "codes"), [(0.0, ["OUT_OF_DISTRIBUTION"]), (9.0, [])])
def test_an_ecg_that_the_model_has_seen_nothing_like_is_marked(threshold, codes):
    house = House(*REPORTS, novelty=novelty(threshold))
    (found,) = answer(house, asked())
    assert [warning.code for warning in found.quality.warnings] == codes


def test_the_mark_is_the_snapshot_s_and_not_that_of_a_known_embedding():
    house = House(*REPORTS, novelty=novelty(0.0))
    answer(house, asked())
    ((_, quality),) = house.cache.vectors.values()
    assert quality.warnings == ()
    (again,) = answer(house, asked(top_k=1))
    assert [warning.code for warning in again.quality.warnings] == ["OUT_OF_DISTRIBUTION"]


def test_another_novelty_is_another_version_of_the_answers():
    houses = [House(), House(novelty=novelty(0.0)), House(novelty=novelty(9.0))]
    assert len({house.active_index.current().version for house in houses}) == 3


def test_the_encoder_sees_the_image_of_each_ecg(house):
    batch = [asked(0), asked(1)]
    answer(house, *batch)
    expected = [image_of(read(one.ecg), ImageSpec()) for one in batch if one.ecg]
    (images,) = house.encoder.images
    assert np.abs(images.astype(int) - np.stack(expected)).max() <= 1


def test_a_batch_is_one_call_of_each_part(house):
    answer(house, asked(0), asked(1), asked(2))
    assert [len(images) for images in house.encoder.images] == [3]
    assert house.store.calls.count("search") == 1


@pytest.mark.parametrize("priority", Priority)
def test_the_priority_goes_to_the_encoder(house, priority):
    answer(house, asked(), priority=priority)
    assert house.encoder.priorities == [priority]


def test_an_ecg_gets_the_same_answer_alone_and_in_a_batch(house):
    together = answer(house, asked(0), asked(1), asked(2))
    alone = [answer(House(*REPORTS), asked(seed))[0] for seed in range(3)]
    for one, other in zip(together, alone, strict=True):
        assert [hit.report for hit in one.hits] == [hit.report for hit in other.hits]
        assert [hit.score for hit in one.hits] == pytest.approx(
            [hit.score for hit in other.hits], abs=1e-3
        )


def test_each_question_gets_as_many_reports_as_it_asks_for(house):
    found = answer(house, asked(0, top_k=1), asked(1, top_k=4), asked(2, top_k=2))
    assert [len(one.hits) for one in found] == [1, 4, 2]
    assert house.store.top_ks == [VOTERS]


def test_an_answer_tells_the_filter_that_it_was_found_with(house):
    wanted = CaseFilter(min_age=40)
    question = Question(3, filter=wanted)
    found = answer(house, replace(asked(0), question=question), asked(1))
    assert [one.filter for one in found] == [wanted, None]
    assert house.retriever.by_text("old infarct", Question(2, filter=wanted)).filter == wanted


def test_a_small_index_gives_what_it_has(house):
    (found,) = answer(house, asked(top_k=50))
    assert len(found.hits) == len(REPORTS)


def test_an_ecg_at_fault_gets_its_own_error_and_the_others_answers(house):
    first, bad, last = answer(house, asked(0), at_fault(), asked(1))
    assert isinstance(bad, InvalidEcg)
    assert bad.reason == "DURATION"
    assert first.hits
    assert last.hits


def test_an_ecg_at_fault_takes_no_place_in_the_batch(house):
    answer(house, asked(0), at_fault(), asked(1))
    assert [len(images) for images in house.encoder.images] == [2]


def test_ecgs_that_are_all_at_fault_reach_no_part(house):
    assert all(isinstance(one, CardexError) for one in answer(house, at_fault(), at_fault()))
    assert not house.encoder.images
    assert "search" not in house.store.calls


def test_an_empty_batch_has_no_answers(house):
    assert answer(house) == []


def test_the_same_ecg_twice_in_a_batch_is_answered_twice(house):
    one, other = answer(house, asked(0), asked(0))
    assert one.hits == other.hits


def test_at_most_some_record_ids_are_shown_of_a_common_report():
    ids = tuple(str(number) for number in range(SHOWN_RECORD_IDS + 5))
    house = House(Report("r1", "normal ecg", record_ids=ids, record_count=len(ids)))
    (found,) = answer(house, asked())
    assert found.hits[0].report.record_ids == ids[:SHOWN_RECORD_IDS]
    assert found.hits[0].report.record_count == len(ids)


def test_a_report_that_was_deleted_meanwhile_leaves_no_gap_in_the_ranks(monkeypatch):
    (before,) = answer(House(*REPORTS), asked(top_k=5))
    gone = before.hits[1].report.report_id
    get = FakeStore.get

    def without(self, index, ids):
        return {name: report for name, report in get(self, index, ids).items() if name != gone}

    monkeypatch.setattr(FakeStore, "get", without)
    (found,) = answer(House(*REPORTS), asked(top_k=5))
    assert gone not in {hit.report.report_id for hit in found.hits}
    assert [hit.rank for hit in found.hits] == [1, 2, 3, 4]


# A part that is down or does not fit is nobody's fault.


def test_a_part_that_is_down_fails_the_whole_batch(house):
    house.store.error = Unavailable("Milvus is down")
    with pytest.raises(Unavailable):
        answer(house, asked(0), at_fault())


def test_an_index_of_another_model_is_not_searched(house):
    house.store.index = FakeStore("model-0").index
    with pytest.raises(VersionMismatch):
        answer(house, asked())
    assert "search" not in house.store.calls


# Texts.


def test_a_text_finds_its_own_report_first(house):
    found = house.retriever.by_text("old infarct", Question(2))
    assert found.hits[0].report.report_id == "r1"
    assert found.hits[0].score == pytest.approx(1.0, abs=1e-6)
    assert len(found.hits) == 2


def test_an_answer_to_a_text_tells_its_stages_and_versions(house):
    found = house.retriever.by_text("old infarct", Question(2))
    assert [stage.stage for stage in found.stages] == ["inference", "search"]
    assert (found.model_version, found.index_generation) == ("model-1", "g1")


def test_a_text_is_as_urgent_as_an_ecg_at_the_bedside(house):
    house.retriever.by_text("old infarct", Question(2))
    assert house.encoder.priorities == [Priority.STAT]


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_TEXT + 1)])
def test_a_text_that_is_empty_or_too_long_is_refused(house, text):
    with pytest.raises(InvalidQuestion) as caught:
        house.retriever.by_text(text, Question(3))
    assert (caught.value.reason, caught.value.field) == ("TEXT", "text")
    assert not house.encoder.texts


def test_the_longest_text_is_searched(house):
    assert house.retriever.by_text("x" * MAX_TEXT, Question(1)).hits


def test_a_question_that_cannot_be_asked_is_refused(house):
    with pytest.raises(InvalidQuestion, match="top_k 0"):
        house.retriever.by_text("old infarct", Question(0))
    assert not house.encoder.texts
