import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardex.domain.index import CaseMatch
from cardex.domain.reports import Report, Statement
from cardex.reports.records import report_of_case
from cardex.retrieval.fusion import (
    RANK_OFFSET,
    TEMPERATURE,
    coded,
    nearest_similarity,
    reciprocal_ranks,
    votes,
)
from tests.helpers.cases import a_case, filed

SIMILARITIES = st.lists(st.tuples(st.sampled_from("abcd"), st.floats(-1.0, 1.0)), min_size=1)


def match(text: str, similarity: float) -> CaseMatch:
    return CaseMatch(filed(a_case("1", text)), similarity)


def named(text: str) -> str:
    return report_of_case(a_case("1", text))


# Votes.


@given(SIMILARITIES)
def test_all_votes_together_are_one(found):
    shares = votes([match(text, similarity) for text, similarity in found])
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares.keys() == {named(text) for text, _ in found}
    assert all(0.0 <= share < 1.0 + 1e-9 for share in shares.values())


@given(st.floats(-1.0, 1.0), st.floats(0.0, 0.1))
def test_a_vote_falls_by_the_temperature(similarity, further):
    shares = votes([match("near", similarity), match("far", similarity - further)])
    ratio = shares[named("far")] / shares[named("near")]
    assert ratio == pytest.approx(math.exp(-further / TEMPERATURE), rel=1e-6)


def test_a_nearer_case_weighs_more_wherever_it_stands():
    shares = votes([match("far", 0.70), match("near", 0.71)])
    assert shares[named("near")] > shares[named("far")]


def test_the_cases_of_one_report_vote_together():
    shares = votes([match("a", 0.70), match("b", 0.69), match("b", 0.69), match("b", 0.69)])
    assert shares[named("b")] == pytest.approx(3 * math.exp(-1) / (1 + 3 * math.exp(-1)))


def test_without_cases_nobody_votes():
    assert votes([]) == {}


# Coded statements.


def test_each_report_tells_the_share_of_its_records_with_each_code():
    reports = [
        Report("r1", "a", statements=(Statement("SR", support=0.25), Statement("IMI"))),
        Report("r2", "b"),
        Report("r3", "c", statements=(Statement("unheard of"),)),
    ]
    np.testing.assert_array_equal(
        coded(reports, ["IMI", "AFIB", "SR"]),
        [[1.0, 0.0, 0.25], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    )
    assert coded([], ["SR"]).shape == (0, 1)


# Ranks.


def test_reports_of_both_orders_add_their_reciprocal_ranks():
    scores = reciprocal_ranks(["a", "b"], ["b", "c"])
    assert scores == {
        "a": 1 / (RANK_OFFSET + 1),
        "b": 1 / (RANK_OFFSET + 2) + 1 / (RANK_OFFSET + 1),
        "c": 1 / (RANK_OFFSET + 2),
    }
    assert max(scores, key=lambda one: scores[one]) == "b"


def test_the_nearest_case_of_a_report_tells_its_similarity():
    found = nearest_similarity([match("a", 0.9), match("b", 0.8), match("a", 0.7)])
    assert found == {named("a"): 0.9, named("b"): 0.8}
    assert list(found) == [named("a"), named("b")]
