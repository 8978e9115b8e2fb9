from cardex.domain.jobs import Question
from cardex.domain.reports import DRAFT_LABEL, Report
from cardex.retrieval.draft import VOTERS
from tests.helpers.fake_model import calibration
from tests.helpers.house import House
from tests.helpers.retrieval import REPORTS, answer, asked


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
