"""A volume that another image has made is refused with words before the database starts, and nothing in it is touched.

The script runs in each shell that an image may have, beside stand-ins for the programs of that image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import left_out

COMPOSE = Path(__file__).parents[3] / "compose"
OFFICIAL, DEBIAN = "docker-entrypoint.sh", "database-entrypoint"
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash"]}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    command = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        left_out.lacking("tests in each image's shell", f"apt install {command[0]}")
    return command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


def start(shell: list[str], image: str, data: Path, *, major: int = 17, user: str | None = None) -> tuple[int, str]:
    """The exit code, and what was said."""
    programs = data.parent / "bin"
    programs.mkdir(exist_ok=True)
    says = {image: 'echo "$0 starts $*"', "postgres": f"echo 'postgres (PostgreSQL) {major}.6 (Debian {major}.6-0)'"}
    for name, line in says.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    if shell[0] == "busybox":  # the tools are its own, too
        for name in ("sh", "ls", "stat", "sed", "cut", "cat", "id", "tr"):
            (programs / name).unlink(missing_ok=True)
            (programs / name).symlink_to(shutil.which("busybox") or "")
    answer = subprocess.run(
        [*shell, str(COMPOSE / "database" / "start.sh"), "postgres", "-c", "x=y"],
        env={"PATH": f"{programs}:{os.defpath}", "PGDATA": str(data), "AMILAB_DATABASE_VOLUME": "lab_database-data"},
        capture_output=True,
        text=True,
        check=False,
        user=user,
    )
    return answer.returncode, answer.stdout + answer.stderr


def fill(data: Path, *, version: str = "17", made: bool = False) -> None:
    (data / "PG_VERSION").write_text(f"{version}\n")
    (data / "precious").write_text("readings")
    if made:
        (data / "amilab.made").touch()


@pytest.mark.parametrize("image", [OFFICIAL, DEBIAN])
def test_an_empty_volume_and_one_of_its_own_are_served(shell: list[str], image: str, data: Path) -> None:
    assert start(shell, image, data) == (0, f"{data.parent}/bin/{image} starts postgres -c x=y\n")
    fill(data, made=image == DEBIAN)
    assert start(shell, image, data)[0] == 0


@pytest.mark.parametrize(
    ("image", "made", "version", "said"),
    [
        (OFFICIAL, True, "17", "was made by Debian's packages, and this container is of the official image"),
        (DEBIAN, False, "17", "was made by the official image, and this container is of Debian's packages"),
        (OFFICIAL, False, "16", "is of PostgreSQL 16, and this image has PostgreSQL 17"),
        (DEBIAN, True, "18", "is of PostgreSQL 18, and this image has PostgreSQL 17"),
    ],
)
def test_a_volume_of_another_image_is_refused_and_left_alone(
    shell: list[str], image: str, made: bool, version: str, said: str, data: Path
) -> None:
    fill(data, made=made, version=version)
    before = sorted(path.name for path in data.iterdir())
    code, words = start(shell, image, data)
    assert code == 78
    assert f"amilab: the volume lab_database-data {said}." in words
    for what_to_do in ("amilab compose backup", "docker volume rm lab_database-data", "amilab compose restore"):
        assert what_to_do in words
    assert sorted(path.name for path in data.iterdir()) == before


@pytest.mark.parametrize("image", [OFFICIAL, DEBIAN])
def test_a_volume_with_something_else_in_it(shell: list[str], image: str, data: Path) -> None:
    (data / "holiday.jpg").write_text("x")
    code, words = start(shell, image, data)
    assert code == 78
    assert "holds something else than a PostgreSQL's data: holiday.jpg" in words


def test_a_volume_that_this_image_s_user_cannot_open(shell: list[str], data: Path) -> None:
    fill(data)
    data.chmod(0o700 if os.getuid() == 0 else 0)
    for parent in data.parents:
        if parent.owner() == data.owner() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    code, words = start(shell, OFFICIAL, data, user="nobody" if os.getuid() == 0 else None)
    data.chmod(0o700)
    assert code == 78
    assert "is closed to this image's user" in words
    assert f"it belongs to the user {os.getuid()}. Another image made it." in words


def make(data: Path, *, initdb: str = 'mkdir -p "${1#--pgdata=}"; echo 17 >"${1#--pgdata=}/PG_VERSION"') -> int:
    """The entrypoint of Debian's variant, with stand-ins for what makes a cluster."""
    programs = data.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name, line in {"initdb": initdb, "pg_ctl": ":", "createdb": ":", "postgres": "echo serving"}.items():
        (programs / name).write_text(f"#!/bin/sh\nset -e\n{line}\n")
        (programs / name).chmod(0o755)
    (data.parent / "password").write_text("p")
    environment = {"PGDATA": str(data), "POSTGRES_USER": "amilab", "POSTGRES_DB": "amilab"}
    environment |= {"POSTGRES_PASSWORD_FILE": str(data.parent / "password"), "PATH": f"{programs}:{os.defpath}"}
    script = COMPOSE / "images" / "database-entrypoint.sh"
    return subprocess.run(["sh", script, "postgres"], env=environment, capture_output=True, check=False).returncode


def test_debians_variant_makes_a_cluster_once(data: Path) -> None:
    assert make(data) == 0
    assert sorted(path.name for path in data.iterdir()) == ["PG_VERSION", "amilab.made", "pg_hba.conf"]
    (data / "precious").touch()
    assert make(data, initdb="exit 1") == 0
    assert (data / "precious").exists()


def test_a_first_start_that_was_cut_short_begins_again(data: Path) -> None:
    assert make(data, initdb='mkdir -p "${1#--pgdata=}"; exit 9') == 9
    assert make(data) == 0
    assert (data / "amilab.made").exists()
    assert not (data / "amilab.making").exists()


def test_debians_variant_removes_nothing_that_it_has_not_made(data: Path) -> None:
    fill(data)
    assert make(data) == 78
    assert (data / "precious").read_text() == "readings"
