from cardex.domain.errors import InvalidQuestion
from cardex.retrieval.draft import VOTERS
from tests.helpers.retrieval import REPORTS, answer, asked


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
