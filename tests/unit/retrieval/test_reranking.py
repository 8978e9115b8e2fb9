from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from cardex.domain.errors import InvalidQuestion
from cardex.domain.index import Match
from cardex.domain.jobs import Question
from cardex.retrieval.active_index import ServingSnapshot
from cardex.retrieval.reranking import Ranked, as_found, check_matcher, check_rerank, reranked
from tests.helpers.fake_model import calibration, model_info

MATCHES = [Match("a", 0.9), Match("b", 0.8), Match("c", 0.7)]


def log_odds(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def ids(ranked: list[Ranked]) -> list[str]:
    return [one.report_id for one in ranked]


def snapshot(*, matcher: bool = True, calibrated: bool = True) -> ServingSnapshot:
    found = SimpleNamespace(
        model=model_info("m1", matcher=matcher),
        calibration=calibration("SR") if calibrated else None,
    )
    return cast(ServingSnapshot, found)


def test_a_match_outweighs_a_small_difference_of_similarity():
    found = reranked(MATCHES, log_odds(0.0, 0.0, 3.0), 0.1)
    assert found == [Ranked("c", 0.7, 3.0), Ranked("a", 0.9, 0.0), Ranked("b", 0.8, 0.0)]


def test_without_a_weight_the_order_of_the_search_stays():
    assert ids(reranked(MATCHES, log_odds(-5.0, 0.0, 5.0), 0.0)) == ["a", "b", "c"]


def test_what_is_equal_keeps_its_order():
    equal = [Match("a", 0.5), Match("b", 0.5)]
    assert ids(reranked(equal, log_odds(1.0, 1.0), 0.5)) == ["a", "b"]


def test_what_was_not_matched_stays_behind():
    found = reranked(MATCHES, log_odds(-9.0, 9.0), 1.0)
    assert ids(found) == ["b", "a", "c"]
    assert [one.match for one in found] == [9.0, -9.0, None]


def test_as_found_nothing_was_matched():
    assert as_found(MATCHES)[0] == Ranked("a", 0.9, None)


@pytest.mark.parametrize("rerank", [0, 2, 128])
def test_a_number_in_range_can_be_asked(rerank):
    check_rerank(Question(rerank=rerank))


@pytest.mark.parametrize("rerank", [-1, 1, 129])
def test_a_number_out_of_range_is_refused_with_the_field(rerank):
    with pytest.raises(InvalidQuestion, match=str(rerank)) as caught:
        check_rerank(Question(rerank=rerank))
    assert (caught.value.reason, caught.value.field) == ("RERANK", "question.rerank")


@pytest.mark.parametrize("missing", ["matcher", "calibrated"])
def test_a_model_that_cannot_rerank_is_named(missing):
    with pytest.raises(InvalidQuestion, match="m1") as caught:
        check_matcher(Question(rerank=8), snapshot(**{missing: False}))
    assert caught.value.field == "question.rerank"


def test_a_question_without_reranking_needs_no_matcher():
    check_matcher(Question(), snapshot(matcher=False, calibrated=False))
