import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from cardex.api.convert.jobs import decode_answer
from cardex.api.pb.v1 import job_pb2
from cardex.domain.cases import CaseFilter, Filing
from cardex.domain.errors import (
    CardexError,
    CaseNotFound,
    IndexMissing,
    InvalidEcg,
    InvalidQuestion,
    Overloaded,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.jobs import (
    DISCLAIMER,
    MAX_TEXT,
    SHOWN_RECORD_IDS,
    EncodedAnswer,
    Priority,
    Question,
)
from cardex.domain.reports import DRAFT_LABEL, Report, Statement
from cardex.inference.agreement import Agreement
from cardex.retrieval import retriever
from cardex.retrieval.draft import VOTERS
from cardex.retrieval.pipeline import QueryItem, prepare
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import image_of
from cardex.signals.readers import read
from tests.helpers.answers import decoded
from tests.helpers.cases import a_case
from tests.helpers.ecgs import ecg, typed
from tests.helpers.embeddings import text_vector
from tests.helpers.fake_model import calibration, model_info, novelty
from tests.helpers.fake_store import FakeStore
from tests.helpers.house import House

REPORTS = [
    Report(f"r{number}", text, "en", statements=(Statement("SR"),))
    for number, text in enumerate(["sinus rhythm", "old infarct", "left axis", "paced", "normal"])
]


@pytest.fixture
def house():
    return House(*REPORTS)


def asked(
    seed: int = 0, *, top_k: int = 3, rerank: int = 0, queued_s: float = 0.0, signal=None
) -> QueryItem:
    signal = ecg(bpm=60 + 7 * seed, seed=seed) if signal is None else signal
    return QueryItem(f"sha-{seed}", typed(signal), Question(top_k, rerank), queued_s)


def at_fault() -> QueryItem:
    return QueryItem("sha-bad", typed(ecg(seconds=1.0)), Question(3))


def answer(house, *batch: QueryItem, priority: Priority = Priority.ROUTINE):
    found = house.retriever.by_ecg(batch, priority)
    return [one if isinstance(one, CardexError) else decoded(one) for one in found]


def known(house, sha256: str, top_k: int):
    (found,) = house.retriever.cached([(sha256, Question(top_k))])
    return found and decoded(found)


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


# What is said of the ECG itself.


def test_an_answer_carries_the_probable_statements_of_the_model():
    (found,) = answer(House(*REPORTS, calibration=calibration("AFIB", "SR")), asked())
    assert [(p.code, p.probability) for p in found.predictions] == [("AFIB", 0.5), ("SR", 0.5)]


def test_a_cached_embedding_has_the_same_probable_statements():
    house = House(*REPORTS, calibration=calibration("AFIB", "SR", slope=4.0))
    (first,) = answer(house, asked(top_k=3))
    (again,) = answer(house, asked(top_k=4))
    assert len(house.encoder.images) == 1
    assert again.predictions == first.predictions


def test_without_calibrated_statements_an_answer_has_no_probabilities(house):
    (found,) = answer(house, asked())
    assert found.hits
    assert found.predictions == ()


def test_other_statements_are_another_answer(house):
    answer(house, asked())
    calibrated = House(*REPORTS, calibration=calibration("AFIB"))
    calibrated.cache.stored = house.cache.stored
    (found,) = answer(calibrated, asked())
    assert not found.from_cache


def test_an_answer_drafts_a_report_from_its_hits():
    house = House(*(Report(f"r{n}", f"sinus rhythm. sign {n}.", "en") for n in range(40)))
    (found,) = answer(house, asked(top_k=3))
    assert found.draft.label == DRAFT_LABEL
    (sentence,) = found.draft.sentences
    assert sentence.text == "sinus rhythm."
    assert set(sentence.report_ids) <= {hit.report.report_id for hit in found.hits}


def test_reports_beyond_the_hits_vote_on_the_draft(house):
    (found,) = answer(house, asked(top_k=1))
    (hit,) = found.hits
    assert [sentence.report_ids for sentence in found.draft.sentences] == [(hit.report.report_id,)]
    assert house.store.top_ks == [VOTERS]


def test_an_answer_about_a_text_predicts_and_drafts_nothing():
    house = House(*REPORTS, calibration=calibration("AFIB"))
    found = house.retriever.by_text("sinus rhythm", Question(3))
    assert (found.predictions, found.draft) == ((), None)


def test_an_empty_index_has_no_draft():
    (found,) = answer(House(), asked())
    assert (found.hits, found.draft) == ((), None)


# Re-ranking.


@pytest.fixture
def matching():
    house = House(*REPORTS, calibration=calibration("SR", match_weight=1.0))
    house.encoder.served = (model_info(matcher=True),)
    return house


def test_the_matcher_orders_the_nearest_reports(matching):
    (found,) = answer(matching, asked(top_k=3, rerank=5))
    expected = sorted((len(report.text) for report in REPORTS), reverse=True)[:3]
    assert [hit.match for hit in found.hits] == expected
    assert [len(hit.report.text) for hit in found.hits] == expected
    assert [hit.rank for hit in found.hits] == [1, 2, 3]
    assert matching.store.top_ks == [VOTERS]


def test_only_as_many_are_reranked_as_asked(matching):
    (plain,) = answer(matching, asked(top_k=5))
    (found,) = answer(matching, asked(top_k=5, rerank=2))
    assert {h.report.report_id for h in found.hits[:2]} == {
        h.report.report_id for h in plain.hits[:2]
    }
    assert [h.report for h in found.hits[2:]] == [h.report for h in plain.hits[2:]]
    assert [hit.match is None for hit in found.hits] == [False, False, True, True, True]


def test_reranking_is_a_stage_and_only_for_those_who_asked(matching):
    plain, found = answer(matching, asked(0), asked(1, rerank=4))
    assert [stage.stage for stage in found.stages][-2:] == ["search", "rerank"]
    assert "rerank" not in [stage.stage for stage in plain.stages]
    assert [[len(texts) for texts in call] for call in matching.encoder.matched] == [[4]]


def test_a_cached_embedding_is_reranked_with_an_image_drawn_anew(matching):
    answer(matching, asked())
    (found,) = answer(matching, asked(rerank=3))
    assert found.hits[0].match is not None
    assert len(matching.encoder.images) == 1
    assert {stage.stage for stage in found.stages} >= {"encode", "rerank"}


def test_a_model_without_a_matcher_refuses_to_rerank_and_answers_the_others(house):
    refused, found = answer(house, asked(0, rerank=4), asked(1))
    assert isinstance(refused, InvalidQuestion)
    assert refused.field == "question.rerank"
    assert found.hits


def test_an_empty_index_is_not_reranked(matching):
    matching.store.contents["reports_1"].clear()
    (found,) = answer(matching, asked(rerank=4))
    assert found.hits == ()
    assert not matching.encoder.matched


# What is known already.


def test_the_second_time_the_answer_comes_from_the_cache(house):
    (first,) = answer(house, asked())
    (second,) = answer(house, asked())
    assert second == first.cached()
    assert len(house.encoder.images) == 1


def test_another_question_about_a_known_ecg_needs_no_encoder(house):
    signal = ecg()
    signal[6] = 0.0
    answer(house, asked(top_k=1, signal=signal))
    (found,) = answer(house, asked(top_k=5, signal=signal))
    assert len(found.hits) == 5
    assert [warning.code for warning in found.quality.warnings] == ["LEAD_OFF"]
    assert len(house.encoder.images) == 1


def test_known_and_new_ecgs_keep_their_order(house):
    (known,) = answer(house, asked(1))
    found = answer(house, asked(0), asked(1), at_fault(), asked(2))
    assert found[1] == known.cached()
    assert [isinstance(one, CardexError) for one in found] == [False, False, True, False]
    assert [len(images) for images in house.encoder.images] == [1, 2]


def test_an_error_is_not_cached(house):
    answer(house, at_fault())
    assert house.cache.stored == {}


def test_a_changed_index_is_searched_anew(house):
    answer(house, asked())
    house.store.touch(house.store.index)
    (found,) = answer(house, asked())
    assert not found.from_cache
    assert found.index_generation == "g1+"


def test_a_new_model_embeds_a_known_ecg_anew(house):
    answer(house, asked())
    house.encoder.served = (model_info("model-2"),)
    house.store.index = FakeStore("model-2").index
    (found,) = answer(house, asked())
    assert not found.from_cache
    assert found.model_version == "model-2"
    assert len(house.encoder.images) == 2


def test_a_newer_model_beside_it_changes_no_answer(house):
    (first,) = answer(house, asked())
    house.encoder.served = (model_info("model-2"), *house.encoder.served)
    (again,) = answer(house, asked())
    (other,) = answer(house, asked(1))
    assert again == first.cached()
    assert other.model_version == "model-1"
    assert house.encoder.asked == ["model-1", "model-1"]


def test_after_a_switch_every_call_goes_to_the_other_model(matching):
    old = model_info(matcher=True)
    matching.encoder.served = (model_info("model-2", matcher=True), old)
    matching.store.index = replace(matching.store.index, model_version="model-2")
    (found,) = answer(matching, asked(rerank=3))
    matching.retriever.by_text("old infarct", Question(1))
    assert found.model_version == "model-2"
    assert set(matching.encoder.asked) == {"model-2"}


def test_reports_are_fetched_once_for_each_generation(house):
    answer(house, asked(0, top_k=5))
    answer(house, asked(1, top_k=5))
    assert house.store.calls.count("get") == 1
    house.store.touch(house.store.index)
    answer(house, asked(2, top_k=5))
    assert house.store.calls.count("get") == 2


def test_a_known_answer_is_found_without_a_worker(house):
    (first,) = answer(house, asked())
    assert known(house, "sha-0", 3) == first.cached()
    assert known(house, "sha-0", 4) is None
    assert known(house, "sha-1", 3) is None


def test_an_answer_of_another_release_is_no_answer(house):
    answer(house, asked())
    house.cache.stored = dict.fromkeys(house.cache.stored, b"\xff{")
    assert known(house, "sha-0", 3) is None
    (again,) = answer(house, asked())
    assert not again.from_cache


def test_a_known_answer_is_found_while_a_part_is_down(house):
    (first,) = answer(house, asked())
    house.encoder.error = Unavailable("Triton is down")
    assert known(house, "sha-0", 3) == first.cached()


def test_nothing_is_known_before_the_parts_were_first_seen(house):
    house.encoder.error = Unavailable("Triton is down")
    assert known(house, "sha-0", 3) is None


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


# The agreement of statements.


def agreeing(weight: float):
    """Return a calibration that expects AFIB of every ECG, and reads it on the first axis."""
    sure = [msgspec.structs.replace(each, intercept=9.0) for each in calibration("AFIB").statements]
    axes = Agreement(weight=weight, report_length=1.0, axes={"AFIB": 0})
    return msgspec.structs.replace(
        calibration("AFIB"), statements=tuple(sure), agreement=axes, fingerprint=f"by {weight}"
    )


def test_reports_whose_statements_agree_with_the_ecgs_come_first():
    plain = House(*REPORTS)
    (before,) = answer(plain, asked(top_k=5))
    house = House(*REPORTS, calibration=agreeing(1000.0))
    (found,) = answer(house, asked(top_k=5))
    stated = {name: float(text_vector(report.text)[0]) for name, report in reports_by_id().items()}
    most = max(stated, key=lambda name: stated[name])
    assert stated[most] > 0
    assert found.hits[0].report.report_id == most != before.hits[0].report.report_id
    assert [hit.rank for hit in found.hits] == [1, 2, 3, 4, 5]
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)


