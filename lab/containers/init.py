"""`amilab compose init`: the files that a Compose project needs and that nobody commits: .env, keys, passwords."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from lab.containers.keys import project_keyring
from lab.containers.link_keys import make_link_keys
from lab.containers.settings import ENV, HEADEND_PASSWORD, MOST_INGEST_WORKERS
from lab.containers.state import BROKER, Owner, make_state
from lab.errors import UserError
from lab.keys.keyring import AUTHORITY, SERVER
from lab.services.broker_config import (
    ACL,
    COMPRESSED_TIME,
    CONTAINERS,
    HEAD_END,
    HEAD_END_HOST,
    Guard,
    MosquittoPlaces,
    ingest_identity,
    mosquitto_configuration,
    mosquitto_patterns,
)

UNPRIVILEGED = 10_001
"""Whom our containers run as when root made the project; else as whoever made it."""
PASSWORDS = (
    "database_password",
    HEADEND_PASSWORD,
    "grafana_admin_password",
    "grafana_database_password",
    "grafana_households_password",
)
MOST_CLIENTS = 20_000
GUARD = Guard("/usr/local/lib/amilab/guard.so", COMPRESSED_TIME, CONTAINERS)
"""In the broker's image."""
PLACES = MosquittoPlaces(8883, "0.0.0.0", "/mosquitto/config", "/mosquitto/data", "stdout")  # noqa: S104
HEAD_ENDS = (HEAD_END, HEAD_END_HOST, *(ingest_identity(number) for number in range(MOST_INGEST_WORKERS)))
_PASSWORD_BYTES = 24


def init_project(directory: Path, *, debian: bool, force: bool) -> list[Path]:
    """Write what is missing; what is there stays, so that a second call harms nothing. Returns what was written.

    :param debian: make the variant that is built from Debian's packages the default.
    :param force: write .env anew.
    :raises UserError: the directory is not that of the Compose files, or cannot be written.
    """
    if not (directory / "compose.yaml").is_file():
        raise UserError(
            f"{directory} has no compose.yaml", "Name the directory compose/ of amilab's repository: --directory."
        )
    owner = Owner(os.geteuid(), os.getegid()) if os.geteuid() != 0 else Owner(UNPRIVILEGED, UNPRIVILEGED)
    written: list[Path] = []
    try:
        make_state(directory / "state", owner)
        vault = directory / "secrets"
        vault.mkdir(exist_ok=True)
        vault.chmod(0o700)
        # Mounted one by one into containers of other users, and as a whole into the conductor's; nobody else here gets
        # past the directory.
        _give(vault, owner)
        missing = [vault / name for name in PASSWORDS if not (vault / name).exists()]
        written += [_write(path, secrets.token_urlsafe(_PASSWORD_BYTES).encode(), 0o444) for path in missing]
        written += make_link_keys(directory, owner)
        if force or not (directory / ENV).exists():
            written.append(_write(directory / ENV, env_text(owner, debian=debian).encode(), 0o600))
        if not (vault / AUTHORITY).exists():
            written.append(vault / AUTHORITY)
        keyring = project_keyring(directory, owner)
        if written or not (directory / "state" / BROKER / SERVER).exists():
            keyring.write_trust()
            written += [keyring.places.broker / SERVER, *broker_files(keyring.places.broker)]
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from error
    return written


def _give(vault: Path, owner: Owner) -> None:
    """The directory and what is in it, also of what an older release has made."""
    for path in (vault, *vault.iterdir()):
        owner.take(path)


def env_text(owner: Owner, *, debian: bool) -> str:
    """The text of .env; settings that are commented out show their defaults."""
    lines = [
        "# Settings of the lab in containers. compose/README.md explains each.",
        "AMILAB_PROJECT=amilab",
        f"AMILAB_UID={owner.uid}",
        f"AMILAB_GID={owner.gid}",
    ]
    if debian:
        lines += ["COMPOSE_FILE=compose.yaml:compose.debian.yaml", "AMILAB_PYTHON_IMAGE=debian:trixie-slim"]
    lines += [
        "METERS_PER_CONTAINER=500",
        "AMILAB_SPARE_METERS=1",
        "AMILAB_INGEST_WORKERS=1",
        *(f"#{name}={value}" for name, value in _DEFAULTS.items()),
    ]
    return "\n".join(lines) + "\n"


_DEFAULTS: Mapping[str, str] = {
    "AMILAB_KEPT_RUNS": "5",
    "AMILAB_LINK_PORT": "7400",
    "AMILAB_BROKER_PORT": "8883",
    "AMILAB_DATABASE_PORT": "5433",
    "AMILAB_GRAFANA_PORT": "3000",
    "AMILAB_LAB_SUBNET": "198.18.0.0/18",
    "AMILAB_METERING_SUBNET": "198.18.64.0/18",
    "AMILAB_METERING_RANGE": "198.18.96.0/19",
    "AMILAB_BROKER_ADDRESS": "198.18.64.2",
    "AMILAB_DATABASE_MEMORY": "2g",
    "AMILAB_GRID_MEMORY": "2g",
    "AMILAB_METERS_MEMORY": "1g",
    "AMILAB_HEADEND_MEMORY": "1g",
}


def broker_files(directory: Path) -> list[Path]:
    """Write what the broker is configured by, beside its keys; nobody here gets past state/."""
    files = {
        "mosquitto.conf": mosquitto_configuration(PLACES, clients=MOST_CLIENTS, guard=GUARD).encode(),
        ACL: mosquitto_patterns(HEAD_ENDS).encode(),
    }
    return [_write(directory / name, content, 0o444) for name, content in files.items()]


def _write(path: Path, content: bytes, mode: int) -> Path:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(content)
    path.chmod(mode)
    return path
