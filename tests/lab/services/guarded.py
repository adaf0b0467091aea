"""A real mosquitto that knows everybody by certificate, an honest meter, and what the broker says of others."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.keys.keyring import Keyring
from lab.keys.pki import Authority, write_file
from lab.services.broker import BrokerProgram, Certificates, EmbeddedBroker, keyring_below
from lab.services.broker_config import HEAD_END, HEAD_END_HOST, AddressLimit, RateLimit
from tests import left_out
from tests.lab.services.conftest import Peer, Surroundings

MODEST = RateLimit(messages_per_s=1, burst_messages=200, bytes_per_s=1, burst_bytes=200_000)
"""It fills up so slowly that the pace of the machine does not matter."""
HONEST, VILLAIN, COLLECTOR = "AMI00000001", "AMI00000666", "COL0001"
STATIONS = (HONEST, VILLAIN, COLLECTOR)


@dataclass
class GuardedBroker:
    """`head` has subscribed to all that meters say."""

    broker: EmbeddedBroker
    keyring: Keyring
    surroundings: Surroundings
    head: Peer = field(init=False)
    _honest: Peer = field(init=False)
    _reads: int = 0
    _made: int = 0

    @classmethod
    async def start(
        cls,
        surroundings: Surroundings,
        program: BrokerProgram,
        rate: RateLimit = MODEST,
        address: AddressLimit | None = None,
    ) -> GuardedBroker:
        work = surroundings.directory
        keyring = keyring_below(work)
        certificates = Certificates(keyring, len(STATIONS), rate=rate, address=address)
        broker = EmbeddedBroker(work, surroundings.supervisor, [], program, certificates=certificates)
        await broker.start()
        if broker.unguarded is not None:
            left_out.lacking(left_out.GUARD[0], f"{left_out.GUARD[1]}: {broker.unguarded}")
        keyring.issue(STATIONS, [HEAD_END, HEAD_END_HOST])
        guarded = cls(broker, keyring, surroundings)
        guarded.head = await guarded.connect(HEAD_END)
        assert await guarded.head.subscribe("dt/g1/#") == 1
        guarded._honest = await guarded.connect(HONEST)
        assert await guarded._honest.subscribe(f"cmd/g1/{HONEST}") == 1
        return guarded

    def pem(self, name: str) -> Path:
        """Where the identity of a device or of the head-end is."""
        directory = self.keyring.places.head_end if name.startswith(HEAD_END) else self.keyring.places.devices
        return directory / f"{name}.pem"

    def forged(self, pem: bytes) -> ssl.SSLContext:
        """TLS of somebody who shows this."""
        self._made += 1
        path = self.keyring.places.vault / f"forged{self._made}.pem"
        write_file(path, pem)
        return self.showing(path)

    def showing(self, pem: Path | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.keyring.places.trust)
        if pem is not None:
            context.load_cert_chain(pem)
        return context

    async def connect(self, name: str, *, tls: ssl.SSLContext | None = None, **how: Any) -> Peer:
        """As a device, or as the head-end; with another client id, or other TLS, than its own."""
        client_id = how.pop("client_id", name)
        return await Peer.connect(
            self.broker.port, client_id, None, None, tls=tls or self.showing(self.pem(name)), **how
        )

    async def refuses(self, tls: ssl.SSLContext | None, *, source: str | None = None) -> None:
        """Fails if the broker lets somebody in who connects so (None: without TLS)."""
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await Peer.connect(self.broker.port, VILLAIN, VILLAIN, "guessed", tls=tls, source=source)

    async def serves_others(self) -> None:
        """Fails if the honest meter's connection does not stand, or a reading or a command of its does not arrive."""
        self._reads += 1
        reading = f"reading {self._reads}".encode()
        self._honest.publish(f"dt/g1/{HONEST}/ds", reading)
        await self._honest.all_acknowledged()
        await self.head.until_received(f"dt/g1/{HONEST}/ds", reading)
        self.head.publish(f"cmd/g1/{HONEST}", reading)
        await self._honest.until_received(f"cmd/g1/{HONEST}", reading)

    async def until_logged(self, *words: str) -> str:
        """The first line of the broker's log that has all of these words."""
        path = self.surroundings.supervisor.log_path("broker")
        async with asyncio.timeout(10):
            while True:
                for line in path.read_text(errors="replace").splitlines():
                    if all(word in line for word in words):
                        return line
                # Nothing tells of a new line.
                await asyncio.sleep(0.02)

    def stolen(self) -> list[tuple[str, bytes]]:
        """What the head-end has received that the honest meter did not send."""
        return [(topic, payload) for topic, payload in self.head.received if not topic.startswith(f"dt/g1/{HONEST}/")]


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=400)


def next_week() -> datetime:
    return datetime.now(UTC) + timedelta(days=7)


def signed_by(pem: bytes) -> Authority:
    """What the holder of an identity may try: to sign others with it."""
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(key, x509.load_pem_x509_certificate(pem))
