"""`make bench-page`: how fast the page draws an ECG and its answer, and moves calipers."""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Page, sync_playwright

from cardex.local_stack.dataset import fetch
from loadtest.house import house
from loadtest.report import publish

REPEATS = 15
REPORTS = 2_000
MOVES = 180
AIMS = {
    "draw 12 leads of 10 s, median, ms": "50",
    "draw 12 leads of 10 s, longest, ms": "50",
    "unpack a trace, median, ms": "",
    "answer drawn after its response, median, ms": "300",
    "answer drawn after its response, longest, ms": "300",
    "a move of the calipers, median, ms": "16.7",
    "a move of the calipers, longest, ms": "16.7",
    "frames a second while the calipers move": "60",
}
FRAMES = """() => {
  window.frames_ = [];
  const count = (at) => { frames_.push(at); window.counting = requestAnimationFrame(count); };
  requestAnimationFrame(count);
}"""


def measures(page: Page, name: str) -> list[float]:
    """Return how long each `cardex:name` took, ms, and forget them."""
    script = """(name) => {
      const found = performance.getEntriesByName(name).map((one) => one.duration);
      performance.clearMeasures(name);
      return found;
    }"""
    found: list[float] = page.evaluate(script, f"cardex:{name}")
    return found


def draw(page: Page, files: list[Path]) -> dict[str, float]:
    """Open a recording again and again, in every layout."""
    papers: list[float] = []
    answers: list[float] = []
    unpacked: list[float] = []
    for _ in range(REPEATS):
        page.set_input_files("#files", files)
        # The page forbids the eval that Playwright's own waiting for a script needs.
        while not page.evaluate("performance.getEntriesByName('cardex:answer').length"):
            page.wait_for_timeout(20)
        for layout in ("6x2", "12x1", "3x4+1"):
            page.select_option("#layout", layout)
        papers += measures(page, "paper")
        answers += measures(page, "answer")
        unpacked += measures(page, "unpack")
    return {
        "draw 12 leads of 10 s, median, ms": median(papers),
        "draw 12 leads of 10 s, longest, ms": max(papers),
        "unpack a trace, median, ms": median(unpacked),
        "answer drawn after its response, median, ms": median(answers),
        "answer drawn after its response, longest, ms": max(answers),
    }


def drag(page: Page) -> dict[str, float]:
    """Move the calipers over the paper, and count the frames of the browser meanwhile."""
    page.click("#calipers")
    knob = page.locator("#paper [data-side=right] circle").bounding_box()
    assert knob
    x, y = knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(FRAMES)
    for step in range(MOVES):
        page.mouse.move(x + step % 90, y)
    frames = page.evaluate("cancelAnimationFrame(counting) ?? frames_")
    moves = measures(page, "calipers")
    page.mouse.up()
    return {
        "a move of the calipers, median, ms": median(moves),
        "a move of the calipers, longest, ms": max(moves),
        "frames a second while the calipers move": (len(frames) - 1)
        * 1000
        / (frames[-1] - frames[0]),
    }


@contextmanager
def opened(url: str) -> Iterator[Page]:
    """Open the page in a browser without a window."""
    program: Any = shutil.which("chromium")
    if program is None:
        raise SystemExit("no browser: run `make browser-tools`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("html[data-ready]", state="attached")
        yield page
        browser.close()


def main() -> None:
    """Measure a page that is served already, or that of a stack of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a page that needs no key; a stack is started without it")
    url = parser.parse_args().url
    if url:
        header = fetch(Path(".cardex") / "data", print).cpsc[0]
        measure(url, header)
        return
    with house(REPORTS) as place:
        measure(place.endpoints.web, place.data.cpsc[0])


def measure(url: str, header: Path) -> None:
    """Measure one page and print the figures."""
    with opened(url) as page:
        figures = draw(page, [header, header.with_suffix(".mat")]) | drag(page)
    publish("bench-page", figures, AIMS)


if __name__ == "__main__":
    main()
