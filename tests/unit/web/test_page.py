import http.client
from contextlib import closing

import pytest

from cardex.web.page import POLICY


def get(web, path: str) -> tuple[int, bytes]:
    """Ask for a path as it stands, which httpx would tidy up; returns status and body."""
    connection = http.client.HTTPConnection(web.base_url.host, web.base_url.port, timeout=30)
    with closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()


def test_the_page_comes_with_a_policy_that_lets_nothing_foreign_in(web):
    response = web.get("/")
    assert response.text.startswith("<!doctype html>")
    assert response.headers["content-security-policy"] == POLICY
    assert {rule.split()[0] for rule in POLICY.split("; ")} >= {"default-src", "trusted-types"}
    assert "unsafe" not in POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("app.js", "text/javascript; charset=utf-8"), ("icons/heart.svg", "image/svg+xml")],
)
def test_its_files_have_their_types(web, name, media_type):
    response = web.get(f"/page/{name}")
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)


def test_a_file_that_the_browser_has_is_not_sent_again(web):
    etag = web.get("/page/app.js").headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        again = web.get("/page/app.js", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = web.get("/page/app.js", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page/../secret.js", "/page/%2e%2e/secret.js", "/page/..%2fsecret.js",
        "/page//etc/passwd", "/page/icons/../../secret.js", "/page/..\\secret.js",
        "/page/.hidden.js", "/page/notes.md", "/page/icons", "/page/", "/page/none.js",
        "/page/%00", "/page/app.js%00", "/page/%ff", "/page/index.html",
    ],
)  # fmt: skip
def test_nothing_but_its_files_is_served(web, path):
    status, body = get(web, path)
    assert status == 404
    assert b"secret" not in body


def test_answers_about_patients_are_kept_by_nobody(web):
    response = web.get("/v1/server")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
