from dataclasses import replace

from cardex.domain.errors import CardexError, Unavailable
from cardex.domain.jobs import Question
from tests.helpers.answers import decoded
from tests.helpers.ecgs import ecg
from tests.helpers.fake_model import model_info
from tests.helpers.fake_store import FakeStore
from tests.helpers.retrieval import answer, asked, at_fault


def known(house, sha256: str, top_k: int):
    (found,) = house.retriever.cached([(sha256, Question(top_k))])
    return found and decoded(found)


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