def test_a_text_is_searched_for_less_the_axis_that_only_fills():
    house = House(*REPORTS, calibration=agreeing(1.0))
    plain = [hit.score for hit in house.retriever.by_text("old infarct", Question(5)).hits]
    filled = msgspec.structs.replace(
        agreeing(1.0).agreement, filling=len(text_vector("x")) - 1, whole=1, report_length=1e-9
    )
    given = msgspec.structs.replace(agreeing(1.0), agreement=filled, fingerprint="filled")
    found = House(*REPORTS, calibration=given).retriever.by_text("old infarct", Question(5)).hits
    query = text_vector("old infarct").copy()
    query[-1] = 0.0
    query /= np.linalg.norm(query)
    for hit in found:
        assert hit.score == pytest.approx(float(query @ text_vector(hit.report.text)), abs=1e-5)
    assert [hit.score for hit in found] != plain


def test_an_agreement_without_weight_changes_no_order():
    (before,) = answer(House(*REPORTS), asked(top_k=5))
    (found,) = answer(House(*REPORTS, calibration=agreeing(0.0)), asked(top_k=5))
    assert [hit.report.report_id for hit in found.hits] == [
        hit.report.report_id for hit in before.hits
    ]


def test_the_matcher_orders_what_agreement_has_put_first():
    """Its heavy logits decide among the two that it is asked about; the others stay behind them."""
    weighed = msgspec.structs.replace(agreeing(1000.0), match_weight=1e6)
    house = House(*REPORTS, calibration=weighed)
    house.encoder.served = (model_info(matcher=True),)
    (agreed,) = answer(House(*REPORTS, calibration=agreeing(1000.0)), asked(top_k=5))
    (found,) = answer(house, asked(top_k=5, rerank=2))
    first, rest = agreed.hits[:2], agreed.hits[2:]
    longest = sorted(first, key=lambda hit: -len(hit.report.text))
    assert [hit.report.report_id for hit in found.hits] == [
        hit.report.report_id for hit in (*longest, *rest)
    ]
    assert [hit.match is not None for hit in found.hits] == [True, True, False, False, False]


