"""Languages, themes, a phone, keys, and what the page remembers and loads."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import choose, csv, until
from tests.helpers.ecgs import ecg
from tests.helpers.page_gateway import table

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}


def test_it_speaks_the_browsers_language_and_can_be_told_another(pages, url, recording):
    page = pages.open(url, locale="de-DE")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    choose(page, recording)
    expect(page.locator("#hits-title")).to_have_text("Nächste Fälle")
    expect(page.locator("#hits .similarities").first).to_contain_text("Befund 0,70")
    page.click("#language")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#hits-title")).to_have_text("Nearest cases")
    expect(page.locator("#hits .similarities").first).to_contain_text("report 0.70")
    page.reload()
    expect(page.locator("#choose")).to_have_text("Choose files")


def test_both_languages_have_the_same_words(page: Page):
    keys = page.evaluate(
        """async () => {
          const { EN } = await import("/page/words-en.js");
          const { DE } = await import("/page/words-de.js");
          const gaps = (text) => (text.match(/\\{\\w+\\}/g) ?? []).sort().join();
          const named = (words) => Object.entries(words).map(([key, text]) => key + gaps(text));
          return [EN, DE].map((words) => named(words).sort());
        }"""
    )
    assert keys[0] == keys[1]


def test_every_word_that_the_page_names_is_there(page: Page):
    missing = page.evaluate(
        """async () => {
          const { EN } = await import("/page/words-en.js");
          const names = ["word", "wordLabel", "wordTitle", "wordPlaceholder"];
          const all = [...document.querySelectorAll("*")];
          const asked = all.flatMap((one) => names.map((name) => one.dataset?.[name]));
          return asked.filter((key) => key && !(key in EN));
        }"""
    )
    assert missing == []


def test_the_theme_is_the_systems_until_it_is_chosen(pages, url):
    page = pages.open(url, color_scheme="dark")
    back = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(back)
    page.keyboard.press("t")
    light = page.evaluate(back)
    assert dark != light
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate(back) == light


def test_the_paper_that_was_chosen_is_kept(page: Page, recording):
    choose(page, recording)
    page.select_option("#layout", "6x2")
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#layout")).to_have_value("6x2")


def no_wider(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_on_a_phone_the_paper_scrolls_and_the_page_does_not(pages, url, recording):
    page = pages.open(url, **PHONE)
    assert no_wider(page)
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.locator("#ecg-filter summary").click()
    page.locator("button.case").first.click()
    expect(page.locator("#case-paper .ink .trace")).to_have_count(13)
    assert no_wider(page)
    assert page.locator("#paper .paper").evaluate("(box) => box.scrollWidth > box.clientWidth")


@pytest.mark.parametrize("view", ["search", "batch"])
def test_other_views_fit_a_phone(pages, url, view):
    page = pages.open(f"{url}/#{view}", **PHONE)
    expect(page.locator(f"#view-{view}")).to_be_visible()
    if view == "batch":
        choose(page, *(csv(f"{n}.csv", table(ecg(rate=100.0), 100.0)) for n in range(2)))
        expect(page.locator("#batch-count")).to_contain_text("2 of 2 done", timeout=20_000)
    assert no_wider(page)


def test_keys_do_what_the_help_says(page: Page, recording):
    page.keyboard.press("?")
    expect(page.locator("#help-keys tr")).to_have_count(17)
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.keyboard.press("3")
    expect(page.locator("#layout")).to_have_value("12x1")
    page.keyboard.press("g")
    expect(page.locator("#gain")).to_have_value("20")
    page.keyboard.press("w")
    expect(page.locator("#wander")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("c")
    expect(page.locator("#paper .caliper-handle")).to_have_count(4)
    page.click("#open-part > summary")
    page.focus("#job-id")
    page.keyboard.type("cwt?")
    expect(page.locator("#job-id")).to_have_value("cwt?")
    expect(page.locator("#help")).to_be_hidden()


@pytest.mark.parametrize("view", ["search", "batch"])
def test_keys_of_the_ecg_do_nothing_where_it_is_out_of_sight(page: Page, recording, view):
    choose(page, recording)
    expect(page.locator("#hits .hit")).to_have_count(3)
    page.keyboard.press("c")
    measured = page.locator("#measured").text_content() or ""
    page.click(f"#to-{view}")
    expect(page.locator("#view-ecg")).to_be_hidden()
    for key in ("Escape", "c", "3", "s", "g", "w", "v", "+", "l"):
        page.keyboard.press(key)
    page.keyboard.press("?")  # keys of the whole page still act
    expect(page.locator("#help")).to_be_visible()
    page.click("#help-close")
    page.click("#to-ecg")
    expect(page.locator("#measured")).to_have_text(measured)
    expect(page.locator("#layout")).to_have_value("3x4+1")
    expect(page.locator("#speed")).to_have_value("25")
    expect(page.locator("#gain")).to_have_value("10")
    expect(page.locator("#wander")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#zoom-real")).to_contain_text("100")
    expect(page.locator("#link-part")).to_be_hidden()


def test_what_is_loaded_at_first_is_small_and_from_here(pages, url):
    page = pages.open("about:blank")
    loaded: dict[str, int] = {}
    page.on("response", lambda answer: loaded.update({answer.url: len(answer.body())}))
    page.goto(url)
    expect(page.locator("#choose")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert all(address.startswith(url) for address in loaded)
    assert 50_000 < sum(loaded.values()) < 150_000


def test_what_took_how_long_can_be_measured(page: Page, recording):
    choose(page, recording)
    for name in ("paper", "trace", "answer", "unpack"):
        until(page, f"performance.getEntriesByName('cardex:{name}').length > 0")
