"""Takes the pictures of the page that docs/page.md shows, from a stack with the demo's reports."""

import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from cardex.domain.cases import Case
from loadtest.house import House, house

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
COLOURS = 256
WIDE: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


def main() -> None:
    """Write docs/pictures/page-*.png."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("no browser: run `make browser-tools`")
    with house() as place, sync_playwright() as playwright:
        file_cases(place)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        header = place.data.cpsc[0]
        files = [header, header.with_suffix(".mat")]
        take_answer(browser, place.endpoints.web, files)
        take_phone(browser, place.endpoints.web, files)
        batch = [part for one in place.data.cpsc for part in (one, one.with_suffix(".mat"))]
        take_batch(browser, place.endpoints.web, batch)
        browser.close()


def file_cases(place: House) -> None:
    """File the demo's ECGs, but for the one that is asked about; they come without reports."""
    sources: list[tuple[Case, Path | None]] = [
        (Case(f"CPSC-{one.stem}", f"ECG {one.stem} of CPSC 2018, which has no report"), one)
        for one in place.data.cpsc[1:]
    ]
    for sent in place.client.file_cases(sources):
        print(f"filed {sent.cases} cases")


def take_answer(browser: Browser, url: str, files: list[Path]) -> None:
    """Show an ECG with calipers, and its nearest reports, light and dark."""
    page = browser.new_page(viewport=WIDE, locale="en-GB")
    open_files(page, url, files)
    page.click("#calipers")
    keep(page, "page-answer")
    page.keyboard.press("Escape")
    page.emulate_media(color_scheme="dark")
    keep(page, "page-dark")
    page.emulate_media(color_scheme="light")
    page.click("#ecg-filter summary")
    page.select_option("#ecg-question-by", "ECG")
    page.click("#ecg-question button.primary")
    page.locator("button.case", has_text="CPSC-").first.click()
    page.wait_for_selector("#case-beats .over .trace")
    page.select_option("#placing", "over")
    page.locator("#ecg").scroll_into_view_if_needed()
    keep(page, "page-case")
    page.close()


def take_phone(browser: Browser, url: str, files: list[Path]) -> None:
    """Show the same on a phone, in German."""
    page = browser.new_page(viewport=PHONE, is_mobile=True, has_touch=True, locale="de-DE")
    open_files(page, url, files)
    page.locator("#ecg").scroll_into_view_if_needed()
    keep(page, "page-phone")
    page.close()


def take_batch(browser: Browser, url: str, files: list[Path]) -> None:
    """Show a batch."""
    page = browser.new_page(viewport=WIDE, locale="en-GB")
    page.goto(url)
    page.wait_for_selector("html[data-ready]", state="attached")
    page.set_input_files("#files", files)
    page.wait_for_selector("#batch-part")
    page.wait_for_selector("#batch-stop", state="hidden")
    keep(page, "page-batch")
    page.close()


def open_files(page: Page, url: str, files: list[Path]) -> None:
    """Open one recording and wait for its answer."""
    page.goto(url)
    page.wait_for_selector("html[data-ready]", state="attached")
    page.set_input_files("#files", files)
    page.wait_for_selector("#hits .hit")


def keep(page: Page, name: str) -> None:
    """Keep a picture of what is seen, with few colours, so that it is small."""
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
