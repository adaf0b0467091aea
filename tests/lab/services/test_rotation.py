"""Certificates change under a broker that serves: who stays, who comes in, and who does not any more."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from lab.keys.keyring import AUTHORITY, RETIRING
from lab.keys.pki import Authority, serial_of
from lab.services.broker import BrokerProgram
from lab.services.mqtt_probe import until_shown
from tests.lab.services.conftest import Surroundings
from tests.lab.services.guarded import HONEST, VILLAIN, GuardedBroker

OWN = f"dt/g1/{VILLAIN}/ds"


@pytest.fixture
async def guarded(surroundings: Surroundings, mosquitto: BrokerProgram) -> GuardedBroker:
    return await GuardedBroker.start(surroundings, mosquitto)


def rotating(guarded: GuardedBroker) -> bool:
    return guarded.keyring.is_rotating


async def publishes(guarded: GuardedBroker, tls: ssl.SSLContext, reading: bytes) -> None:
    device = await guarded.connect(VILLAIN, tls=tls)
    device.publish(OWN, reading)
    await device.all_acknowledged()
    await guarded.head.until_received(OWN, reading)
    await device.close()


@pytest.mark.parametrize("authority", [False, True])
async def test_old_certificates_hold_until_the_rotation_is_finished(guarded: GuardedBroker, authority: bool) -> None:
    old = guarded.showing(guarded.pem(VILLAIN))
    before = serial_of(guarded.pem(VILLAIN).read_bytes())
    guarded.keyring.begin(authority=authority)
    await guarded.broker.reload()
    assert guarded.keyring.reissue() == 5
    assert serial_of(guarded.pem(VILLAIN).read_bytes()) != before
    assert rotating(guarded)
    # Who trusts both authorities, as everybody is told to.
    old.load_verify_locations(guarded.keyring.places.trust)
    await publishes(guarded, old, b"with the old one")
    await publishes(guarded, guarded.showing(guarded.pem(VILLAIN)), b"with the new one")
    await guarded.serves_others()
    guarded.keyring.finish()
    await guarded.broker.reload()
    assert not rotating(guarded)
    await publishes(guarded, guarded.showing(guarded.pem(VILLAIN)), b"with the new one again")
    old.load_verify_locations(guarded.keyring.places.trust)
    await guarded.refuses(old)
    await guarded.until_logged("certificate verify failed")
    # Connections that stand have not been touched by any of it.
    await guarded.serves_others()
    assert await guarded.head.subscribe("dt/g2/#") == 1


async def test_a_retired_authority_is_trusted_by_nobody(guarded: GuardedBroker) -> None:
    old = guarded.keyring.authority
    guarded.keyring.begin(authority=True)
    await guarded.broker.reload()
    guarded.keyring.reissue()
    await publishes(guarded, guarded.forged(old.issue(VILLAIN)), b"still")
    guarded.keyring.finish()
    await guarded.broker.reload()
    await guarded.refuses(guarded.forged(old.issue(VILLAIN)))
    assert not (guarded.keyring.places.vault / RETIRING).exists()
    # Nor do devices trust a broker that has its certificate from it.
    only_old = ssl.create_default_context(cadata=old.pem.decode())
    only_old.load_cert_chain(guarded.pem(VILLAIN))
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", guarded.broker.port, ssl=only_old)
    await guarded.serves_others()


async def test_the_broker_shows_its_new_certificate(guarded: GuardedBroker) -> None:
    tls = guarded.keyring.places.trust, guarded.pem(VILLAIN)
    first = guarded.keyring.server_serial
    await until_shown(first, "127.0.0.1", guarded.broker.port, tls)
    guarded.keyring.begin(authority=False)
    await guarded.broker.reload()
    assert guarded.keyring.server_serial != first
    await until_shown(guarded.keyring.server_serial, "127.0.0.1", guarded.broker.port, tls)


async def test_a_rotation_survives_the_death_of_the_broker(guarded: GuardedBroker) -> None:
    guarded.keyring.begin(authority=True)
    await guarded.broker.kill()
    await guarded.broker.reload()
    guarded.keyring.reissue()
    await guarded.broker.restart()
    device = await guarded.connect(VILLAIN)
    device.publish(OWN, b"back")
    await device.all_acknowledged()


async def test_revocations_outlast_rotations(guarded: GuardedBroker) -> None:
    stolen = guarded.showing(guarded.pem(VILLAIN))
    guarded.keyring.revoke(VILLAIN)
    assert not guarded.pem(VILLAIN).exists()
    guarded.keyring.begin(authority=False)
    await guarded.broker.reload()
    guarded.keyring.reissue()
    assert not guarded.pem(VILLAIN).exists()
    await guarded.refuses(stolen)
    guarded.keyring.finish()
    await guarded.broker.reload()
    await guarded.refuses(stolen)
    await (await guarded.connect(HONEST)).close()


def test_the_vault_is_nobody_else_s(guarded: GuardedBroker) -> None:
    vault = guarded.keyring.places.vault
    assert all(path.stat().st_mode & 0o077 == 0 for path in vault.iterdir())
    assert Authority.load(vault / AUTHORITY).pem in guarded.keyring.places.trust.read_bytes()
