"""The form of a question: what is wrong in it, its filter, and what a failed question leaves."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Pages, ask_from_age, choose, csv
from tests.browser.test_print import printed
from tests.helpers.ecgs import ecg
from tests.helpers.page_gateway import PageGateway, table

RETRIEVE = "**/v1/ecgs:retrieve"


@pytest.fixture
def other():
    return csv("other.csv", table(ecg(seed=1), 500.0))


def busy(route: Route) -> None:
    """Answer that the server is busy."""
    error = {"reason": "BACKLOG", "message": "too many jobs wait"}
    route.fulfill(status=503, json={"error": error}, headers={"Retry-After": "1"})


def test_after_a_first_question_that_failed_the_signal_is_shown_and_one_asks_again(
    page: Page, pages: Pages, recording
):
    pages.expected += ["status of 503"]
    page.route(RETRIEVE, busy)
    choose(page, recording)
    expect(page.locator("#error-words")).to_have_text("too many jobs wait")
    expect(page.locator("#signal .facts")).to_contain_text("Heart rate")
    expect(page.locator("#answer")).to_be_hidden()
    expect(page.locator("#answer-part")).to_be_hidden()
    page.unroute(RETRIEVE)
    ask_from_age(page, 0)
    expect(page.locator("#hits .hit")).to_have_count(3)


def test_a_question_that_fails_later_leaves_the_signal_and_no_hits_of_before(
    pages: Pages, url: str, recording
):
    pages.expected += ["status of 503"]
    mine = pages.open(url)
    choose(mine, recording)
    expect(mine.locator("#hits .hit")).to_have_count(3)
    page = pages.open(f"{url}/#job=job-1")
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.route(RETRIEVE, busy)
    ask_from_age(page, 53)
    expect(page.locator("#error-words")).to_have_text("too many jobs wait")
    expect(page.locator("#hits .hit")).to_have_count(0)
    expect(page.locator("#answer-part")).to_be_hidden()
    expect(page.locator("#signal .warnings li")).to_have_count(2)
    text = printed(page).pages[0].extract_text()
    assert "Linkstyp" not in text
    assert "low sampling rate" in text


@pytest.mark.parametrize(
    ("locale", "field", "value", "words"),
    [
        ("en-GB", "from_month", "2024-13", "Month from: write a month as in 2024-01."),
        ("de-DE", "max_age", "200", "Alter bis: bitte eine ganze Zahl von 0 bis 150 schreiben."),
    ],
)
def test_a_wrong_field_is_said_and_its_ecg_drawn_without_asking(
    pages: Pages, url: str, gateway: PageGateway, recording, other, locale, field, value, words
):
    page = pages.open(url, locale=locale)
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.click("#ecg-filter summary")
    page.fill(f"#ecg-question-{field}", value)
    page.click("#ecg-filter summary")
    choose(page, other)
    expect(page.locator("#ecg-name")).to_have_text("other.csv")
    expect(page.locator("#ecg-state")).to_be_hidden()
    expect(page.locator("#ecg-question-trouble")).to_have_text(words)
    wrong = page.locator(f"#ecg-question-{field}")
    expect(wrong).to_be_focused()
    expect(wrong).to_have_attribute("aria-invalid", "true")
    page.click("#link")
    expect(page.locator("#link-part")).to_be_hidden()
    assert len(gateway.questions) == 1
    wrong.fill("")
    page.keyboard.press("Enter")
    expect(page.locator("#hits .hit")).to_have_count(3)
    expect(page.locator("#ecg-question-trouble")).to_be_empty()
    assert wrong.get_attribute("aria-invalid") is None


def test_a_wrong_field_leaves_the_answer_that_is_there(page: Page, gateway, recording):
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    ask_from_age(page, 151)
    expect(page.locator("#ecg-question-trouble")).to_contain_text("Age from")
    expect(page.locator("#hits .hit")).to_have_count(3)
    assert len(gateway.questions) == 1


def test_a_filter_in_force_is_said_in_the_summary_and_in_print(page: Page, recording, other):
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    filtered = page.locator("#ecg-filter .filtered")
    expect(filtered).to_be_empty()
    page.click("#ecg-filter summary")
    page.select_option("#ecg-question-sex", "FEMALE")
    page.fill("#ecg-question-languages", "de, en")
    ask_from_age(page, 53)
    expect(page.locator("#hits .hit")).to_have_count(1)
    page.click("#ecg-filter summary")
    words = "filtered: Age from 53; Sex female; Languages de, en"
    expect(filtered).to_be_visible()
    expect(filtered).to_have_text(words)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#sheet .sheet-filter")).to_have_text(words)
    choose(page, other)
    expect(page.locator("#ecg-name")).to_have_text("other.csv")
    expect(page.locator("#hits .hit")).to_have_count(1)
    expect(filtered).to_have_text(words)
    page.click("#language")
    expect(filtered).to_have_text("gefiltert: Alter ab 53; Geschlecht weiblich; Sprachen de, en")
    page.click("#ecg-filter summary")
    page.click("#ecg-question button[type=reset]")
    expect(page.locator("#hits .hit")).to_have_count(3)
    expect(filtered).to_be_empty()


def test_a_search_says_its_filter_and_what_is_wrong_too(page: Page):
    page.click("#to-search")
    page.click("#view-search summary")
    page.fill("#search-question-min_age", "53")
    page.fill("#search-text", "x")
    page.keyboard.press("Enter")
    expect(page.locator("#search-hits .hit")).to_have_count(1)
    expect(page.locator("#view-search .filtered")).to_have_text("filtered: Age from 53")
    page.fill("#search-question-to_month", "May")
    page.keyboard.press("Enter")
    expect(page.locator("#search-question-trouble")).to_contain_text("Month to")
