"""What axe says of every view, in both languages, light and dark, and on a phone."""

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import choose, csv
from tests.helpers.ecgs import ecg
from tests.helpers.page_gateway import table

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "german": {"locale": "de-DE"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}


def violations(page: Page) -> list[str]:
    page.evaluate(AXE)
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found
        for node in one["nodes"]
    ]


@pytest.fixture(params=LOOKS)
def seen(request, pages, url) -> Page:
    return pages.open(url, **LOOKS[request.param])


def test_the_empty_page(seen: Page):
    assert violations(seen) == []


def test_an_answer_with_calipers_a_case_and_all_that_opens(seen: Page, recording):
    choose(seen, recording)
    expect(seen.locator("#hits .hit")).to_have_count(3)
    seen.click("#calipers")
    for summary in seen.locator("#view-ecg summary").all():
        summary.click()
    expect(seen.locator("#model-image img")).to_be_visible()
    seen.locator("button.case").first.click()
    expect(seen.locator("#case-beats .over .trace")).to_have_count(12)
    assert violations(seen) == []
    seen.select_option("#placing", "over")
    expect(seen.locator("#paper .over .trace")).to_have_count(13)
    assert violations(seen) == []


def test_a_search(seen: Page):
    seen.click("#to-search")
    seen.fill("#search-text", "x")
    seen.keyboard.press("Enter")
    expect(seen.locator("#search-hits .hit")).to_have_count(3)
    assert violations(seen) == []


def test_a_batch(seen: Page):
    choose(seen, *(csv(f"{n}.csv", table(ecg(rate=100.0, seed=n), 100.0)) for n in range(2)))
    expect(seen.locator("#batch-table .table-body [role=row]")).to_have_count(2)
    expect(seen.locator("#batch-stop")).to_be_hidden(timeout=20_000)
    assert violations(seen) == []


def test_the_help(seen: Page):
    seen.keyboard.press("?")
    expect(seen.locator("#help")).to_be_visible()
    assert violations(seen) == []


def test_an_error_and_signing_in(seen: Page, pages, gateway):
    pages.expected += ["status of 400", "status of 401"]
    choose(seen, csv("x.csv", b"no ECG"))
    expect(seen.locator("#error")).to_be_visible()
    assert violations(seen) == []
    gateway.keys = {"cdx_key"}
    seen.reload()
    expect(seen.locator("#sign-in")).to_be_visible()
    assert violations(seen) == []
