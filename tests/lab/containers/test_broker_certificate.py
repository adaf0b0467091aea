"""Whether broker and clients trust each other is known before a run starts."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from lab.containers.broker_certificate import check_broker_certificate
from lab.errors import UserError
from lab.pki import Authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@contextmanager
def server(directory: Path, identity: bytes, trusted: bytes) -> Iterator[int]:
    """Shakes hands once, and then waits to be left."""
    (directory / "server.pem").write_bytes(identity)
    (directory / "trusted.pem").write_bytes(trusted)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(directory / "trusted.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as plain:
            try:
                with context.wrap_socket(plain, server_side=True) as secured:
                    secured.recv(1)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join()


def check(tmp_path: Path, authority: Authority, identity: bytes, trusted: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "headend.pem").write_bytes(authority.issue("headend"))
    with server(tmp_path, identity, trusted) as port:
        check_broker_certificate(port, ca=tmp_path / "ca.pem", identity=tmp_path / "headend.pem")


def test_who_trusts_each_other_is_let_pass(tmp_path: Path, authority: Authority) -> None:
    check(tmp_path, authority, authority.issue("broker", hosts=["localhost"]), authority.pem)


def test_a_broker_of_another_authority(tmp_path: Path, authority: Authority) -> None:
    other = Authority.create("another")
    with pytest.raises(UserError, match="the broker's certificate is not right"):
        check(tmp_path, authority, other.issue("broker", hosts=["localhost"]), authority.pem)


def test_a_broker_whose_certificate_has_expired(tmp_path: Path, authority: Authority) -> None:
    stale = authority.issue("broker", hosts=["localhost"], valid=timedelta(seconds=-60))
    with pytest.raises(UserError, match="certificate has expired"):
        check(tmp_path, authority, stale, authority.pem)


def test_a_broker_that_trusts_another_authority(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(UserError, match="the broker refuses the head-end's certificate"):
        check(tmp_path, authority, authority.issue("broker", hosts=["localhost"]), Authority.create("other").pem)


def test_nobody_there(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "headend.pem").write_bytes(authority.issue("headend"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UserError, match="does not answer"):
        check_broker_certificate(port, ca=tmp_path / "ca.pem", identity=tmp_path / "headend.pem")
