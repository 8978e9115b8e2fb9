"""Which questions can be asked."""

from cardex.domain.errors import InvalidQuestion
from cardex.domain.jobs import MAX_TOP_K, Question
from cardex.reports.validation import check_filter
from cardex.retrieval.reranking import check_rerank


def check_question(question: Question) -> Question:
    """Return the question if it can be asked.

    Raises:
        InvalidQuestion: if top_k or rerank is out of range, or the filter cannot be used.
    """
    check_rerank(question)
    if question.filter is not None:
        check_filter(question.filter)
    if not 1 <= question.top_k <= MAX_TOP_K:
        raise InvalidQuestion(
            f"top_k {question.top_k}: must be 1 to {MAX_TOP_K}",
            reason="TOP_K",
            field="question.top_k",
        )
    return question
