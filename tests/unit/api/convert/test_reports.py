import pytest

from cardex.api.convert.reports import (
    finding_message,
    hit_message,
    index_message,
    report_message,
    report_of,
)
from cardex.api.pb.v1 import report_pb2
from cardex.domain.index import Hit, IndexInfo
from cardex.domain.reports import Finding, Report, Statement

REPORT = Report(
    report_id="r1",
    text="Förmaksflimmer",
    language="sv",
    record_ids=("1", "2"),
    record_count=7,
    statements=(
        Statement("AFIB", "atrial fibrillation", 80.0, 0.5),
        Statement("SR", "", None, 1.0),
    ),
)


def sent(message):
    return type(message).FromString(message.SerializeToString())


def test_a_report_comes_back_as_it_was_sent():
    assert report_of(sent(report_message(REPORT))) == REPORT


def test_a_likelihood_of_zero_is_not_the_same_as_none():
    statements = (Statement("AFIB", likelihood=0.0), Statement("SR"))
    found = report_of(sent(report_message(Report("r1", "text", statements=statements))))
    assert [statement.likelihood for statement in found.statements] == [0.0, None]


def test_a_support_that_is_not_given_is_whole():
    message = report_pb2.Report(statements=[report_pb2.Statement(code="SR")])
    assert report_of(message).statements == (Statement("SR", "", None, 1.0),)


def test_an_empty_report_is_translated_unchecked():
    assert report_of(report_pb2.Report()) == Report("", "")


def test_a_hit_keeps_rank_score_and_report():
    message = sent(hit_message(Hit(REPORT, -0.125, 3)))
    assert (message.rank, message.score) == (3, -0.125)
    assert report_of(message.report) == REPORT


def test_a_finding_keeps_everything():
    message = sent(finding_message(Finding("SR", "sinus rhythm", 0.25, ("r1", "r2"))))
    assert (message.code, message.description, message.share) == ("SR", "sinus rhythm", 0.25)
    assert list(message.report_ids) == ["r1", "r2"]


@pytest.mark.parametrize("count", [0, 9868])
def test_an_index_says_what_it_holds_and_when_it_was_made(count):
    message = sent(
        index_message(IndexInfo("reports_1", "g1", "m", 1_700_000_000.5, 256, "FLAT"), count)
    )
    assert (message.name, message.generation, message.model_version) == ("reports_1", "g1", "m")
    assert message.report_count == count
    assert message.create_time.ToMilliseconds() == 1_700_000_000_500
