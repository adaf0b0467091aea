"""`amilab compose init`: the files that a Compose project needs and that nobody commits: .env, keys, passwords."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from lab.containers.settings import ENV
from lab.containers.state import BROKER, Owner, make_state
from lab.errors import UserError

UNPRIVILEGED = 10_001
"""Whom our containers run as when root made the project; else as whoever made it."""
PASSWORDS = ("database_password", "grafana_admin_password", "grafana_database_password")
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
        # Mounted one by one into containers of other users; nobody here gets past the directory.
        missing = [vault / name for name in PASSWORDS if not (vault / name).exists()]
        written += [_write(path, secrets.token_urlsafe(_PASSWORD_BYTES), 0o444) for path in missing]
        if force or not (directory / ENV).exists():
            written.append(_write(directory / ENV, env_text(owner, debian=debian), 0o600))
        written += _prepare_broker(directory / "state" / BROKER)
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from error
    return written


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
    "AMILAB_LINK_PORT": "7400",
    "AMILAB_BROKER_PORT": "8883",
    "AMILAB_DATABASE_PORT": "5433",
    "AMILAB_GRAFANA_PORT": "3000",
    "AMILAB_LAB_SUBNET": "172.29.0.0/18",
    "AMILAB_METERING_SUBNET": "172.29.64.0/18",
    "AMILAB_BROKER_ADDRESS": "172.29.64.2",
    "AMILAB_DATABASE_MEMORY": "2g",
    "AMILAB_GRID_MEMORY": "2g",
    "AMILAB_METERS_MEMORY": "1g",
    "AMILAB_HEADEND_MEMORY": "1g",
}


def _prepare_broker(directory: Path) -> list[Path]:
    path = directory / "mosquitto.conf"
    text = "listener 8883 0.0.0.0\nallow_anonymous true\npersistence true\npersistence_location /mosquitto/data/\nmax_queued_messages 0\nmax_inflight_messages 20000\n"
    directory.chmod(0o755)
    return [_write(path, text, 0o444)]


def _write(path: Path, text: str, mode: int) -> Path:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(text)
    path.chmod(mode)
    return path
