"""The keys of a Compose project, and how its broker is told of new ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lab.containers.project import ComposeProject
from lab.containers.state import BROKER, DEVICES, SECRETS, SUPPLIES, Owner, make_state
from lab.errors import UserError
from lab.keys.keyring import AUTHORITIES, AUTHORITY, KeyPlaces, Keyring, Receivers
from lab.services.mqtt_probe import until_shown

BROKER_HOSTS = ("broker", "localhost", "127.0.0.1")
HOLD = "hold"
"""A file beside the broker's configuration that keeps it from serving."""


def project_keyring(directory: Path, owner: Owner) -> Keyring:
    """Of the project in this directory. Its authority is made if there is none."""
    root = directory / "state"
    places = KeyPlaces(
        directory / "secrets", root / BROKER, root / SUPPLIES / AUTHORITIES, root / DEVICES, root / SECRETS
    )
    # The broker's container has a user of its own; nobody here gets past state/.
    give = Receivers(vault=owner.take, broker=lambda path: path.chmod(0o444), device=owner.take)
    return Keyring(places, broker_hosts=BROKER_HOSTS, give=give)


async def reload_broker(project: ComposeProject, keyring: Keyring) -> None:
    """Have the broker read its certificates again; returns when it has. One that does not serve will when it does."""
    found = [container for container in await project.containers(BROKER) if container.state == "running"]
    if not found or (keyring.places.broker / HOLD).exists():
        return
    await asyncio.gather(*(project.signal(container.id, "SIGHUP") for container in found))
    try:
        tls = keyring.places.trust, keyring.probe("_probe")
        await until_shown(keyring.server_serial, "127.0.0.1", project.settings.broker_port, tls)
    except (OSError, TimeoutError) as error:
        raise UserError(
            [f"the broker was told to read its certificates again, and does not show the new one: {error}"],
            "docker compose logs broker says why; docker compose restart broker has it read them, too.",
        ) from error


async def save_broker(project: ComposeProject) -> None:
    """Have the broker write its state to disk: a kill in this run must not bring back what waited in the last one."""
    found = [container for container in await project.containers(BROKER) if container.state == "running"]
    await asyncio.gather(*(project.signal(container.id, "SIGUSR1") for container in found))


async def rotate(project: ComposeProject, *, authority: bool, finish: bool) -> int:
    """Begin a rotation, or `finish` the one that has begun. Returns how many identities are new.

    :raises UserError: there is nothing to rotate, or the last one is not finished.
    """
    keyring = _keyring(project)
    if finish:
        if not keyring.is_rotating:
            raise UserError("no rotation has begun", "Begin one: amilab compose rotate")
        keyring.finish()
        await reload_broker(project, keyring)
        return 0
    if keyring.is_rotating:
        raise UserError("the last rotation is not finished", "Finish it first: amilab compose rotate --finish")
    keyring.begin(authority=authority)
    await reload_broker(project, keyring)
    return keyring.reissue()


async def revoke(project: ComposeProject, device: str) -> None:
    """Have the broker refuse a device from its next connection on. Raises UserError if it has no identity."""
    keyring = _keyring(project)
    try:
        keyring.revoke(device)
    except OSError as error:
        raise UserError(f"there is no identity {device}: {error.strerror}", "state/devices/ has them.") from error
    await reload_broker(project, keyring)


def _keyring(project: ComposeProject) -> Keyring:
    if not (project.directory / "secrets" / AUTHORITY).exists():
        raise UserError(f"{project.directory} has no certificate authority", "Run `amilab compose init` first.")
    owner = Owner(project.settings.uid, project.settings.gid)
    # Whoever has been given state/ may have put a link there, and what it leads to would be written anew.
    make_state(project.directory / "state", owner)
    return project_keyring(project.directory, owner)
