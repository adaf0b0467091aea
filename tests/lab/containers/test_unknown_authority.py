"""Behind a proxy that inspects TLS: whatever fetches packages says what is wrong, and what to do."""

from __future__ import annotations

import http.server
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.containers.wheelhouse import make_wheelhouse
from lab.errors import UserError
from lab.keys.pki import Authority

IMAGES = Path(__file__).parents[3] / "compose" / "images"
FETCH = IMAGES / "fetch.sh"
WORDS = "Put the certificate of its authority (PEM) into compose/certificates/NAME.crt"


class Handler(http.server.BaseHTTPRequestHandler):
    def handle(self) -> None:
        """Nobody gets past the handshake."""
        with suppress(ssl.SSLError):
            self.request.do_handshake()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index whose certificate nobody knows the authority of, as such a proxy shows it."""
    identity = tmp_path / "identity.pem"
    identity.write_bytes(Authority.create("proxy").issue("127.0.0.1", hosts=("127.0.0.1",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()
        thread.join()


def test_a_build_says_where_the_certificate_belongs(index: str) -> None:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "--retries",
        "1",
        "download",
        "--quiet",
        "--index-url",
        index,
        "attrs",
    ]
    fetched = subprocess.run([FETCH, *pip], capture_output=True, text=True, check=False)
    assert fetched.returncode == 1
    assert "No matching distribution found for attrs" in fetched.stderr
    assert WORDS in fetched.stderr


@pytest.mark.parametrize(
    "said",
    [
        # curl, apt with GnuTLS, apk
        "curl: (60) SSL certificate verification failed",
        "W: Certificate verification failed: The certificate is NOT trusted. The certificate issuer is unknown.",
        "WARNING: fetching https://dl-cdn.alpinelinux.org: TLS: server certificate not trusted",
    ],
)
def test_other_package_managers_are_understood(said: str) -> None:
    fetched = subprocess.run(
        [FETCH, "sh", "-c", f"echo '{said}' >&2; exit 9"], capture_output=True, text=True, check=False
    )
    assert fetched.returncode == 9
    assert said in fetched.stderr
    assert WORDS in fetched.stderr


def test_what_works_and_what_fails_otherwise_is_passed_on() -> None:
    works = subprocess.run(
        [FETCH, "sh", "-c", "echo out; echo warning: certificate verify >&2"], capture_output=True, text=True
    )
    assert (works.returncode, works.stdout, works.stderr) == (0, "out\n", "warning: certificate verify\n")
    fails = subprocess.run([FETCH, "sh", "-c", "echo no such package >&2; exit 3"], capture_output=True, text=True)
    assert (fails.returncode, fails.stderr) == (3, "no such package\n")


def test_a_wheelhouse_says_so_too(index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    lock = tmp_path / "lock"
    lock.write_text("attrs==23.1.0\n")
    with pytest.raises(UserError, match="does not know who has signed") as refused:
        make_wheelhouse(tmp_path / "wheels", lock)
    assert "compose/certificates/NAME.crt" in (refused.value.hint or "")


@pytest.mark.parametrize("dockerfile", sorted(IMAGES.glob("*Dockerfile")), ids=lambda path: path.name)
def test_an_image_has_the_certificates_before_its_first_command_and_fetches_by_what_explains(dockerfile: Path) -> None:
    text = dockerfile.read_text().replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0].isalpha()]
    stages: dict[str, list[str]] = {}
    for word, rest in steps:
        if word == "FROM":
            source, _, name = rest.partition(" AS ")
            # A stage that goes on from an earlier one has what that has.
            stage = stages[name or "last"] = list(stages.get(source, ()))
        elif word in ("COPY", "RUN"):
            stage.append(f"{word} {rest}")
    assert stages
    for name, done in stages.items():
        first = next(place for place, step in enumerate(done) if step.startswith("RUN"))
        assert any(step.startswith("COPY compose/certificates/ ") for step in done[:first]), name
    commands = [rest for word, rest in steps if word == "RUN"]
    fetching = re.compile(r"(apt-get (?:update|install)|apk add|pip \S.*install)")
    bare = [
        part
        for command in commands
        for part in re.split(r"&&|;", re.sub(r"fetch sh -c \"[^\"]*\"", "", command))
        if fetching.search(part) and "fetch " not in part
    ]
    assert bare == []
