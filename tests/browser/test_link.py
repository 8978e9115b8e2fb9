"""A link that a colleague opens."""

import re
import time

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Held, ask_from_age, choose, csv
from tests.helpers.ecgs import ecg
from tests.helpers.page_gateway import table


def test_a_link_shows_the_ecg_and_its_answer_to_a_colleague(pages, url, recording):
    mine = pages.open(url)
    choose(mine, recording)
    expect(mine.locator("#hits .hit")).to_have_count(3)
    mine.click("#link")
    link = mine.locator("#link-field").input_value()
    assert re.fullmatch(re.escape(url.rstrip("/")) + r"/#job=job-\d+", link)
    theirs = pages.open(link)
    expect(theirs.locator("#paper .ink .trace")).to_have_count(13)
    expect(theirs.locator("#hits .hit")).to_have_count(3)
    expect(theirs.locator("#ecg-name")).to_have_text("ECG of job job-1")


def without_job(route: Route) -> None:
    """Answer as from the cache."""
    answered = route.fetch()
    route.fulfill(response=answered, json={**answered.json(), "job_id": ""})


def test_an_answer_without_a_job_gets_one_for_its_link(pages, url, gateway, recording):
    page = pages.open(url)
    page.route("**/v1/ecgs:retrieve", without_job)
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.keyboard.press("l")
    expect(page.locator("#link-field")).to_have_value(re.compile("#job=job-2$"))
    assert gateway.questions[-1].trace


def test_an_ecg_from_a_link_is_asked_about_again(pages, url, gateway, recording):
    mine = pages.open(url)
    choose(mine, recording)
    expect(mine.locator("#hits .hit")).to_have_count(3)
    theirs = pages.open(f"{url}/#job=job-1")
    expect(theirs.locator("#hits .hit")).to_have_count(3)
    ask_from_age(theirs, 53)
    expect(theirs.locator("#hits .hit")).to_have_count(1)
    assert gateway.questions[-1].filter.min_age == 53


def test_a_link_says_which_filter_its_answer_was_found_with(pages, url, recording):
    mine = pages.open(url)
    choose(mine, recording)
    expect(mine.locator("#hits .hit")).to_have_count(3)
    ask_from_age(mine, 53)
    expect(mine.locator("#hits .hit")).to_have_count(1)
    theirs = pages.open(f"{url}/#job=job-2")
    expect(theirs.locator("#hits .hit")).to_have_count(1)
    expect(theirs.locator("#ecg-filter .filtered")).to_have_text("filtered: Age from 53")
    theirs.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(theirs.locator("#sheet .sheet-filter")).to_have_text("filtered: Age from 53")
    everyone = pages.open(f"{url}/#job=job-1")
    expect(everyone.locator("#hits .hit")).to_have_count(3)
    expect(everyone.locator("#ecg-filter .filtered")).to_be_empty()


def test_a_link_goes_when_another_ecg_is_opened(pages, url, recording):
    page = pages.open(url)
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.click("#link")
    expect(page.locator("#link-field")).to_have_value(re.compile("#job=job-1$"))
    choose(page, csv("b.csv", table(ecg(seed=1), 500.0)))
    expect(page.locator("#link-part")).to_be_hidden()
    expect(page.locator("#link-field")).to_have_value("")


def test_a_link_goes_when_its_ecg_is_asked_about_again(pages, url, recording):
    mine = pages.open(url)
    choose(mine, recording)
    expect(mine.locator("#hits .hit")).to_have_count(3)
    theirs = pages.open(f"{url}/#job=job-1")
    expect(theirs.locator("#hits .hit")).to_have_count(3)
    theirs.click("#link")
    expect(theirs.locator("#link-part")).to_be_visible()
    assert theirs.url.endswith("#job=job-1")
    ask_from_age(theirs, 53)
    expect(theirs.locator("#hits .hit")).to_have_count(1)
    expect(theirs.locator("#link-part")).to_be_hidden()
    assert "#" not in theirs.url


def test_a_link_that_comes_late_is_not_that_of_the_next_ecg(pages, url, recording):
    page = pages.open(url)
    page.route("**/v1/ecgs:retrieve", without_job)
    held = Held(page, "**/v1/ecgs:submit")
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.click("#link")
    held.wait()
    with page.expect_response("**/v1/ecgs:retrieve"):
        choose(page, csv("b.csv", table(ecg(seed=1), 500.0)))
    held.let_go()
    expect(page.locator("#link-part")).to_be_hidden()
    expect(page.locator("#error")).to_be_hidden()


def test_a_link_is_of_the_question_that_was_asked(pages, url, gateway, recording):
    page = pages.open(url)
    page.route("**/v1/ecgs:retrieve", without_job)
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.click("#ecg-filter summary")
    page.fill("#ecg-question-min_age", "53")
    page.click("#link")
    expect(page.locator("#link-field")).to_have_value(re.compile("#job=job-2$"))
    assert not gateway.questions[-1].HasField("filter")


def test_a_job_id_is_pasted(pages, url, recording):
    mine = pages.open(url)
    choose(mine, recording)
    expect(mine.locator("#hits .hit")).to_have_count(3)
    theirs = pages.open(url)
    theirs.fill("#job-id", "job-1")
    theirs.keyboard.press("Enter")
    expect(theirs.locator("#paper .ink .trace")).to_have_count(13)


@pytest.mark.parametrize("odd", ["%E0%A4%A", "a%2Fb", "%3Cimg%20src=x%3E"])
def test_an_odd_id_is_no_more_than_an_unknown_one(pages, url, odd):
    pages.expected += ["status of 404", "status of 422"]
    page = pages.open(f"{url}/#job={odd}")
    expect(page.locator("#error-words")).not_to_be_empty()


def test_files_that_are_chosen_before_the_session_is_known_stay_open(pages, url, recording):
    page = pages.open(url)

    def late(route: Route) -> None:
        time.sleep(1)
        route.continue_()

    page.route("**/v1/session", late)
    page.reload()
    choose(page, recording, recording)
    expect(page.locator("#view-batch")).to_be_visible()
    page.wait_for_timeout(1500)
    expect(page.locator("#view-batch")).to_be_visible()


def test_a_job_that_is_gone_is_told(pages, url):
    pages.expected += ["status of 404"]
    page = pages.open(f"{url}/#job=gone")
    expect(page.locator("#error-words")).to_have_text("no such job")


def test_no_file_name_is_in_any_address(pages, url):
    page = pages.open(url)
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    choose(page, csv("Mueller_Erika.csv", table(ecg(), 500.0)))
    expect(page.locator("#hits .hit")).to_have_count(3)
    expect(page.locator("#ecg-name")).to_have_text("Mueller_Erika.csv")
    page.click("#link")
    expect(page.locator("#link-part")).to_be_visible()
    assert "Mueller" not in page.locator("#link-field").input_value()
    addresses.append(page.url)
    assert not [address for address in addresses if "Mueller" in address]
    assert "Mueller" not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
