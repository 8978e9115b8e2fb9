"""Reports found by text."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import choose


def test_reports_are_found_by_text(page: Page):
    page.click("#to-search")
    page.fill("#search-text", "atrial fibrillation")
    page.keyboard.press("Enter")
    expect(page.locator("#search-state")).to_have_text("3 reports")
    expect(page.locator("#search-hits .hit")).to_have_count(3)
    assert "atrial" not in page.url


def test_a_filter_holds_for_a_search(page: Page):
    page.keyboard.press("/")
    expect(page.locator("#search-text")).to_be_focused()
    page.fill("#search-text", "x")
    page.click("#view-search summary")
    page.fill("#search-question-min_age", "53")
    page.keyboard.press("Enter")
    expect(page.locator("#search-state")).to_have_text("1 reports")


def test_a_found_case_is_opened(page: Page):
    page.click("#to-search")
    page.fill("#search-text", "x")
    page.keyboard.press("Enter")
    page.locator("#search-hits button.case").first.click()
    expect(page.locator("#case-title")).to_have_text("Case demo/1")
    expect(page.locator("#case-paper .ink .trace")).to_have_count(13)
    expect(page.locator("#paper")).to_be_hidden()
    page.click("#to-search")
    expect(page.locator("#search-hits .hit")).to_have_count(3)
    expect(page.locator("#view-search")).to_be_visible()


def test_a_found_case_lies_beside_the_open_ecg(page: Page, recording):
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.click("#to-search")
    page.fill("#search-text", "x")
    page.keyboard.press("Enter")
    page.locator("#search-hits button.case").first.click()
    expect(page.locator("#case-beats .over .trace")).to_have_count(12)
