"""The printed page, measured in the PDF that the browser makes of it."""

import io
from dataclasses import dataclass

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect
from pypdf import PageObject, PdfReader

from tests.browser.conftest import choose

MM = 72 / 25.4
A4 = (297.0, 210.0)


@dataclass
class Lines:
    """The straight lines of a page: (N, 4) mm from its lower left corner, x0, y0, x1, y1."""

    all: np.ndarray

    def at(self, axis: int, longer: float) -> np.ndarray:
        """Return where lines across `axis` that are longer than `longer` mm stand."""
        along = 1 - axis
        lengths = abs(self.all[:, along] - self.all[:, along + 2])
        straight = abs(self.all[:, axis] - self.all[:, axis + 2]) < 1e-3
        return np.unique(np.round(self.all[straight & (lengths > longer), axis], 3))


def lines_of(page: PageObject) -> Lines:
    """Read the moves and lines of a page's content."""
    found: list[tuple[float, ...]] = []
    start = np.zeros(2)

    def visit(operator, operands, matrix, _text) -> None:
        nonlocal start
        if operator not in (b"m", b"l"):
            return
        a, b, c, d, e, f = (float(value) for value in matrix)
        x, y = (float(value) for value in operands)
        here = np.array([a * x + c * y + e, b * x + d * y + f]) / MM
        if operator == b"l":
            found.append((*start, *here))
        start = here

    page.extract_text(visitor_operand_before=visit)
    return Lines(np.array(found))


def printed(page: Page) -> PdfReader:
    return PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))


@pytest.fixture
def answered(page: Page, recording) -> Page:
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    return page


@pytest.mark.parametrize(("layout", "speed"), [("3x4+1", "25"), ("6x2", "25"), ("12x1", "50")])
def test_a_square_of_5_mm_measures_5_mm_on_one_page(answered: Page, layout, speed):
    answered.select_option("#layout", layout)
    answered.select_option("#speed", speed)
    pdf = printed(answered)
    assert len(pdf.pages) == 1
    box = pdf.pages[0].mediabox
    assert (float(box.width) / MM, float(box.height) / MM) == pytest.approx(A4, abs=0.5)
    lines = lines_of(pdf.pages[0])
    upright, level = lines.at(0, longer=100), lines.at(1, longer=200)
    assert np.diff(upright) == pytest.approx(np.full(275, 1.0), abs=0.01)
    assert np.diff(level) == pytest.approx(np.full(120, 1.0), abs=0.01)
    assert np.diff(upright[::5]) == pytest.approx(np.full(55, 5.0), abs=0.05)
    assert upright[0] > 5
    assert upright[-1] < A4[0] - 5


def test_it_says_research_use_only_and_shows_the_first_hits(answered: Page):
    text = printed(answered).pages[0].extract_text()
    assert "RESEARCH USE ONLY" in text
    assert "25 mm/s, 10 mm/mV" in text
    assert "10 s from 0:00" in text
    assert "Linkstyp" in text
    assert "demo/1" in text
    assert "Choose files" not in text


def test_a_dark_page_is_printed_on_white(pages, url, recording):
    page = pages.open(url, color_scheme="dark")
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.emulate_media(media="print", color_scheme="dark")
    script = "(part) => getComputedStyle(part).getPropertyValue('--paper')"
    assert page.locator("body").evaluate(script) == "#ffffff"


def test_long_texts_do_not_make_a_second_page(answered: Page):
    answered.route("**/v1/ecgs:retrieve", _with_long_texts)
    answered.click("#ecg-filter summary")
    answered.locator("#ecg-question button.primary").click()
    expect(answered.locator("#hits .hit").first).to_contain_text("word word")
    assert len(printed(answered).pages) == 1


def _with_long_texts(route: Route) -> None:
    response = route.fetch()
    body = response.json()
    for hit in body["answer"]["hits"]:
        hit["report"]["text"] = "word " * 2000
    route.fulfill(response=response, json=body)


WHOLE = ["LOW_QUALITY", "HEART_RATE", "NO_QRS", "SHORT_RECORD", "LOW_RATE", "OUT_OF_DISTRIBUTION"]
LEADS = ["V1", "V2", "V3", "V4", "V5"]


def test_all_doubts_about_the_record_are_printed_and_how_many_of_leads_are_not(page, recording):
    page.route("**/v1/ecgs:retrieve", _with_doubts)
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    doubts = page.locator("#sheet .sheet-doubts")
    expect(doubts.locator("p")).to_have_text(
        "low quality; heart rate; no QRS found; short record; low sampling rate; "
        "unlike all that the model knows"
    )
    expect(doubts.locator("li")).to_have_text(
        ["noisy V1", "noisy V2", "noisy V3", "further doubts about leads: 2"]
    )
    sheet, seen = page.locator("#sheet").bounding_box(), doubts.bounding_box()
    probable = page.locator("#sheet h3", has_text="Probabilities").bounding_box()
    assert sheet
    assert seen
    assert probable
    assert seen["y"] + seen["height"] <= probable["y"] < sheet["y"] + sheet["height"]


def _with_doubts(route: Route) -> None:
    response = route.fetch()
    body = response.json()
    body["answer"]["warnings"] = [
        *({"code": "LEAD_NOISY", "leads": [lead], "message": "noisy"} for lead in LEADS),
        *({"code": code, "message": "of the record"} for code in WHOLE),
    ]
    route.fulfill(response=response, json=body)


def test_a_search_is_printed_as_it_is_seen(page: Page):
    page.click("#to-search")
    page.fill("#search-text", "x")
    page.keyboard.press("Enter")
    expect(page.locator("#search-hits .hit")).to_have_count(3)
    text = printed(page).pages[0].extract_text()
    assert "RESEARCH USE ONLY" in text
    assert "Linkstyp" in text
