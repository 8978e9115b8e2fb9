"""The nearest cases: what is shown of them, filters, and a case beside or over the ECG."""

import pytest
from playwright.sync_api import Page, expect

from cardex.api.pb.v1 import case_pb2
from tests.browser.conftest import choose, until


@pytest.fixture
def answered(page: Page, recording) -> Page:
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    return page


def test_a_hit_shows_its_report_similarities_and_cases(answered: Page):
    first = answered.locator("#hits .hit").first
    expect(first.locator(".similarities")).to_have_text(
        "report 0.70 ECG 0.89 score 0.80", use_inner_text=True
    )
    expect(first.locator("button.case").first).to_contain_text("41 years, female, 2026-02")
    expect(first.locator("mark")).to_have_text(["sinus rhythm"])
    expect(first.locator(".why summary")).to_contain_text("SR")
    first.locator(".why summary").click()
    expect(first.locator(".why li")).to_contain_text(
        "this ECG 91\u00a0%, the report's records 100\u00a0%"
    )


def test_a_similarity_that_is_missing_is_a_dash(answered: Page):
    expect(answered.locator("#hits .hit").nth(1).locator(".similarities")).to_contain_text(
        "ECG \u2013"
    )


def test_statements_are_marked_in_german_too(answered: Page):
    expect(answered.locator("#hits .hit").nth(1).locator("mark")).to_have_text(["Sinusrhythmus"])


def test_a_case_opens_beside_and_scrolls_along(answered: Page):
    answered.set_viewport_size({"width": 1200, "height": 900})
    answered.locator("button.case").first.focus()
    answered.keyboard.press("Enter")
    expect(answered.locator("#case-paper .ink .trace")).to_have_count(13)
    expect(answered.locator("#case-title")).to_have_text("Case demo/1")
    expect(answered.locator("button.case").first).to_have_attribute("aria-pressed", "true")
    answered.locator("#paper .paper").evaluate("(box) => { box.scrollLeft = 150; }")
    until(answered, "document.querySelector('#case-paper .paper').scrollLeft === 150")
    answered.select_option("#layout", "6x2")
    expect(answered.locator("#case-paper .ink .trace")).to_have_count(12)
    answered.keyboard.press("Escape")
    answered.click("body", position={"x": 1, "y": 1})
    answered.keyboard.press("Escape")
    expect(answered.locator("#case")).to_be_hidden()
    expect(answered.locator("#case-paper")).to_be_hidden()


def test_a_case_is_drawn_over_with_r_peaks_aligned(answered: Page):
    answered.locator("button.case").first.click()
    expect(answered.locator("#case-paper .ink .trace")).to_have_count(13)
    answered.select_option("#placing", "over")
    expect(answered.locator("#paper .over .trace")).to_have_count(13)
    expect(answered.locator("#case-paper")).to_be_hidden()
    peaks = answered.evaluate(
        """() => ["over", "ink"].map((ink) => {
          const path = document.querySelector(`#paper .${ink} .trace[data-lead=II]`);
          const length = path.getTotalLength();
          let best = { x: 0, y: 1e9 };
          for (let at = 0; at < length; at += 5) {
            const point = path.getPointAtLength(at);
            if (point.x < 4500 && point.y < best.y) best = point;
          }
          return best.x / 100;
        })"""
    )
    assert peaks[0] == pytest.approx(peaks[1], abs=0.3)


def test_median_beats_are_over_each_other(answered: Page):
    answered.locator("button.case").first.click()
    expect(answered.locator("#case-beats .over .trace")).to_have_count(12)
    expect(answered.locator("#case-beats .ink .trace")).to_have_count(12)
    expect(answered.get_by_role("img", name="Median beats of 12 leads")).to_be_visible()


def test_a_case_without_an_ecg_says_so(answered: Page):
    answered.locator("button.case", has_text="demo/12").click()
    expect(answered.locator("#case-no-ecg")).to_be_visible()
    expect(answered.locator("#case-paper")).to_be_hidden()
    expect(answered.locator("#case-beats")).to_be_hidden()


def test_a_filter_asks_again(answered: Page, gateway):
    answered.click("#ecg-filter summary")
    answered.fill("#ecg-question-min_age", "52")
    answered.fill("#ecg-question-max_age", "80")
    answered.select_option("#ecg-question-sex", "FEMALE")
    answered.fill("#ecg-question-with_codes", "afib; sr")
    answered.fill("#ecg-question-without_codes", "PACE")
    answered.fill("#ecg-question-languages", "de, en")
    answered.fill("#ecg-question-devices", "Cart 3000")
    answered.fill("#ecg-question-from_month", "2025-02")
    answered.fill("#ecg-question-to_month", "2026-12")
    answered.select_option("#ecg-question-by", "ECG")
    answered.locator("#ecg-question button.primary").click()
    expect(answered.locator("#hits .hit")).to_have_count(2)
    question = gateway.questions[-1]
    assert question.by == case_pb2.NEARNESS_ECG
    assert question.filter == case_pb2.CaseFilter(
        min_age=52, max_age=80, sex="SEX_FEMALE", with_codes=["AFIB", "SR"], without_codes=["PACE"],
        languages=["de", "en"], devices=["Cart 3000"], from_month="2025-02", to_month="2026-12",
    )  # fmt: skip
    answered.locator("#ecg-question button[type=reset]").click()
    expect(answered.locator("#hits .hit")).to_have_count(3)
    assert not gateway.questions[-1].HasField("filter")


def test_nothing_found_is_said(answered: Page):
    answered.click("#ecg-filter summary")
    answered.fill("#ecg-question-min_age", "140")
    answered.keyboard.press("Enter")
    expect(answered.locator("#hits")).to_contain_text("No case was found")


def test_a_sentence_of_the_draft_shows_its_sources(answered: Page):
    sentence = answered.locator(".draft-sentence").first
    sentence.hover()
    expect(answered.locator("#hits .hit.source")).to_have_count(2)
    answered.mouse.move(0, 0)
    expect(answered.locator("#hits .hit.source")).to_have_count(0)
    answered.locator(".draft-sentence").nth(1).focus()
    expect(answered.locator("#hits .hit.source")).to_have_count(1)


def test_the_image_of_the_model_is_fetched_when_it_is_opened(answered: Page):
    answered.click("#model-image summary")
    expect(answered.locator("#model-image img")).to_have_js_property("complete", value=True)
    assert answered.locator("#model-image img").evaluate("(image) => image.naturalWidth") > 10


def test_research_use_only_is_on_the_page_twice(answered: Page):
    expect(answered.get_by_text("RESEARCH USE ONLY")).to_have_count(2)
    answered.mouse.wheel(0, 2000)
    expect(answered.locator(".notice b")).to_be_in_viewport()
    for notice in answered.get_by_text("RESEARCH USE ONLY").all():
        expect(notice).to_be_visible()
