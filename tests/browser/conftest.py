"""A browser before the page, and what every test of it asserts: no error, no violation."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, Route, sync_playwright

from cardex.domain.settings import Settings
from cardex.web.page import FOLDER
from tests.helpers.ecgs import ecg
from tests.helpers.page_gateway import PageGateway, table
from tests.helpers.web import running_web, serving


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("these tests need a browser: `make browser-tools` installs it")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start for root, which containers run as.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Pages:
    """Opens pages, and keeps what went wrong in them.

    Attributes:
        browser: the browser.
        contexts: those that are open.
        errors: console errors, uncaught errors and violations of the policy.
        expected: words of errors that a test brings about.
    """

    browser: Browser
    contexts: list[BrowserContext]
    errors: list[str]
    expected: list[str]

    def open(self, url: str, **options) -> Page:
        """Open a page in a context of its own."""
        context = self.browser.new_context(**{"locale": "en-GB", **options})
        self.contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.goto(url)
        if url.startswith("http"):
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    def close(self) -> None:
        """Close them all; a page that still loads something must not meet a server that is gone."""
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def _said(self, message) -> None:
        if message.type == "error" or "Content Security Policy" in message.text:
            self.errors.append(message.text)


@pytest.fixture
def pages(browser: Browser) -> Iterator[Pages]:
    opened = Pages(browser, [], [], [])
    yield opened
    opened.close()
    unforeseen = [
        error for error in opened.errors if not any(words in error for words in opened.expected)
    ]
    assert unforeseen == []


@pytest.fixture
def gateway() -> PageGateway:
    return PageGateway()


@pytest.fixture
def url(gateway: PageGateway, tmp_path, pages: Pages) -> Iterator[str]:
    """The address of the page, before a gateway made up."""
    with serving(gateway) as target:
        settings = Settings(gateway_target=target, data_dir=tmp_path / "data_dir")
        with running_web(settings, FOLDER) as (client, _):
            yield str(client.base_url)
            pages.close()


@pytest.fixture
def page(pages: Pages, url: str) -> Iterator[Page]:
    opened = pages.open(url)
    yield opened
    opened.close()  # before its server ends, which it would log as an error


@pytest.fixture(scope="session")
def recording() -> FilePayload:
    """A made-up ECG as a file, as Playwright chooses it."""
    return csv("heart.csv", table(ecg(rate=250.0), 250.0))


def csv(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "text/csv", "buffer": content}


def until(page: Page, script: str) -> None:
    """Wait until a script is true; Playwright's own waiting needs eval, which the page forbids."""
    for _ in range(300):
        if page.evaluate(script):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not true within 15 s: {script}")


class Held:
    """Requests to some addresses, which go to the server when they are let go."""

    def __init__(self, page: Page, addresses: str) -> None:
        self._page = page
        self._routes: list[Route] = []
        page.route(addresses, self._hold)

    def _hold(self, route: Route) -> None:
        self._routes.append(route)

    def wait(self, count: int = 1) -> None:
        """Wait until so many have been held."""
        for _ in range(300):
            if len(self._routes) >= count:
                return
            self._page.wait_for_timeout(50)
        raise AssertionError(f"{len(self._routes)} of {count} requests within 15 s")

    def let_go(self, number: int = 0) -> None:
        """Let one go and wait for its reply; one that the page has given up has none."""
        route = self._routes[number]
        route.continue_()
        route.request.response()
        self._page.wait_for_timeout(100)  # a page that took what it should not would show it now


def ask_from_age(page: Page, age: int) -> None:
    """Ask about the open ECG again, for cases from an age on."""
    if not page.locator("#ecg-question-min_age").is_visible():
        page.click("#ecg-filter summary")
    page.fill("#ecg-question-min_age", str(age))
    page.keyboard.press("Enter")


def choose(page: Page, *files: FilePayload) -> None:
    """Choose files."""
    page.set_input_files("#files", list(files))
