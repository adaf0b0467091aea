"""`amilab compose init`: what it writes, for whom, and what a second call leaves alone."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from lab.containers.init import PASSWORDS, UNPRIVILEGED, init_project
from lab.containers.keys import project_keyring
from lab.containers.state import Owner
from lab.errors import UserError
from tests import left_out

COMPOSE = Path(__file__).parents[3] / "compose"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "compose"
    made.mkdir()
    shutil.copy(COMPOSE / "compose.yaml", made)
    return made


def test_keys_and_passwords_are_for_nobody_else(directory: Path) -> None:
    init_project(directory, debian=False, force=False)
    assert stat.S_IMODE((directory / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "secrets" / "ca.key").stat().st_mode) == 0o600
    passwords = {(directory / "secrets" / name).read_text() for name in PASSWORDS}
    assert len(passwords) == len(PASSWORDS)
    assert min(map(len, passwords)) >= 32


def test_a_second_call_changes_nothing(directory: Path) -> None:
    init_project(directory, debian=True, force=False)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert init_project(directory, debian=False, force=False) == []
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_force_writes_settings_anew_and_keeps_the_authority(directory: Path) -> None:
    init_project(directory, debian=False, force=False)
    authority = (directory / "secrets" / "ca.key").read_bytes()
    assert "compose.debian.yaml" not in (directory / ".env").read_text()
    init_project(directory, debian=True, force=True)
    assert "compose.debian.yaml" in (directory / ".env").read_text()
    assert (directory / "secrets" / "ca.key").read_bytes() == authority


def test_another_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no compose\.yaml"):
        init_project(tmp_path, debian=False, force=False)


@pytest.mark.parametrize("name", [".env", "secrets/ca.key", "state/devices/x.pem", "wheelhouse/x.whl"])
def test_git_ignores_what_is_secret_or_large(name: str) -> None:
    ignored = subprocess.run(["git", "check-ignore", "--quiet", f"compose/{name}"], cwd=COMPOSE.parent, check=False)
    assert ignored.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason=left_out.reason(*left_out.TWO_USERS))
def test_what_root_makes_is_for_whom_the_conductor_runs_as(directory: Path) -> None:
    """Also what an older release has made as root's, and what a rotation makes."""
    init_project(directory, debian=False, force=False)
    for path in (directory / "secrets", *(directory / "secrets").iterdir()):
        os.chown(path, 0, 0)
    init_project(directory, debian=False, force=False)
    keyring = project_keyring(directory, Owner(UNPRIVILEGED, UNPRIVILEGED))
    keyring.begin(authority=True)
    theirs = [directory / "state", directory / "secrets", *(directory / "secrets").iterdir()]
    assert {path.name: path.stat().st_uid for path in theirs if path.stat().st_uid != UNPRIVILEGED} == {}