def test_embeddings_of_all_ecgs_of_a_batch_are_read_at_once():
    many = (Report(f"r{number}", f"finding {number}") for number in range(3 * VOTERS))
    house = House(*many, calibration=agreeing(1.0))
    answer(house, asked(0), asked(1))
    assert house.store.calls.count("embeddings") == 1


def test_embeddings_of_reports_are_read_once():
    house = House(*REPORTS, calibration=agreeing(1.0))
    answer(house, asked(), asked(1))
    answer(house, asked(2))
    assert house.store.calls.count("embeddings") == 1


def reports_by_id() -> dict[str, Report]:
    return {report.report_id: report for report in REPORTS}


# Filing.


@pytest.fixture
def archive():
    return House(*REPORTS, has_cases=True)


def filing(seed: int, *, only: bool = False, index: str = "") -> QueryItem:
    case = a_case(f"c{seed}", "old infarct")
    return replace(asked(seed), filing=Filing(case, index, only=only), submitted=float(seed + 1))


def outcomes(house, *batch: QueryItem):
    return house.retriever.by_ecg(batch, Priority.ROUTINE)


def told(outcome) -> job_pb2.Answer:
    assert isinstance(outcome, EncodedAnswer)
    return decode_answer(outcome.message)


def test_an_ecg_is_answered_and_filed_with_its_trace(archive):
    (answered,) = map(told, outcomes(archive, filing(1)))
    assert answered.case_id == "c1"
    assert len(answered.hits) == 3
    assert answered.stages[-1].stage == "file"
    row = archive.store.cases.rows["reports_1"]["c1"]
    assert row.filed.submitted == 2.0
    assert row.trace is not None
    assert row.trace.samples == 2500
    assert row.filed.case.has_ecg


