"""The page before the real parts, which want a key."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from cardex.api.client import Client
from cardex.domain.cases import Case, Sex
from cardex.domain.reports import Statement
from cardex.domain.settings import Settings
from cardex.gateway.keys import Scope, add_to_file
from tests.browser.conftest import Pages, choose, csv
from tests.browser.test_access import violations
from tests.browser.test_paper import points
from tests.browser.test_print import lines_of, printed
from tests.helpers.ecgs import ecg
from tests.helpers.page_gateway import HOSTILE, pulses, table
from tests.helpers.real import demo_data, reports
from tests.helpers.stack import build_index, running_stack

COUNT = 3000


@pytest.fixture(scope="session")
def key_and_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """One stack for all tests here, with an index of real reports and the demo's ECGs."""
    folder = tmp_path_factory.mktemp("page-stack")
    keys = folder / "keys.toml"
    key = add_to_file(keys, "page", [Scope.ADMIN])
    shutil.copytree(demo_data().cpsc[0].parent, folder / "data" / "cpsc_2018")
    with pytest.MonkeyPatch.context() as patch:
        # The parts are processes of their own, and read these from their environment.
        patch.setenv("CARDEX_API_KEYS", str(keys))
        patch.setenv("CARDEX_API_KEY", key)
        with running_stack(folder) as (stack, settings):
            build_index(settings, reports(COUNT))
            file_cases(settings, folder / "cases")
            assert stack.endpoints
            yield key, stack.endpoints.web


def file_cases(settings: Settings, folder: Path) -> None:
    """File ECGs made by code as cases of women and men from 30 to 75 years."""
    folder.mkdir()
    sources: list[tuple[Case, Path | None]] = []
    for number in range(10):
        path = folder / f"{number}.csv"
        path.write_bytes(table(ecg(bpm=55.0 + 4 * number, seed=number), 500.0))
        sex = Sex.FEMALE if number % 2 else Sex.MALE
        text = f"sinus rhythm at {55 + 4 * number} beats, case {number}. {HOSTILE}"
        made = Case(
            f"page-{number}", text, age=30 + 5 * number, sex=sex, month="2026-03", language="en",
            device="Cart 3000", statements=(Statement("SR", "sinus rhythm"),),
        )  # fmt: skip
        sources.append((made, path))
    with Client.from_settings(settings) as client:
        last = list(client.file_cases(sources))[-1]
    assert (last.cases, last.refused, last.without_ecg) == (10, 0, 0), last.reasons


@pytest.fixture(scope="session")
def cookies(browser: Browser, key_and_url) -> Any:
    """The session of a page that has signed in."""
    key, url = key_and_url
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.fill("#sign-in-key", key)
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in")).to_be_hidden()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def real(pages: Pages, key_and_url, cookies) -> Page:
    return pages.open(key_and_url[1], storage_state=cookies)


def answered(page: Page) -> None:
    expect(page.locator("#hits .hit")).to_have_count(10, timeout=30_000)


def test_without_a_key_nothing_is_answered(pages: Pages, key_and_url):
    pages.expected += ["status of 401"]
    page = pages.open(key_and_url[1])
    expect(page.locator("#sign-in")).to_be_visible()
    page.fill("#sign-in-key", "cdx_wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in-error")).to_contain_text("not known")
    status = "async () => (await fetch('/v1/server')).status"
    assert page.evaluate(status) == 401


def test_a_recording_is_drawn_and_answered(real: Page):
    header = demo_data().cpsc[0]
    real.set_input_files("#files", [header, header.with_suffix(".mat")])
    expect(real.locator("#paper .ink .trace")).to_have_count(13)
    answered(real)
    expect(real.locator(".predictions li").first).to_be_visible()
    expect(real.locator(".draft-label")).to_have_text("DRAFT FROM SIMILAR CASES, NOT A DIAGNOSIS")
    expect(real.locator("#hits mark").first).to_be_visible()
    real.click("#model-image summary")
    expect(real.locator("#model-image img")).to_be_visible()
    assert violations(real) == []


