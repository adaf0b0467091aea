"""Which TLS is spoken: authenticated encryption with a fresh key only, at the broker and at everybody who connects."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import headend.links.tls
import meters.carriers.tls
from lab.keys.pki import Authority, write_file
from lab.services.broker import BrokerProgram
from lab.services.mqtt_probe import probe
from tests.lab.services.conftest import Surroundings
from tests.lab.services.guarded import HONEST, VILLAIN, GuardedBroker

WEAK = (
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-CAMELLIA128-SHA256",
    "ECDHE-ECDSA-NULL-SHA",
)
GOOD = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305")


def only(context: ssl.SSLContext, cipher: str) -> ssl.SSLContext:
    """Speaking TLS 1.2 with this cipher and no other, whatever OpenSSL's own policy says."""
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    return context


@pytest.fixture
async def guarded(surroundings: Surroundings, mosquitto: BrokerProgram) -> GuardedBroker:
    return await GuardedBroker.start(surroundings, mosquitto)


@pytest.mark.parametrize("cipher", WEAK)
async def test_the_broker_refuses_what_is_weak(guarded: GuardedBroker, cipher: str) -> None:
    await guarded.refuses(only(guarded.showing(guarded.pem(VILLAIN)), cipher))
    await guarded.until_logged("no shared cipher")
    await guarded.serves_others()


@pytest.mark.parametrize("cipher", GOOD)
async def test_the_broker_takes_what_is_authenticated(guarded: GuardedBroker, cipher: str) -> None:
    device = await guarded.connect(VILLAIN, tls=only(guarded.showing(guarded.pem(VILLAIN)), cipher))
    assert device.writer.get_extra_info("cipher")[0] == cipher
    device.publish(f"dt/g1/{VILLAIN}/ds", b"1")
    await device.all_acknowledged()


async def test_the_broker_speaks_tls_1_3(guarded: GuardedBroker) -> None:
    context = guarded.showing(guarded.pem(HONEST))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    device = await guarded.connect(HONEST, tls=context)
    assert device.writer.get_extra_info("ssl_object").version() == "TLSv1.3"


# Who connects, to a server that would have it otherwise.

Connect = Callable[[int, Path, Path], Awaitable[object]]


async def _connected(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def meter(port: int, ca: Path, identity: Path) -> ssl.SSLSocket:
    files = meters.carriers.tls.TlsFiles(ca, identity.parent)
    loop = asyncio.get_running_loop()
    return await meters.carriers.tls.secured(await _connected(port), files, identity.stem, "127.0.0.1", loop)


async def head_end(port: int, ca: Path, identity: Path) -> ssl.SSLSocket:
    return await headend.links.tls.secured(await _connected(port), ca, identity, "127.0.0.1")


async def lab_itself(port: int, ca: Path, identity: Path) -> None:
    await probe("127.0.0.1", port, None, None, 5.0, tls=(ca, identity))


@asynccontextmanager
async def serving(directory: Path, cipher: str) -> Any:
    """Port, authority and identity for a server that speaks this cipher; it hangs up once the handshake is over."""
    authority = Authority.create()
    paths = {name: directory / f"{name}.pem" for name in ("ca", "server", "client")}
    write_file(paths["ca"], authority.certificate.public_bytes(Encoding.PEM))
    write_file(paths["server"], authority.issue("server", hosts=["127.0.0.1"]))
    write_file(paths["client"], authority.issue("client"))
    context = only(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cipher)
    context.load_cert_chain(paths["server"])
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], paths["ca"], paths["client"]


@pytest.mark.parametrize("connect", [meter, head_end, lab_itself])
@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA256"])
async def test_nobody_connects_to_what_is_weak(tmp_path: Path, connect: Connect, cipher: str) -> None:
    async with serving(tmp_path, cipher) as where:
        with pytest.raises(OSError):
            await connect(*where)


@pytest.mark.parametrize("connect", [meter, head_end, lab_itself])
async def test_everybody_connects_to_what_is_authenticated(tmp_path: Path, connect: Connect) -> None:
    async with serving(tmp_path, GOOD[0]) as where:
        connected = await connect(*where)
        if isinstance(connected, ssl.SSLSocket):
            assert (connected.cipher() or "")[0] == GOOD[0]
            connected.close()
