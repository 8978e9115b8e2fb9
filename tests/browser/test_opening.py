"""What is shown where one ECG is opened while another is still on its way."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Held, Pages, ask_from_age, choose, csv
from tests.helpers.ecgs import ecg, wfdb_record
from tests.helpers.page_gateway import table


@pytest.fixture
def offered(pages: Pages, url: str, tmp_path) -> Page:
    """A page with two examples, "a" and "b"."""
    folder = tmp_path / "data_dir" / "data" / "cpsc_2018"
    folder.mkdir(parents=True)
    for seed, name in enumerate("ab"):
        wfdb_record(folder, ecg(seed=seed), name=name)
    page = pages.open(url)
    expect(page.locator("#examples-list button")).to_have_count(2)
    return page


def test_an_example_is_opened_under_its_name(offered: Page):
    offered.locator("#examples-list button").first.click()
    expect(offered.locator("#ecg-name")).to_have_text("CPSC 2018, a")
    expect(offered.locator("#hits .hit")).to_have_count(3)


def test_a_file_is_not_replaced_by_an_example_that_comes_late(offered: Page, recording):
    held = Held(offered, "**/v1/examples/*")
    offered.locator("#examples-list button").first.click()
    held.wait()
    choose(offered, recording)
    expect(offered.locator("#hits .hit")).to_have_count(3)
    held.let_go()
    expect(offered.locator("#ecg-name")).to_have_text("heart.csv")


def test_of_two_examples_the_later_click_counts(offered: Page):
    held = Held(offered, "**/v1/examples/*")
    for number in range(2):
        offered.locator("#examples-list button").nth(number).click()
    held.wait(2)
    held.let_go(1)
    expect(offered.locator("#ecg-name")).to_have_text("CPSC 2018, b")
    held.let_go(0)
    expect(offered.locator("#ecg-name")).to_have_text("CPSC 2018, b")


def test_the_image_of_one_ecg_is_not_shown_as_that_of_the_next(page: Page, recording):
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    held = Held(page, "**/v1/traces:image")
    page.click("#model-image summary")
    held.wait()
    choose(page, csv("next.csv", table(ecg(seed=1), 500.0)))
    expect(page.locator("#ecg-name")).to_have_text("next.csv")
    held.let_go()
    expect(page.locator("#model-image img")).to_have_count(0)
    page.click("#model-image summary")
    held.wait(2)
    held.let_go(1)
    expect(page.locator("#model-image img")).to_have_count(1)


def test_the_image_comes_though_its_ecg_is_asked_about_again(page: Page, recording):
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    held = Held(page, "**/v1/traces:image")
    page.click("#model-image summary")
    held.wait()
    ask_from_age(page, 53)
    expect(page.locator("#hits .hit")).to_have_count(1)
    held.let_go()
    expect(page.locator("#model-image img")).to_have_count(1)
