from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardex.reports.normalise import RULES, clean_report

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reports.md"
MARK = "4.46 unbestÄtigter bericht"


def test_a_report_about_the_heart_alone_stays_as_it_is():
    text = (
        "sinus rhythm (rate = 74/min). prolonged pr interval (0.24 sec). qs complexes in v2,3."
        " t waves are low or flat in i, avl, v4,5,6."
    )
    assert clean_report(text) == text


@pytest.mark.parametrize(
    "kept",
    [
        "inferiorer infarkt alter unbest.",
        "vorhofflattern mit 2:1 ueberleitung",
        "qrs(t) abnorm",
        "sokolow 4.4",
        "pr interval 4.460",
        "atrial flutter with 3:1 and 4:1 block",
        "p waves not recognised due to baseline artifact. left bundle branch block.",
        "Ödem des Myokards möglich, AV-Block I",
        "ST-Senkung in V5,6",
    ],
)
def test_what_only_looks_like_a_mark_stays(kept):
    assert clean_report(kept) == kept


@pytest.mark.parametrize(
    "mark",
    [
        MARK, "4.46 unbestätigter bericht", "4.46", "4.46 u", "4.46 unbestÄ",
        "4.46 unbestÄtigter ber",
        "4.40 unconfi", "4.40 unconfirmed report", "Unbestätigter Bericht",
    ],
)  # fmt: skip
def test_the_mark_of_the_cart_goes_even_where_it_was_cut_off(mark):
    assert clean_report(f"sinusrhythmus normales ekg {mark}") == "sinusrhythmus normales ekg"


@pytest.mark.parametrize(
    "edit",
    ["Edit: NORM 100, (NORM 100)", "Edit: LVH 35, Sokolow 3,3, wahrscheinlich normal", "Edit:"],
)
def test_the_codes_of_a_second_reader_go(edit):
    assert clean_report(f"sinus rhythm. normal ecg. {edit}") == "sinus rhythm. normal ecg."
    assert clean_report(f"normales ekg {MARK} {edit}") == "normales ekg"


@pytest.mark.parametrize(
    "text",
    ["", "  ", "trace only requested.", "trace only.", "trace only requested. Edit: NORM", "?"],
)
def test_nothing_is_left_where_nothing_is_about_the_heart(text):
    assert not clean_report(text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("normal ecg. lead v5 shows artifact.", "normal ecg."),
        ("normal ecg. leads v2,3 show gross artifact.", "normal ecg."),
        ("there is very gross skeletal muscle artifact. sinus rhythm", "sinus rhythm"),
        ("sinus tachycardia. artifact in lead v1. normal ecg.", "sinus tachycardia. normal ecg."),
        ("hemiblock muskelzittern pathologisches ekg", "hemiblock pathologisches ekg"),
    ],
)
def test_notes_on_the_recording_go(text, cleaned):
    assert clean_report(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("compared with tracing of 12:9:91, t waves are upright.", "t waves are upright."),
        ("compared with tracings of 7 & 9:9:91, rate is slower.", "rate is slower."),
        ("compared with tracings of 30:9 and 1:10:92. axis is left.", "axis is left."),
        ("compared with tracings of 3:3:92 and 23:3:92. it is similar.", "it is similar."),
        ("compared with submitted tracing dated 12:2:92, it is old", "it is old"),
        ("compared with tracing of earlier today. axis is left.", "axis is left."),
        ("compared with tracing of 15:9,92, it is similar.", "it is similar."),
        ("hoch in v2 verglichen mit ekg vom 18.4.93: ventr.es", "hoch in v2 ventr.es"),
        ("tracing is similar to that of 30:6:92 but slower", "tracing is similar but slower"),
        ("evolving infarction since 18/4/92.", "evolving infarction."),
        ("no change since trace of 12.9.91", "no change"),
        ("sinusrhythmus 14:30 uhr normales ekg", "sinusrhythmus normales ekg"),
        ("aufnahme vom 01.02.2003 08:15:30 sinusrhythmus", "aufnahme sinusrhythmus"),
    ],
)
def test_dates_and_times_go(text, cleaned):
    assert clean_report(text) == cleaned


def test_the_patient_goes():
    text = "nr: 030315 }lder: 87 }r k|n: l{ngd: cm vikt: kg bt: mmhg med: sinusrytm"
    assert clean_report(text) == "sinusrytm"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("amplitudenkriterien f#r linkshypertrophie", "amplitudenkriterien für linkshypertrophie"),
        ("r-s #bergang in v ableitungen", "r-s übergang in v ableitungen"),
        ("laterale ischÄmie Älter", "laterale ischämie älter"),
        ("q waves in ii,,iii, avf..", "q waves in ii,iii, avf."),
        ("hf 190 !!!  normales  ekg ,", "hf 190 ! normales ekg"),
        ("no definite pathology. `", "no definite pathology."),
    ],
)
def test_what_is_broken_is_repaired(text, cleaned):
    assert clean_report(text) == cleaned


@given(st.lists(st.sampled_from([
    "sinus rhythm.", MARK, "4.46", "unbest", "Edit:", "NORM 100,", "trace only", "requested.",
    "12:9:91,",
    "compared with tracing of", "since", "!!", "f#r", "..", ",", "lead v5 shows artifact.",
    "Ä", "`",
    "14:30", "v2,3",
]), max_size=8).map(" ".join))  # fmt: skip
def test_white_space_is_single_and_edges_are_clean(text):
    cleaned = clean_report(text)
    assert cleaned == " ".join(cleaned.split())
    assert not cleaned.startswith((",", ";", ":", "-"))


def test_every_rule_is_explained():
    section = DOCS.read_text().partition("## Cleaning")[2]
    assert [rule.name for rule in RULES if f"| {rule.name} |" not in section] == []
