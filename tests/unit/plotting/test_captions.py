import pytest
from PIL import ImageFont

from cardex.plotting.captions import (
    ELLIPSIS,
    fitted,
    paragraph,
    printable,
    width_of,
    wrapped,
)

LONG = "Left ventricular hypertrophy with repolarization abnormality"


@pytest.mark.parametrize("text", [LONG, LONG.upper(), "aVR", "25 mm/s 10 mm/mV | 500 Hz"])
def test_a_line_is_never_wider_than_thought(text):
    assert ImageFont.load_default(size=30).getlength(text) <= width_of(text, 30)


def test_what_fits_stays_as_it_is():
    assert fitted("V1", 3.0, 50.0) == "V1"
    assert paragraph(["Sinus rhythm", "Normal ECG"], 3.0, 100.0, 2) == [
        "Sinus rhythm",
        "Normal ECG",
    ]


def test_what_does_not_fit_ends_with_an_ellipsis():
    short = fitted(LONG, 3.0, 40.0)
    assert short.endswith(ELLIPSIS)
    assert width_of(short, 3.0) <= 40.0


def test_lines_break_between_words():
    lines = wrapped(LONG, 3.0, 60.0)
    assert " ".join(lines) == LONG
    assert all(width_of(line, 3.0) <= 60.0 for line in lines)


def test_too_many_statements_run_together():
    assert paragraph(["a", "b", "", "c"], 3.0, 100.0, 2) == ["a; b; c"]


def test_a_paragraph_that_is_cut_says_so_after_a_whole_word():
    lines = paragraph([LONG] * 9, 3.0, 100.0, 3)
    assert len(lines) == 3
    assert all(width_of(line, 3.0) <= 100.0 for line in lines)
    *_, word, end = lines[-1].split()
    assert end == ELLIPSIS
    assert word.strip(";") in LONG.split()


def test_control_characters_are_dropped():
    assert printable(" a\0\n\tb\x1b[0m\ud800\u202e ") == "a b[0m"
