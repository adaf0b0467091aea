"""Settings and surroundings that cannot work: a message that says what to do, exit code 2, no traceback."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from lab.keys.pki import Authority
from tests.containers.conftest import SETTINGS, Project, half_an_hour

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    return half_an_hour(tmp_path, meters=20)


def refusal(project: Project, scenario: Path, environment: Mapping[str, str] | None = None) -> str:
    ran = project.amilab("run", str(scenario), "--compose", "--out", str(scenario.parent), environment=environment)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 2, said[-3000:]
    assert "Traceback" not in said
    return ran.stderr


def test_no_settings(project: Project, scenario: Path) -> None:
    env = project.directory / ".env"
    aside = env.rename(env.with_name("aside"))
    try:
        said = refusal(project, scenario)
    finally:
        aside.rename(env)
    assert "there is no" in said
    assert "amilab compose init" in said


def test_every_wrong_setting_at_once(project: Project, scenario: Path) -> None:
    said = refusal(
        project, scenario, {"AMILAB_LINK_PORT": "70000", "AMILAB_INGEST_WORKERS": "0", "AMILAB_METERS_MEMORY": "lots"}
    )
    assert "AMILAB_LINK_PORT" in said
    assert "AMILAB_INGEST_WORKERS" in said
    assert "AMILAB_METERS_MEMORY is 'lots'; it must be a size such as 512m or 2g" in said


def test_too_little_memory_for_so_many_meters(project: Project, scenario: Path) -> None:
    said = refusal(project, scenario, {"AMILAB_METERS_MEMORY": "64m"})
    assert "AMILAB_METERS_MEMORY is 64 MiB, too little for METERS_PER_CONTAINER=500" in said


def test_a_container_that_runs_out_of_memory(project: Project, scenario: Path) -> None:
    try:
        said = refusal(project, scenario, {"AMILAB_GRID_MEMORY": "100m"})
    finally:
        project.compose("up", "--detach", "--no-build", "grid")
    assert "ran out of the memory that it may use" in said
    assert "AMILAB_…_MEMORY" in said


def test_a_port_that_another_program_has(project: Project, scenario: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        said = refusal(project, scenario, {"AMILAB_BROKER_PORT": str(taken.getsockname()[1])})
    assert "Another program has that port" in said


def test_a_lab_link_that_another_run_has(project: Project, scenario: Path) -> None:
    project.compose("up", "--detach", "--no-build", "grid")
    host = SETTINGS["AMILAB_LAB_SUBNET"].replace("0.0/18", "0.1")
    with closing(socket.create_server((host, 0))) as taken:
        said = refusal(project, scenario, {"AMILAB_LINK_PORT": str(taken.getsockname()[1])})
    assert "Is another run under way there?" in said


def test_images_that_are_not_built(project: Project, scenario: Path) -> None:
    said = refusal(project, scenario, {"AMILAB_IMAGES": "amilab-test-nowhere"})
    assert "docker compose build" in said


def test_an_authority_that_is_none(project: Project, scenario: Path) -> None:
    key = project.directory / "secrets" / "ca.key"
    aside = shutil.copy(key, key.with_name("aside"))
    key.write_text("no key")
    try:
        said = refusal(project, scenario)
    finally:
        shutil.move(aside, key)
    assert "does not hold a certificate authority's key and certificate" in said


@pytest.mark.long
def test_a_broker_with_the_certificate_of_another_authority_is_given_its_own(project: Project, scenario: Path) -> None:
    server = project.directory / "state" / "broker" / "server.pem"
    server.chmod(0o644)
    server.write_bytes(Authority.create("somebody else").issue("broker", hosts=("broker", "localhost")))
    project.compose("up", "--detach", "--no-build", "broker")
    project.compose("restart", "--timeout", "2", "broker")
    ran = project.amilab("run", str(scenario), "--compose", "--out", str(scenario.parent))
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
