"""The ECG on its paper."""

import re

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import choose, csv
from tests.helpers.page_gateway import PULSE_MV, PULSE_S, pulses, table

PX_PER_MM = 96 / 25.4
MARGIN_MM = 15.0
SEGMENTS = {"3x4+1": 13, "6x2": 12, "12x1": 12}


def points(page: Page, lead: str, place: str = "#paper .ink") -> np.ndarray:
    """Return the points of a lead's first segment: (N, 2), mm."""
    return drawn_by(page.locator(f"{place} .trace[data-lead={lead}]").first)


def drawn_by(trace: Locator) -> np.ndarray:
    """Return the points of a path: (N, 2), mm."""
    path = trace.get_attribute("d") or ""
    start, _, moves = path.removeprefix("M").partition("l")
    steps = np.array([start.split(), *np.array(moves.split()).reshape(-1, 2)], dtype=float)
    return np.cumsum(steps, axis=0) * 0.01


def edges(drawn: np.ndarray) -> np.ndarray:
    """Return where pulses rise and fall, mm."""
    return drawn[1:][abs(np.diff(drawn[:, 1])) > 1.0, 0]


def width_mm(page: Page) -> float:
    box = page.locator("#paper .paper-drawing").bounding_box()
    assert box
    return box["width"] / PX_PER_MM


@pytest.mark.parametrize("layout", SEGMENTS)
def test_every_layout_has_a_path_for_each_piece_of_a_lead(page: Page, recording, layout):
    choose(page, recording)
    page.select_option("#layout", layout)
    expect(page.locator("#paper .ink .trace")).to_have_count(SEGMENTS[layout])
    assert layout in (page.locator("#paper .paper-drawing").get_attribute("aria-label") or "")


@pytest.mark.parametrize(("speed", "gain"), [(25, 10), (50, 5), (25, 20)])
def test_time_and_voltage_are_to_scale(page: Page, speed, gain):
    choose(page, csv("pulses.csv", table(pulses(), 250.0)))
    page.select_option("#layout", "12x1")
    page.select_option("#speed", str(speed))
    page.select_option("#gain", str(gain))
    drawn = points(page, "II")
    high = drawn[:, 1] < drawn[:, 1].max() - PULSE_MV * gain / 2
    rises = drawn[1:][np.diff(high.astype(int)) == 1, 0]
    falls = drawn[1:][np.diff(high.astype(int)) == -1, 0]
    assert np.ptp(drawn[:, 1]) == pytest.approx(PULSE_MV * gain, abs=0.011)
    assert falls[-1] - rises[-1] == pytest.approx(PULSE_S * speed, abs=0.011)
    assert np.diff(rises) == pytest.approx(np.full(len(rises) - 1, 1.0 * speed), abs=0.011)


def test_columns_of_a_short_ecg_stand_over_its_rhythm_strip(page: Page):
    choose(page, csv("short.csv", table(pulses(seconds=4.0), 250.0)))
    expect(page.locator("#paper .ink .trace")).to_have_count(7)  # two columns, and the strip
    strip = drawn_by(page.locator("#paper .ink .trace[data-lead=II]").last)
    for lead in ("II", "aVR"):
        for edge in edges(points(page, lead)):
            assert np.min(abs(edges(strip) - edge)) < 0.011
    assert points(page, "aVR")[-1, 0] == pytest.approx(MARGIN_MM + 4.0 * 25, abs=0.11)
    for lead in ("V1", "V5"):
        expect(page.locator(f"#paper .lead-name:text-is('{lead}')")).to_have_count(1)


def test_a_millimetre_is_one_until_it_is_zoomed(page: Page, recording):
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    assert width_mm(page) == pytest.approx(275, abs=0.3)
    page.keyboard.press("+")
    assert width_mm(page) == pytest.approx(275 * 1.5, abs=0.3)
    page.keyboard.press("0")
    assert width_mm(page) == pytest.approx(275, abs=0.3)
    page.keyboard.press("s")
    assert width_mm(page) == pytest.approx(525, abs=0.3)


def test_the_grid_has_lines_at_every_millimetre(page: Page, recording):
    choose(page, recording)
    thick = page.locator("#paper .grid-thick").get_attribute("d") or ""
    thin = page.locator("#paper .grid-thin").get_attribute("d") or ""
    at = lambda path: [float(x) for x in re.findall(r"M([\d.]+) 0v", path)]  # noqa: E731
    assert at(thick) == list(range(0, 276, 5))
    assert sorted(at(thick) + at(thin)) == list(range(276))


@pytest.mark.parametrize(
    ("start", "locale", "words"),
    [
        (0, "en-GB", "10 s from 0:00"),
        (10, "en-GB", "10 s from 0:10"),
        (85.4, "de-DE", "10 s ab 1:25,4"),
        (3605, "en-GB", "10 s from 1:00:05"),
    ],
)
def test_it_is_said_where_the_ten_seconds_begin(pages, url, recording, start, locale, words):
    page = pages.open(url, locale=locale)

    def later(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        of_ecg = body.get("answer", body)["trace"]
        of_ecg["start_s"] = start
        route.fulfill(response=response, json=body)

    for path in ("ecgs:trace", "ecgs:retrieve", "cases/**"):
        page.route(f"**/v1/{path}", later)
    choose(page, recording)
    expect(page.locator("#ecg-extent")).to_have_text(words)
    page.locator("button.case").first.click()
    expect(page.locator("#case-words")).to_contain_text(words)
    page.select_option("#speed", "50")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#sheet .sheet-facts")).to_contain_text(f" | {words.replace('10', '5', 1)}")


def test_a_doubt_stands_beside_its_lead_and_in_the_list(page: Page, recording):
    choose(page, recording)
    expect(page.locator("#paper .lead-doubt")).to_have_attribute("data-lead", "V3")
    expect(page.locator("#paper .lead-warning")).to_contain_text("noisy")
    expect(page.locator("#signal")).to_contain_text("66 bpm")
    expect(page.locator("#signal .warnings li")).to_have_count(2)


def test_it_is_drawn_before_the_answer_has_come(page: Page, gateway, recording):
    gateway.going_on.clear()
    choose(page, recording)
    expect(page.locator("#paper .ink .trace")).to_have_count(13)
    expect(page.locator("#ecg-state")).to_contain_text("nearest cases")
    expect(page.locator("#answer")).to_be_hidden()
    gateway.going_on.set()
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#ecg-state")).to_be_hidden()


def test_what_is_no_ecg_is_told_in_the_servers_words(page: Page, pages):
    pages.expected += ["status of 400"]
    choose(page, csv("x.csv", b"no ECG at all"))
    expect(page.locator("#error-words")).to_contain_text("format")
    page.click("#error-close")
    expect(page.locator("#error")).to_be_hidden()


def test_wander_is_taken_off_when_asked(page: Page):
    times = np.arange(2500) / 250.0
    wander = 0.6 * np.sin(2 * np.pi * 0.25 * times)
    choose(page, csv("wander.csv", table(pulses() + wander, 250.0)))
    page.select_option("#layout", "12x1")
    before = np.ptp(points(page, "V3")[:, 1])
    page.click("#wander")
    expect(page.locator("#wander")).to_have_attribute("aria-pressed", "true")
    after = np.ptp(points(page, "V3")[:, 1])
    assert before > 12  # mm: the pulse of V3 has 3, and the wander 12
    assert after < 6
