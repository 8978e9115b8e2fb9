from dataclasses import replace

import msgspec
import pytest

from cardex.api.convert.jobs import decode_answer
from cardex.api.pb.v1 import job_pb2
from cardex.domain.cases import Nearness
from cardex.domain.jobs import EncodedAnswer, Priority, Question
from cardex.domain.reports import Report, Statement
from cardex.reports.records import report_of_case
from cardex.retrieval.case_cache import COMMON
from cardex.retrieval.nearest import Scope
from tests.helpers.cases import a_case, row_of, vectors
from tests.helpers.fake_model import agreement, calibration
from tests.helpers.house import House
from tests.helpers.retrieval import asked

OWN = [
    a_case(f"south/{n}", text, statements=(Statement("SR", "sinus rhythm"),))
    for n, text in enumerate(["sinus rhythm", "old infarct", "sinus rhythm, old infarct"] * 3)
]
MODEL = msgspec.structs.replace(
    calibration("AFIB", slope=1.0), agreement=agreement(0.3, commonness=1.0)
)


def told(
    by: Nearness, records: int, *statements: Statement, language: str = "en"
) -> job_pb2.Answer:
    """Return what the south is told, where reports have so many records, and say so much."""
    reports = {
        report_of_case(case): Report(
            report_of_case(case), case.text, language, ("north/1",), records, statements
        )
        for case in OWN
    }
    house = House(*reports.values(), calibration=MODEL, has_cases=True)
    ecgs = [vector if n % 2 else None for n, vector in enumerate(vectors(len(OWN)))]
    house.store.cases.upsert(house.store.current(), list(map(row_of, OWN, ecgs)))
    question = Question(2, by=by, archive="south")
    house.store.cases.predicates[Scope.of(question).expression] = lambda filed: (
        filed.case.case_id.startswith("south/")
    )
    (found,) = house.retriever.by_ecg([replace(asked(), question=question)], Priority.ROUTINE)
    assert isinstance(found, EncodedAnswer)
    message = decode_answer(found.message)
    message.ClearField("stages")
    return message


@pytest.mark.parametrize("by", Nearness)
def test_an_answer_to_one_archive_tells_nothing_of_what_others_have_recorded(by):
    first = told(by, 3)
    assert len(first.hits) == 2
    assert first.draft.sentences
    assert {case.case_id[:6] for hit in first.hits for case in hit.cases} == {"south/"}
    for records in (COMMON, COMMON + 1, 1000):
        assert told(by, records, Statement("AFIB", support=1.0), language="sv") == first