def test_an_ecg_that_is_only_filed_is_not_searched_for(archive):
    (answered,) = map(told, outcomes(archive, filing(1, only=True)))
    assert (answered.case_id, len(answered.hits)) == ("c1", 0)
    assert "search" not in archive.store.calls
    assert archive.cache.stored == {}


def test_a_case_without_an_ecg_is_filed_beside_others_that_have_one(archive):
    without = replace(filing(2, only=True), ecg=None)
    first, second = map(told, outcomes(archive, filing(1), without))
    assert (first.case_id, second.case_id) == ("c1", "c2")
    rows = archive.store.cases.rows["reports_1"]
    assert (rows["c2"].embedding, rows["c2"].trace) == (None, None)


def test_a_known_answer_does_not_keep_an_ecg_from_being_filed(archive):
    (before,) = map(told, outcomes(archive, asked(1)))
    (answered,) = map(told, outcomes(archive, filing(1)))
    assert (before.case_id, answered.case_id) == ("", "c1")
    assert "c1" in archive.store.cases.rows["reports_1"]


def test_no_answer_of_the_cache_names_a_case_that_was_filed(archive):
    outcomes(archive, filing(1))
    assert archive.cache.stored
    assert all(decode_answer(kept).case_id == "" for kept in archive.cache.stored.values())


def test_an_ecg_at_fault_is_not_filed(archive):
    bad = replace(at_fault(), filing=Filing(a_case("bad")))
    first, second = outcomes(archive, bad, filing(1))
    assert isinstance(first, InvalidEcg)
    assert told(second).case_id == "c1"
    assert set(archive.store.cases.rows["reports_1"]) == {"c1"}


def test_what_cannot_be_filed_keeps_back_nothing_but_the_cases(archive, monkeypatch):
    def busy(*_):
        raise Overloaded("another client writes", reason="INDEX_BUSY")

    monkeypatch.setattr(archive.retriever._filer, "file", busy)
    plain, filed = outcomes(archive, asked(1), filing(2))
    assert told(plain).hits
    assert isinstance(filed, Overloaded)


def test_a_case_of_an_index_that_is_gone_has_its_own_error(archive):
    gone, filed = outcomes(archive, filing(1, index="reports_9"), filing(2))
    assert isinstance(gone, IndexMissing)
    assert told(filed).case_id == "c2"


# One case.


def test_a_case_is_found_with_its_report_and_its_trace(archive):
    outcomes(archive, filing(1))
    found = archive.retriever.case("c1")
    assert (found.filed.case.case_id, found.report.text) == ("c1", "old infarct")
    assert found.trace == archive.store.cases.rows["reports_1"]["c1"].trace


def test_a_case_that_is_not_there_or_has_lost_its_report_is_not_found(archive):
    outcomes(archive, filing(1))
    with pytest.raises(CaseNotFound) as caught:
        archive.retriever.case("never")
    assert caught.value.field == "case_id"
    archive.store.contents["reports_1"].clear()
    with pytest.raises(CaseNotFound):
        archive.retriever.case("c1")
    archive.store.index = replace(archive.store.current(), has_cases=False)
    with pytest.raises(CaseNotFound):
        archive.retriever.case("c1")
