import io
from typing import Any

import pytest
from rich.console import Console

from cardex.api.convert.jobs import answer_message
from cardex.api.pb.v1 import job_pb2, report_pb2
from cardex.cli.render import as_dict, show_answer
from cardex.domain.index import Hit
from cardex.domain.jobs import Answer, StageTime
from cardex.domain.quality import SignalQuality, SignalWarning
from cardex.domain.reports import Draft, DraftSentence, Finding, Prediction, Report

REPORT = Report("r1", "sinus [red]rhythm[/]", "en", ("17", "18", "19"), 9)
ANSWER = answer_message(
    Answer(
        hits=(Hit(REPORT, 0.8125, 1), Hit(Report("r2", "old infarct"), 0.5, 2)),
        findings=(Finding("SR", "", 0.6), Finding("IMI", "inferior infarction", 0.25)),
        model_version="m",
        index_name="i",
        index_generation="g",
        stages=(StageTime("inference", 0.0125),),
        quality=SignalQuality(0.874, 66.4, (SignalWarning("LEAD_FLAT", "no signal", ("V1",)),)),
        predictions=(
            Prediction("AFIB", "atrial fibrillation", "", 0.42),
            Prediction("SR", "", "", 0.3),
        ),
        draft=Draft(
            (DraftSentence("[b]sinus rhythm.[/b]", ("r1",)), DraftSentence("paced.", ("r2",)))
        ),
    )
)


@pytest.fixture
def shown():
    def show(**options) -> str:
        stream = io.StringIO()
        show_answer(Console(file=stream, width=200), "ecg.dcm [STAT]", ANSWER, **options)
        return stream.getvalue()

    return show


def test_the_nearest_reports_are_shown_with_score_and_records(shown):
    text = shown()
    assert "1  0.812  sinus [red]rhythm[/]  ECG 17, 18 and 7 more" in " ".join(text.split(" "))


def test_no_more_reports_are_shown_than_asked_for(shown):
    assert "old infarct" in shown()
    assert "old infarct" not in shown(shown=1)


def test_findings_warnings_and_times_are_shown(shown):
    text = shown()
    assert "SR 60%, inferior infarction 25%" in text
    assert "no signal V1" in text
    assert "quality 0.87, 66/min" in text
    assert "inference 12.5 ms" in text


def test_what_is_probable_and_the_labelled_draft_are_shown(shown):
    text = shown()
    assert "atrial fibrillation 42%, SR 30%" in text
    assert "[b]sinus rhythm.[/b] paced. [DRAFT FROM SIMILAR CASES, NOT A DIAGNOSIS]" in text


def test_a_match_is_shown_beside_the_similarity():
    answer = job_pb2.Answer(hits=[report_pb2.Hit(rank=1, score=0.5, match=-1.25)])
    stream = io.StringIO()
    show_answer(Console(file=stream, width=200), "ecg.dcm", answer)
    assert "0.500 match -1.2" in stream.getvalue()


def test_brackets_in_a_title_are_no_markup(shown):
    assert shown().startswith("ecg.dcm [STAT]")


def test_plain_values_have_the_names_of_the_contract():
    values: dict[str, Any] = as_dict(ANSWER)
    assert values["model_version"] == "m"
    assert values["hits"][0]["report"]["record_ids"] == ["17", "18", "19"]
