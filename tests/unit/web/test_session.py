import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardex.api.status import status_of
from cardex.domain.errors import Unavailable
from cardex.web.session import COOKIE, HOST_COOKIE, MAX_AGE_S, Session
from tests.unit.web.conftest import KEY, refused

OTHER = {"sec-fetch-site": "cross-site", "origin": "https://other.example"}


def signed_in(web, gateway) -> str:
    """Sign a client in; returns the token."""
    gateway.keys = {KEY}
    response = web.post("/v1/session", json={"key": KEY})
    assert response.status_code == 200
    token: str = response.json()["csrf"]
    assert token
    return token


def search(web, headers=None):
    return web.post("/v1/reports:search", json={"text": "sinus rhythm"}, headers=headers)


# The value object.


def test_a_session_survives_its_cookie():
    session = Session.begin(KEY)
    assert Session.of_cookie(session.cookie) == session
    assert KEY not in session.cookie
    assert KEY not in repr(session)


def test_each_sign_in_has_its_own_token():
    one, two = Session.begin(KEY), Session.begin(KEY)
    assert one.csrf != two.csrf
    assert one.has_token(one.csrf)
    for wrong in (two.csrf, "", one.csrf[:-1], one.csrf + "0", "ü" * 64, "\ud800"):
        assert not one.has_token(wrong)


@given(st.text())
def test_no_text_breaks_the_reading_of_a_cookie(value):
    session = Session.of_cookie(value)
    assert session is None or session.cookie == value


@pytest.mark.parametrize("content", [b"", b"n" * 16, b"n" * 16 + b"a\nb", b"n" * 16 + b"\xff"])
def test_a_cookie_without_a_key_that_can_be_sent_is_none(content):
    assert Session.of_cookie(base64.urlsafe_b64encode(content).rstrip(b"=").decode()) is None


# Over HTTP.


def test_a_server_without_keys_needs_none(web):
    state = {"needs_key": False, "signed_in": False, "csrf": ""}
    assert web.get("/v1/session").json() == state
    assert web.post("/v1/session", json={"key": "any"}).json() == state
    assert web.post("/v1/session", json={"key": ""}).status_code == 401
    assert not web.cookies


def test_signing_in_makes_a_cookie_that_no_script_reads(web, gateway):
    gateway.keys = {KEY}
    assert web.get("/v1/session").json() == {"needs_key": True, "signed_in": False, "csrf": ""}
    response = web.post("/v1/session", json={"key": KEY})
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name.startswith(f"{COOKIE}=")
    assert {item.lower() for item in attributes} == {
        "httponly", "samesite=strict", "path=/", f"max-age={MAX_AGE_S}"
    }  # fmt: skip
    assert web.get("/v1/session").json() == response.json()
    assert response.json()["signed_in"]


def test_by_https_the_cookie_is_secure_and_of_this_host_alone(web, gateway):
    gateway.keys = {KEY}
    https = {"x-forwarded-proto": "https"}
    response = web.post("/v1/session", json={"key": KEY}, headers=https)
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"{HOST_COOKIE}=")
    assert "secure" in cookie.lower().split("; ")
    value = cookie.split(";")[0].split("=", 1)[1]
    planted = {**https, "cookie": f"{COOKIE}={value}"}
    assert not web.get("/v1/session", headers=planted).json()["signed_in"]
    own = {**https, "cookie": f"{HOST_COOKIE}={value}"}
    assert web.get("/v1/session", headers=own).json()["signed_in"]


@pytest.mark.parametrize("key", ["wrong", "", " ", "a\nb", "ü", "x" * 513])
def test_a_key_that_is_not_known_is_refused(web, gateway, key):
    gateway.keys = {KEY}
    response = web.post("/v1/session", json={"key": key})
    assert refused(response) == (401, "API_KEY_UNKNOWN", "key")
    assert "set-cookie" not in response.headers


def test_the_cookie_stands_for_the_key_where_the_token_comes_with_it(web, gateway):
    token = signed_in(web, gateway)
    assert web.get("/v1/server").status_code == 200
    assert search(web, {"x-cardex-csrf": token}).status_code == 200


