import pytest

from cardex.domain.cases import CaseFilter
from cardex.domain.errors import InvalidQuestion
from cardex.domain.jobs import MAX_RERANK, MAX_TOP_K, MIN_RERANK, Question
from cardex.retrieval.question import check_question


@pytest.mark.parametrize("top_k", [0, -1, MAX_TOP_K + 1])
def test_a_top_k_out_of_range_is_refused(top_k):
    with pytest.raises(InvalidQuestion, match=f"top_k {top_k}: must be 1 to {MAX_TOP_K}") as caught:
        check_question(Question(top_k))
    assert (caught.value.reason, caught.value.field) == ("TOP_K", "question.top_k")


@pytest.mark.parametrize(
    "question",
    [
        Question(1),
        Question(MAX_TOP_K),
        Question(5, rerank=MIN_RERANK),
        Question(5, rerank=MAX_RERANK),
        Question(5, filter=CaseFilter(min_age=40)),
    ],
)
def test_a_question_at_the_limits_can_be_asked(question):
    assert check_question(question) == question


@pytest.mark.parametrize("rerank", [MIN_RERANK - 1, MAX_RERANK + 1])
def test_re_ranking_too_few_or_too_many_is_refused(rerank):
    with pytest.raises(InvalidQuestion) as caught:
        check_question(Question(5, rerank=rerank))
    assert (caught.value.reason, caught.value.field) == ("RERANK", "question.rerank")


def test_a_filter_that_cannot_be_used_is_refused():
    with pytest.raises(InvalidQuestion) as caught:
        check_question(Question(5, filter=CaseFilter(min_age=-1)))
    assert (caught.value.reason, caught.value.field) == ("FILTER", "question.filter.min_age")
