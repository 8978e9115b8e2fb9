"""Signing in with an API key."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Held, choose
from tests.browser.test_print import printed

KEY = "cdx_of-this-test"


@pytest.fixture
def locked(gateway, page: Page, pages) -> Page:
    """The page before a server that wants a key."""
    pages.expected += ["status of 401"]
    gateway.keys = {KEY}
    page.reload()
    expect(page.locator("#sign-in")).to_be_visible()
    return page


def sign_in(page: Page, key: str) -> None:
    page.fill("#sign-in-key", key)
    page.keyboard.press("Enter")


def test_a_key_lets_in_and_is_kept_nowhere(locked: Page, recording):
    sign_in(locked, KEY)
    expect(locked.locator("#sign-in")).to_be_hidden()
    choose(locked, recording)
    expect(locked.locator("#hits .hit")).to_have_count(3)
    kept = locked.evaluate(
        "JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie"
        " + document.documentElement.outerHTML"
    )
    assert KEY not in kept
    assert locked.input_value("#sign-in-key") == ""


def test_a_wrong_key_is_refused_in_words(locked: Page):
    sign_in(locked, "cdx_wrong")
    expect(locked.locator("#sign-in-error")).to_contain_text("not known")
    locked.keyboard.press("Escape")
    expect(locked.locator("#sign-in")).to_be_visible()
    sign_in(locked, KEY)
    expect(locked.locator("#sign-in")).to_be_hidden()


def test_a_session_outlives_a_reload_and_ends_with_signing_out(locked: Page, recording):
    sign_in(locked, KEY)
    expect(locked.locator("#sign-out")).to_be_visible()
    locked.reload()
    choose(locked, recording)
    expect(locked.locator("#hits .hit")).to_have_count(3)
    locked.click("#sign-out")
    expect(locked.locator("#sign-in")).to_be_visible()
    expect(locked.locator("#hits .hit")).to_have_count(0)


def test_nothing_is_sent_before_the_session_is_known(locked: Page, recording):
    """Without its token a recording would be refused, and sent a second time."""
    sign_in(locked, KEY)
    expect(locked.locator("#sign-out")).to_be_visible()
    session = Held(locked, "**/v1/session")
    locked.reload()
    session.wait()
    sent: list[dict[str, str]] = []
    locked.on(
        "request",
        lambda request: sent.append(request.headers) if request.method == "POST" else None,
    )
    choose(locked, recording)
    locked.wait_for_timeout(300)
    assert sent == []
    session.let_go()
    expect(locked.locator("#hits .hit")).to_have_count(3)
    assert sent
    assert all("x-cardex-csrf" in headers for headers in sent)


def test_a_failure_to_sign_out_is_told(locked: Page, pages, recording):
    pages.expected += ["status of 503"]
    sign_in(locked, KEY)
    expect(locked.locator("#sign-in")).to_be_hidden()
    choose(locked, recording)
    expect(locked.locator("#hits .hit")).to_have_count(3)
    locked.route("**/v1/session", _down)
    locked.click("#sign-out")
    expect(locked.locator("#error")).to_contain_text("still signed in")
    expect(locked.locator("#hits .hit")).to_have_count(3)
    locked.unroute("**/v1/session")
    locked.click("#sign-out")
    expect(locked.locator("#sign-in")).to_be_visible()


def _down(route: Route) -> None:
    route.fulfill(status=503, json={"error": {"reason": "UNAVAILABLE", "message": "down"}})


def test_a_key_that_is_withdrawn_asks_again(locked: Page, gateway, recording):
    sign_in(locked, KEY)
    expect(locked.locator("#sign-in")).to_be_hidden()
    gateway.keys = {"another"}
    choose(locked, recording)
    expect(locked.locator("#sign-in")).to_be_visible()


def test_nothing_of_a_session_that_has_ended_is_printed(locked: Page, gateway, recording):
    sign_in(locked, KEY)
    expect(locked.locator("#sign-in")).to_be_hidden()
    choose(locked, recording)
    expect(locked.locator("#hits .hit")).to_have_count(3)
    assert "Linkstyp" in words_printed(locked)
    gateway.keys = {"another"}
    locked.click("#ecg-filter summary")
    locked.locator("#ecg-question button.primary").click()
    expect(locked.locator("#sign-in")).to_be_visible()
    expect(locked.locator("#sheet")).to_be_empty()
    after = words_printed(locked)
    assert "Cardex" in after
    assert "Linkstyp" not in after
    assert "mm/mV" not in after
    expect(locked.locator("#sheet")).to_be_empty()


def words_printed(page: Page) -> str:
    return "".join(one.extract_text() for one in printed(page).pages)


def test_where_no_key_is_needed_none_is_asked_for(page: Page):
    expect(page.locator("#choose")).to_be_visible()
    expect(page.locator("#sign-in")).to_be_hidden()
    expect(page.locator("#sign-out")).to_be_hidden()
