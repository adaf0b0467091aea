"""Who is let in, over HTTP."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lab.live.guard import TOKEN_HEADER, Guard, is_loopback

TOKEN = "a-token"


def client(host: str = "127.0.0.1", asked: str = "127.0.0.1:8790") -> TestClient:
    app = FastAPI()
    app.middleware("http")(Guard(TOKEN, host, 8790))

    @app.get("/")
    def page() -> str:
        return "page"

    @app.post("/api/inject")
    def inject() -> str:
        return "done"

    return TestClient(app, base_url=f"http://{asked}")


def test_without_the_token_nothing_is_shown() -> None:
    refused = client().get("/")
    assert refused.status_code == 401
    assert "amilab up" in refused.text
    assert client().get("/", params={"token": "another"}).status_code == 401


def test_the_printed_address_lets_in_and_the_cookie_keeps_one_in() -> None:
    browser = client()
    entered = browser.get("/", params={"token": TOKEN}, follow_redirects=False)
    assert entered.headers["location"] == "/", "the token does not stay in the address"
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/").status_code == 200


def test_a_cookie_is_not_enough_to_change_something() -> None:
    browser = client()
    browser.get("/", params={"token": TOKEN})
    assert browser.post("/api/inject").status_code == 403
    assert browser.post("/api/inject", headers={TOKEN_HEADER: TOKEN}).status_code == 200


def test_the_command_line_has_the_header_alone() -> None:
    assert client().post("/api/inject", headers={TOKEN_HEADER: TOKEN}).status_code == 200


@pytest.mark.parametrize("asked", ["evil.example:8790", "127.0.0.1.evil.example:8790", "127.0.0.1:80"])
def test_another_name_for_this_machine_is_refused(asked: str) -> None:
    assert client(asked=asked).get("/", headers={TOKEN_HEADER: TOKEN}).status_code == 421


def test_beyond_loopback_any_name_goes_but_none_without_the_token() -> None:
    assert client(host="0.0.0.0", asked="lab.example:8790").get("/", headers={TOKEN_HEADER: TOKEN}).status_code == 200
    assert client(host="0.0.0.0", asked="lab.example:8790").get("/").status_code == 401


def test_every_answer_forbids_foreign_scripts_and_frames() -> None:
    policy = client().get("/").headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.0.0.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
