"""Measuring by mouse, touch and keyboard."""

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import choose, csv
from tests.browser.test_paper import points
from tests.helpers.page_gateway import pulses, table


@pytest.fixture
def measuring(page: Page) -> Page:
    choose(page, csv("pulses.csv", table(pulses(), 250.0)))
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.select_option("#layout", "12x1")
    page.click("#calipers")
    return page


def reading(page: Page) -> tuple[float, float, float]:
    """Return what the calipers say: ms, mV, bpm."""
    words = page.locator("#measured").text_content() or ""
    found = re.fullmatch(r"([\d.,]+) ms, ([\d.]+) mV, ([\d.,]+) bpm", words)
    assert found, words
    ms, mv, bpm = (float(number.replace(",", "")) for number in found.groups())
    return ms, mv, bpm


def handle(page: Page, side: str):
    return page.locator(f"#paper [data-side={side}]")


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Return the place on the screen of one on the paper, mm."""
    return tuple(
        page.evaluate(
            """([x, y]) => {
              const layer = document.querySelector("#paper .paper-layer");
              const seen = layer.getBoundingClientRect();
              const mm = layer.viewBox.baseVal;
              const scale = seen.width / mm.width;
              return [seen.left + x * scale, seen.top + y * scale];
            }""",
            [x, y],
        )
    )


def test_a_known_pulse_is_measured_by_mouse_and_keyboard(measuring: Page):
    page = measuring
    for _ in range(4):
        page.keyboard.press("+")
    drawn = points(page, "II")
    page.locator("#paper .trace[data-lead=II]").scroll_into_view_if_needed()
    level, top = drawn[:, 1].max(), drawn[:, 1].min()
    high = drawn[:, 1] < (level + top) / 2
    rise = drawn[1:][np.diff(high.astype(int)) == 1, 0][0]
    page.locator("#paper .paper").evaluate("(box) => { box.scrollLeft = 0; box.scrollTop = 0; }")
    page.mouse.move(*on_screen(page, rise, top))
    page.mouse.down()
    page.mouse.move(*on_screen(page, rise + 2, level - 3), steps=5)
    page.mouse.move(*on_screen(page, rise + 5, level), steps=5)
    page.mouse.up()
    ms, mv, _ = reading(page)
    # A pixel is 0.066 mm at this zoom, and each line may be off by one.
    assert ms == pytest.approx(200, abs=6)
    assert mv == pytest.approx(1.0, abs=0.015)
    handle(page, "right").focus()
    for _ in range(40):
        if reading(page)[0] == 200:
            break
        page.keyboard.press("Shift+ArrowLeft" if reading(page)[0] > 200 else "Shift+ArrowRight")
    handle(page, "bottom").focus()
    for _ in range(40):
        if reading(page)[1] == 1.0:
            break
        page.keyboard.press("Shift+ArrowUp" if reading(page)[1] > 1 else "Shift+ArrowDown")
    assert reading(page) == (200, 1.0, 300)
    left = float(page.locator("#paper [data-side=left] line").first.get_attribute("x1") or 0)
    assert left == pytest.approx(rise, abs=0.1)


def test_arrows_move_by_a_millimetre_and_with_shift_finer(measuring: Page):
    page = measuring
    assert reading(page) == (800, 1.0, 75)
    expect(handle(page, "left")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    assert reading(page)[0] == 840
    page.keyboard.press("Shift+ArrowRight")
    assert reading(page)[0] == 838
    page.keyboard.press("Tab")
    expect(handle(page, "right")).to_be_focused()
    page.keyboard.press("Tab")
    expect(handle(page, "top")).to_be_focused()
    page.keyboard.press("ArrowUp")
    assert reading(page)[1] == 1.1
    before = reading(page)
    handle(page, "all").focus()
    page.keyboard.press("ArrowRight")
    assert reading(page) == before


@pytest.mark.parametrize(("there", "back"), [("ArrowRight", "ArrowLeft"), ("ArrowUp", "ArrowDown")])
def test_at_the_edge_all_lines_keep_what_they_measure(measuring: Page, there, back):
    page = measuring
    before = reading(page)
    handle(page, "all").focus()
    for _ in range(300):
        page.keyboard.press(there)
    assert reading(page) == before
    first = {"ArrowRight": "right", "ArrowUp": "top"}[there]
    assert handle(page, first).get_attribute("aria-valuenow") == edge(page, first)
    page.keyboard.press(back)
    assert reading(page) == before
    assert handle(page, first).get_attribute("aria-valuenow") != edge(page, first)


def edge(page: Page, side: str) -> str | None:
    name = "aria-valuemax" if side in ("right", "bottom") else "aria-valuemin"
    return handle(page, side).get_attribute(name)


def test_a_label_dragged_beyond_the_paper_takes_the_lines_to_its_edge(measuring: Page):
    page = measuring
    before = reading(page)
    label = handle(page, "all").locator("rect").bounding_box()
    assert label
    page.mouse.move(label["x"] + 10, label["y"] + label["height"] / 2)
    page.mouse.down()
    page.mouse.move(*on_screen(page, -40, -40), steps=3)
    page.mouse.up()
    assert reading(page) == before
    assert handle(page, "left").get_attribute("aria-valuenow") == "0"
    assert handle(page, "top").get_attribute("aria-valuenow") == "0"


def test_a_line_dragged_beyond_the_paper_stops_alone(measuring: Page):
    page = measuring
    left = handle(page, "left").get_attribute("aria-valuenow")
    handle(page, "right").focus()
    for _ in range(300):
        page.keyboard.press("ArrowRight")
    assert handle(page, "right").get_attribute("aria-valuenow") == edge(page, "right")
    assert handle(page, "left").get_attribute("aria-valuenow") == left


def test_a_lower_paper_moves_the_lines_and_keeps_what_they_measure(measuring: Page):
    page = measuring
    before = reading(page)
    handle(page, "all").focus()
    for _ in range(300):
        page.keyboard.press("ArrowDown")
    page.select_option("#layout", "3x4+1")
    assert reading(page) == before
    assert handle(page, "bottom").get_attribute("aria-valuenow") == edge(page, "bottom")


def test_the_lines_are_labelled_sliders(measuring: Page):
    left = measuring.get_by_role("slider", name="Calipers: first time line")
    expect(left).to_have_attribute("aria-valuetext", "800 ms, 1.00 mV, 75 bpm")
    assert measuring.get_by_role("slider").count() == 4


def test_a_line_is_dragged_and_the_others_stay(measuring: Page):
    page = measuring
    knob = handle(page, "right").locator("circle").bounding_box()
    assert knob
    x, y = knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2
    left = handle(page, "left").locator("line").first.get_attribute("x1")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 96 / 25.4 * 5, y, steps=3)
    page.mouse.up()
    assert reading(page)[0] == pytest.approx(1000, abs=8)
    assert handle(page, "left").locator("line").first.get_attribute("x1") == left


def test_escape_removes_them(measuring: Page):
    measuring.keyboard.press("Escape")
    expect(measuring.locator("#paper .caliper-handle")).to_have_count(0)
    expect(measuring.locator("#measured")).to_be_empty()
    expect(measuring.locator("#calipers")).to_have_attribute("aria-pressed", "false")


def test_a_finger_drags_a_line_but_draws_none(pages, url):
    page = pages.open(url, has_touch=True, viewport={"width": 800, "height": 900})
    choose(page, csv("pulses.csv", table(pulses(), 250.0)))
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.locator("#calipers").tap()
    before = reading(page)
    send = page.context.new_cdp_session(page).send
    x, y = on_screen(page, 30, 10)
    send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert reading(page) == before
    knob = handle(page, "right").locator("circle").bounding_box()
    assert knob
    x, y = knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2
    send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 6):
        at = [{"x": x + step * 96 / 25.4, "y": y}]
        send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": at})
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#measured")).not_to_have_text("800 ms, 1.00 mV, 75 bpm")
    assert reading(page)[0] == pytest.approx(1000, abs=15)
