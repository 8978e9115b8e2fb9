import msgspec
import numpy as np
import pytest

from cardex.domain.jobs import Question
from cardex.domain.reports import Report
from cardex.retrieval.draft import VOTERS
from tests.helpers.embeddings import text_vector
from tests.helpers.fake_model import agreement, calibration, model_info
from tests.helpers.house import House
from tests.helpers.retrieval import REPORTS, answer, asked


def agreeing(weight: float):
    """Return a calibration that expects AFIB of every ECG, and reads it on the first axis."""
    sure = [msgspec.structs.replace(each, intercept=9.0) for each in calibration("AFIB").statements]
    return msgspec.structs.replace(
        calibration("AFIB"),
        statements=tuple(sure),
        agreement=agreement(weight),
        fingerprint=f"by {weight}",
    )


def reports_by_id() -> dict[str, Report]:
    return {report.report_id: report for report in REPORTS}


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
