"""Texts of strangers stay texts."""

from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import choose, csv


def test_markup_in_a_report_is_shown_as_text(page: Page, recording):
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    choose(page, recording)
    third = page.locator("#hits .hit").nth(2).locator(".report-text")
    expect(third).to_contain_text("<img src=x onerror=alert(1)><script>alert(2)</script>")
    assert page.locator("#main img, #main script, #main iframe").count() == 0
    assert dialogs == []


def test_direction_and_control_characters_are_visible_and_stay_inside(page: Page, recording):
    choose(page, recording)
    text = page.locator("#hits .hit").nth(2).locator(".report-text bdi")
    expect(text).to_contain_text("\u2039U+202E\u203agnp.exe\u2039U+202C\u203a")
    expect(text).to_contain_text("\u2039U+001B\u203a[31m\u2039U+0007\u203a")
    assert "\u202e" not in (page.locator("#main").text_content() or "")
    assert text.evaluate("(text) => getComputedStyle(text).unicodeBidi") == "isolate"


def test_hostile_names_of_files_are_texts_too(page: Page, pages):
    pages.expected += ["status of 400"]
    bad = b"no ECG"
    choose(page, csv("<b>a</b>\u202etxt.csv", bad), csv("=cmd|' /C calc'!A0.csv", bad))
    names = page.locator("#batch-table .cell.recording bdi")
    expect(names).to_have_count(2)
    expect(names.first).to_have_text("<b>a</b>\u2039U+202E\u203atxt.csv")
    assert page.locator("#batch-table b").count() == 0


def test_text_after_controls_is_matched_as_it_is_written(page: Page):
    marks = page.evaluate(
        """async () => {
          const { marked } = await import("/page/marks.js");
          const text = "a\\u0007 sinus rhythm; x";
          const parts = marked(text, [{ code: "X(", description: "sinus rhythm" }]);
          return parts.map((part) => part.textContent ?? part);
        }"""
    )
    assert marks == ["a\u2039U+0007\u203a ", "sinus rhythm", "; x"]