@pytest.mark.parametrize("token", [None, "", "0" * 64, "\xfc"])
def test_an_unsafe_request_by_the_cookie_needs_the_token(web, gateway, token):
    signed_in(web, gateway)
    before = len(gateway.asked)
    headers = {} if token is None else {"x-cardex-csrf": token.encode("latin-1")}
    assert refused(search(web, headers)) == (403, "CSRF", "X-Cardex-Csrf")
    assert len(gateway.asked) == before


def test_a_header_goes_before_the_cookie_and_needs_no_token(web, gateway):
    signed_in(web, gateway)
    assert search(web, {"authorization": f"Bearer {KEY}"}).status_code == 200
    assert search(web, {"authorization": "Bearer wrong"}).status_code == 401


def test_signing_out_removes_the_cookie(web, gateway):
    token = signed_in(web, gateway)
    response = web.delete("/v1/session", headers={"x-cardex-csrf": token})
    assert (response.status_code, response.content) == (204, b"")
    assert not web.cookies
    assert search(web).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"x-cardex-csrf": "0" * 64}])
def test_signing_out_needs_neither_the_gateway_nor_the_token(web, gateway, monkeypatch, headers):
    signed_in(web, gateway)

    def down(_, context):
        context.abort_with_status(status_of(Unavailable("the state store is down")))

    monkeypatch.setattr(gateway, "_let_in", down)
    assert web.get("/v1/session").status_code == 503
    assert web.delete("/v1/session", headers=headers).status_code == 204
    assert not web.cookies


def test_a_key_that_was_taken_back_ends_the_session(web, gateway):
    signed_in(web, gateway)
    gateway.keys = {"another"}
    response = web.get("/v1/session")
    assert response.json() == {"needs_key": True, "signed_in": False, "csrf": ""}
    assert not web.cookies


def test_a_cookie_of_another_server_on_this_machine_does_no_harm(web, gateway):
    signed_in(web, gateway)
    gateway.keys = set()
    token = web.get("/v1/session").json()["csrf"]
    assert search(web, {"x-cardex-csrf": token}).status_code == 200


@pytest.mark.parametrize("value", ["\xff\xfe", "=", "a.b.c", '"quoted"', "x" * 4000])
def test_a_damaged_cookie_is_none(web, gateway, value):
    gateway.keys = {KEY}
    headers = {"cookie": f"{COOKIE}={value}".encode("latin-1")}
    assert not web.get("/v1/session", headers=headers).json()["signed_in"]
    assert web.get("/v1/server", headers=headers).status_code == 401
    assert search(web, headers).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        OTHER,
        {"sec-fetch-site": "same-site"},
        {"origin": "https://other.example"},
        {"origin": "null"},
        {"origin": "http://["},
    ],
)
def test_other_pages_sign_nobody_in_or_out_and_submit_nothing(web, gateway, headers):
    assert refused(search(web, headers))[:2] == (403, "ORIGIN")  # without keys too
    token = signed_in(web, gateway)
    assert refused(web.post("/v1/session", json={"key": KEY}, headers=headers))[1] == "ORIGIN"
    assert refused(search(web, {**headers, "x-cardex-csrf": token}))[:2] == (403, "ORIGIN")
    signing_out = web.delete("/v1/session", headers={**headers, "x-cardex-csrf": token})
    assert refused(signing_out)[1] == "ORIGIN"
    assert web.cookies
    by_key = {**headers, "authorization": f"Bearer {KEY}"}
    assert search(web, by_key).status_code == 200  # a key in a header is a program's


def test_our_own_page_is_let_in_by_either_header(web):
    own = f"http://{web.base_url.host}:{web.base_url.port}"
    for headers in ({"sec-fetch-site": "same-origin"}, {"origin": own}):
        assert search(web, headers).status_code == 200


def test_a_form_of_another_page_is_no_sign_in(web, gateway):
    gateway.keys = {KEY}
    body = f'{{"key": "{KEY}", "x": "='.encode() + b'"}'
    response = web.post("/v1/session", content=body, headers={"content-type": "text/plain"})
    assert response.status_code == 422