def test_an_example_is_opened(real: Page):
    real.locator("#examples-list button").first.click()
    answered(real)
    expect(real.locator("#examples-list button")).to_have_count(10)


def test_a_known_pulse_reads_1_mv_and_200_ms(real: Page):
    choose(real, csv("pulses.csv", table(pulses(), 250.0)))
    answered(real)
    drawn = points(real, "II")
    assert drawn[:, 1].max() - drawn[:, 1].min() == pytest.approx(10.0, abs=0.011)
    real.keyboard.press("c")
    for side, steps in (("left", 15), ("bottom", 0)):
        real.locator(f"#paper [data-side={side}]").focus()
        for _ in range(steps):
            real.keyboard.press("ArrowRight")
    expect(real.locator("#measured")).to_have_text("200 ms, 1.00 mV, 300 bpm")


def test_an_answer_is_linked_to_a_colleague(real: Page, pages: Pages, cookies):
    choose(real, csv("a.csv", table(ecg(seed=7), 500.0)))
    answered(real)
    real.click("#link")
    expect(real.locator("#link-field")).to_have_value(re.compile("#job=."))
    link = real.locator("#link-field").input_value()
    theirs = pages.open(link, storage_state=cookies)
    answered(theirs)
    expect(theirs.locator("#paper .ink .trace")).to_have_count(13)


def test_a_batch_is_answered_and_a_row_opened(real: Page):
    paths = [path for header in demo_data().cpsc for path in (header, header.with_suffix(".mat"))]
    real.set_input_files("#files", paths)
    expect(real.locator("#batch-count")).to_contain_text("10 of 10 done, 0 failed", timeout=60_000)
    rows = real.locator("#batch-table .table-body [role=row]")
    expect(rows).to_have_count(10)
    rows.first.get_by_role("button").click()
    answered(real)


def test_a_case_is_found_by_its_ecg_filtered_and_laid_over(real: Page):
    choose(real, csv("asked.csv", table(ecg(bpm=75.0, seed=50), 500.0)))
    answered(real)
    real.click("#ecg-filter summary")
    real.select_option("#ecg-question-by", "ECG")
    real.select_option("#ecg-question-sex", "FEMALE")
    real.fill("#ecg-question-min_age", "40")
    real.keyboard.press("Enter")
    expect(real.locator("#hits .hit")).to_have_count(4, timeout=30_000)
    expect(real.locator("#hits button.case")).to_have_count(4)
    for words in real.locator("#hits button.case").all_text_contents():
        assert "female" in words
        assert int(re.findall(r"(\d+) years", words)[0]) >= 40
    expect(real.locator("#hits .report-text").first).to_contain_text("<script>alert(2)</script>")
    real.locator("#hits button.case").first.click()
    expect(real.locator("#case-paper .ink .trace")).to_have_count(13)
    expect(real.locator("#case-beats .over .trace")).to_have_count(12)
    real.select_option("#placing", "over")
    expect(real.locator("#paper .over .trace")).to_have_count(13)
    assert violations(real) == []


def test_reports_are_found_by_text(real: Page):
    real.keyboard.press("/")
    real.fill("#search-text", "vorhofflimmern")
    real.keyboard.press("Enter")
    expect(real.locator("#search-hits .hit")).to_have_count(10)
    expect(real.locator("#search-hits .hit").first).to_contain_text(
        re.compile("vorhofflimmer|atrial fibrillation", re.IGNORECASE)
    )


def test_the_printed_page_is_to_scale(real: Page):
    choose(real, csv("a.csv", table(ecg(), 500.0)))
    answered(real)
    pdf = printed(real)
    assert len(pdf.pages) == 1
    thick = lines_of(pdf.pages[0]).at(0, longer=100)[::5]
    assert max(abs(thick[1:] - thick[:-1] - 5)) < 0.05


def test_on_a_phone_nothing_is_wider_than_it(pages: Pages, key_and_url, cookies):
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = pages.open(key_and_url[1], storage_state=cookies, **phone)
    choose(page, csv("a.csv", table(ecg(), 500.0)))
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
