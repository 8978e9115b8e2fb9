import pytest

from cardex.domain.index import Hit
from cardex.domain.reports import Report, Statement
from cardex.retrieval.findings import MAX_FINDINGS, MIN_SHARE, findings_of


def hit(report_id: str, score: float, *statements: Statement, rank: int = 1) -> Hit:
    return Hit(Report(report_id, "text", statements=statements), score, rank)


def shares(*hits: Hit) -> dict[str, float]:
    return {finding.code: finding.share for finding in findings_of(hits)}


def test_no_hits_agree_on_nothing():
    assert findings_of(()) == ()


def test_a_statement_of_every_hit_has_the_whole_share():
    assert shares(hit("a", 0.9, Statement("AFIB")), hit("b", 0.5, Statement("AFIB"))) == {
        "AFIB": 1.0
    }


def test_hits_vote_with_their_similarity():
    found = shares(hit("a", 0.75, Statement("AFIB")), hit("b", 0.25, Statement("SR")))
    assert found == {"AFIB": 0.75, "SR": 0.25}


def test_a_statement_counts_with_its_likelihood():
    assert shares(hit("a", 1.0, Statement("IMI", likelihood=50.0))) == {"IMI": 0.5}


def test_a_statement_counts_with_the_share_of_records_that_carry_it():
    assert shares(hit("a", 1.0, Statement("IMI", support=0.4, likelihood=50.0))) == {"IMI": 0.2}


@pytest.mark.parametrize(("share", "found"), [(MIN_SHARE, True), (MIN_SHARE - 0.001, False)])
def test_what_too_few_agree_on_is_left_out(share, found):
    assert ("IMI" in shares(hit("a", 1.0, Statement("IMI", support=share)))) is found


def test_the_strongest_come_first_and_equals_in_order_of_their_code():
    found = findings_of(
        [
            hit("a", 1.0, Statement("SR"), Statement("ABQRS"), Statement("LVH", support=0.5)),
            hit("b", 1.0, Statement("SR"), Statement("ABQRS")),
        ]
    )
    assert [finding.code for finding in found] == ["ABQRS", "SR", "LVH"]


def test_a_finding_names_the_reports_it_stands_on_and_the_words():
    (finding,) = findings_of(
        [
            hit("a", 0.6, Statement("IMI", "inferior infarction")),
            hit("b", 0.4),
            hit("c", 0.4, Statement("IMI", "inferior infarction")),
        ]
    )
    assert finding.report_ids == ("a", "c")
    assert finding.description == "inferior infarction"


def test_a_hit_that_points_the_other_way_has_no_vote():
    assert shares(hit("a", 0.5, Statement("SR")), hit("b", -0.9, Statement("IMI"))) == {"SR": 1.0}


def test_hits_without_any_similarity_agree_on_nothing():
    assert findings_of([hit("a", 0.0, Statement("SR")), hit("b", -1.0, Statement("SR"))]) == ()


def test_a_long_list_is_cut():
    many = [Statement(f"C{number:02}") for number in range(MAX_FINDINGS + 5)]
    assert len(findings_of([hit("a", 1.0, *many)])) == MAX_FINDINGS


def test_no_share_is_over_one():
    found = shares(hit("a", 1.0, Statement("SR"), Statement("SR")))
    assert found == {"SR": 1.0}
