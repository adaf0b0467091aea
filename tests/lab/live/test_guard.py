"""Who is let in, over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lab.live.guard import TOKEN_HEADER, Guard, Hosts, is_loopback

TOKEN = "a-token"
HEADER = {TOKEN_HEADER: TOKEN}


def client(host: str = "127.0.0.1", asked: str = "127.0.0.1:8790", also: Sequence[str] = ()) -> TestClient:
    app = FastAPI()
    app.add_middleware(Guard, token=TOKEN, hosts=Hosts(host, 8790, also))

    @app.get("/")
    def page() -> str:
        return "page"

    @app.get("/api/state")
    def state() -> str:
        return "state"

    @app.post("/api/inject")
    def inject() -> str:
        return "done"

    @app.post("/")
    def something_else() -> str:
        return "done"

    return TestClient(app, base_url=f"http://{asked}")


def test_without_the_token_nothing_of_the_lab_is_shown() -> None:
    refused = client().get("/api/state")
    assert refused.status_code == 401
    assert "amilab up" in refused.json()["faults"][0]
    for wrong in ("another", "", "a-token ", "ä".encode("latin-1")):
        assert client().get("/api/state", headers={TOKEN_HEADER: wrong}).status_code == 401
    assert client().get("/api/state", headers=HEADER).status_code == 200


def test_the_empty_page_is_for_everybody_but_only_to_look_at() -> None:
    assert client().get("/").status_code == 200
    assert client().post("/").status_code == 401


def test_the_token_is_no_cookie_and_not_in_the_address() -> None:
    """Cookies know no ports: a browser would show them to whoever serves anything else on this host."""
    browser = client()
    entered = browser.get("/", params={"token": TOKEN}, follow_redirects=False)
    assert "set-cookie" not in entered.headers
    assert browser.get("/api/state", params={"token": TOKEN}).status_code == 401
    browser.cookies.update({"amilab-8790": TOKEN, "amilab": TOKEN})
    assert browser.get("/api/state").status_code == 401
    assert browser.post("/api/inject").status_code == 401


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8791", "null", "https://localhost:8790"])
def test_another_page_asks_for_nothing_even_with_the_token(origin: str) -> None:
    assert client().post("/api/inject", headers={**HEADER, "Origin": origin}).status_code == 403
    assert client().get("/api/state", headers={**HEADER, "Origin": origin}).status_code == 403


def test_the_page_itself_and_the_command_line_may() -> None:
    own = {**HEADER, "Origin": "http://127.0.0.1:8790"}
    assert client().post("/api/inject", headers=own).status_code == 200
    assert client().post("/api/inject", headers=HEADER).status_code == 200


HERE = socket.gethostname()


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("127.0.0.1", "127.0.0.1:8790"),
        ("127.0.0.1", "localhost:8790"),
        ("127.0.0.1", "LocalHost:8790"),
        ("::1", "[::1]:8790"),
        ("127.0.0.9", "127.0.0.9:8790"),
        ("0.0.0.0", "127.0.0.1:8790"),
        ("0.0.0.0", "192.0.2.7:8790"),
        ("0.0.0.0", f"{HERE}:8790"),
        ("::", "[2001:db8::7]:8790"),
        ("192.0.2.7", "192.0.2.7:8790"),
        ("2001:db8::7", "[2001:db8::7]:8790"),
        ("lab.example", "lab.example:8790"),
    ],
)
def test_the_page_answers_where_it_is(host: str, asked: str) -> None:
    assert client(host, asked).get("/api/state", headers=HEADER).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "192.0.2.7", "lab.example"])
@pytest.mark.parametrize(
    "asked",
    [
        "evil.example:8790",
        "127.0.0.1.evil.example:8790",
        "127.0.0.1:80",
        "127.0.0.1",
        "192.0.2.7:8791",
        "[::1]:1",
        "lab.example.evil.example:8790",
        "lab.example",
        "",
        ":8790",
        "[::1",
        "127.0.0.1:8790:8790",
        "127.0.0.1:999999999999",
        "127.0.0.1:²",
    ],
)
def test_any_other_name_is_refused_whatever_the_address(host: str, asked: str) -> None:
    """A name may be one that somebody else lets point to this machine."""
    headers = [(b"Host", asked.encode()), (TOKEN_HEADER.encode(), TOKEN.encode())]
    refused = client(host).get("/api/state", headers=headers)
    assert refused.status_code == 421
    assert "--allow-host" in refused.text
    assert client(host).get("/", headers=headers[:1]).status_code == 421


def test_names_may_be_added_with_and_without_a_port() -> None:
    also = ["lab.example", "Gateway.example:443"]
    assert client(asked="lab.example:8790", also=also).get("/api/state", headers=HEADER).status_code == 200
    assert client(asked="gateway.example:443", also=also).get("/api/state", headers=HEADER).status_code == 200
    assert client(asked="gateway.example:8790", also=also).get("/api/state", headers=HEADER).status_code == 421


def test_every_answer_forbids_foreign_scripts_and_frames() -> None:
    for answer in (client().get("/"), client().get("/api/state"), client(asked="evil.example").get("/")):
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.0.0.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
