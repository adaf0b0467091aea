"""The lab in containers, the same scenarios and the same verdict as embedded."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.containers.conftest import SETTINGS, Project, half_an_hour

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

LEAST_CONTAINERS = 10


def passed_verdict(project: Project, out: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    ran = project.amilab("run", *arguments, "--compose", "--out", str(out), environment=environment)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    verdict: dict[str, Any] = json.loads((out / "latest" / "verdict.json").read_text())
    assert verdict["passed"]
    escaped = [path.name for path in (out / "latest" / "logs").iterdir() if "\x1b" in path.read_text()]
    assert escaped == []
    return verdict


def test_nothing_is_lost_when_everything_is_killed_once(project: Project, tmp_path: Path) -> None:
    # As a user would who has more than one core for the head-end; the run takes what is there.
    project.compose("up", "--detach", "--no-build", "--scale", "headend-ingest=3")
    verdict = passed_verdict(project, tmp_path, "containers")
    reads = verdict["reads"]
    assert reads["expected"] > 40_000
    assert reads["lost"] == reads["altered"] == reads["duplicate_rows"] == 0
    assert reads["recovered"] > 0, "the broker's death cost nothing: it was not killed while it mattered"
    assert "mosquitto 2." in verdict["host"]["broker"]
    assert verdict["host"]["timescaledb"], "the database has no TimescaleDB"
    logs = tmp_path / "latest" / "logs"
    served = (logs / "meters.log").read_text()
    fleets = {line.split("serving ")[1].split()[0] for line in served.splitlines() if "serving " in line}
    assert len(fleets) >= LEAST_CONTAINERS
    assert served.count("serving fleet-0 ") == 2, "nobody took the dead container's share over"
    workers = (logs / "headend-ingest.log").read_text()
    assert all(f"serving ingest-{number} " in workers for number in range(3))


def test_one_meter_in_each_container(project: Project, tmp_path: Path) -> None:
    scenario = half_an_hour(tmp_path, meters=4)
    verdict = passed_verdict(project, tmp_path, str(scenario), METERS_PER_CONTAINER="1")
    assert verdict["reads"]["expected"] == verdict["reads"]["stored"] == 8
    served = (tmp_path / "latest" / "logs" / "meters.log").read_text()
    assert {f"serving fleet-{number} " in served for number in range(4)} == {True}
    for place in (tmp_path / "latest", project.directory / "state" / "memory", project.directory / "secrets"):
        # Passwords are read by services of other users, to whom Docker gives them; nobody gets past the directory.
        inside = [place] if place.name == "secrets" else [place, *place.rglob("*")]
        seen = {str(path): oct(path.stat().st_mode) for path in inside if path.stat().st_mode & 0o007}
        assert seen == {}
    memories = list((project.directory / "state" / "memory").rglob("*.sqlite"))
    assert memories
    assert {path.stat().st_mode & 0o777 for path in memories} == {0o600}


@pytest.mark.parametrize("service", ["meters", "grid", "headend-ingest", "headend-outages", "headend-poller", "broker"])
def test_containers_have_no_more_rights_than_they_need(project: Project, service: str) -> None:
    project.compose("up", "--detach", "--no-build", service)
    assert project.compose("exec", "-T", service, "id", "-u").strip() != "0"
    assert project.compose("exec", "-T", service, "sh", "-c", "touch /x 2>/dev/null || echo refused") == "refused\n"
    capabilities = project.compose("exec", "-T", service, "sh", "-c", "grep CapEff /proc/self/status").split()[1]
    assert int(capabilities, 16) == 0


def test_a_part_sees_only_what_it_needs(project: Project) -> None:
    services = ("meters", "headend-ingest", "grid")
    project.compose("up", "--detach", "--no-build", *services)
    seen = {service: project.compose("exec", "-T", service, "ls", "/state").split() for service in services}
    assert seen["meters"] == ["devices", "journals", "memory", "plan", "supplies"]
    assert seen["headend-ingest"] == ["plan", "secrets", "supplies"]
    assert seen["grid"] == ["plan", "results"], "what all others are judged by is written by nobody else"


def test_each_service_has_a_key_of_its_own_for_the_lab_link_and_no_other(project: Project) -> None:
    services = ("grid", "meters", "gateways", "headend-ingest", "headend-poller", "headend-outages")
    project.compose("up", "--detach", "--no-build", *services)
    keys = []
    for service in services:
        assert project.compose("exec", "-T", service, "ls", "/run/secrets").split() == ["link"]
        keys.append(json.loads(project.compose("exec", "-T", service, "cat", "/run/secrets/link"))["secret"])
    assert len(set(keys)) == len(services)
    lab = json.loads((project.directory / "secrets" / "link-lab.key").read_text())
    assert lab["secret"] not in keys


def test_the_head_end_is_no_superuser_of_the_database(project: Project, tmp_path: Path) -> None:
    scenario = half_an_hour(tmp_path, meters=4)
    assert passed_verdict(project, tmp_path, str(scenario))["host"]["timescaledb"]
    password = (project.directory / "secrets" / "headend_database_password").read_text()
    url = f"postgresql://amilab_headend:{password}@127.0.0.1:{SETTINGS['AMILAB_DATABASE_PORT']}/amilab"
    with psycopg.connect(url, autocommit=True) as connection:
        (schema,) = connection.execute("SELECT current_schema").fetchone() or ("",)
        assert schema.startswith("amilab_few"), "it finds the run that is shown: the last one"
        owner = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = %s", [schema])
        assert owner.fetchall() == [("amilab_headend",)]
        hypertables = "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_schema = %s"
        assert connection.execute(hypertables, [schema]).fetchone() == (1,), "it needs no superuser for these"
        for beyond in ("COPY (SELECT 1) TO PROGRAM 'id'", "SELECT pg_read_file('/etc/passwd')", "CREATE ROLE evil"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(beyond.encode())


@pytest.mark.long
def test_certificates_of_other_authorities_come_into_the_images(project: Project) -> None:
    """As behind a proxy that inspects TLS: compose/certificates/*.crt."""
    authority = project.directory / "certificates" / "proxy.crt"
    shutil.copy(project.directory / "state" / "broker" / "ca.pem", authority)
    build = ["docker", "build", "--quiet", "--file", "compose/images/amilab.Dockerfile", "--target", "python"]
    image = output(project, *build, "--build-arg", "BASE=debian:trixie-slim", ".").strip()
    bundle = output(project, "docker", "run", "--rm", image, "cat", "/etc/ssl/certs/ca-certificates.crt")
    assert "".join(authority.read_text().split()) in "".join(bundle.split())
    authority.unlink()


def output(project: Project, *command: str) -> str:
    return subprocess.run(command, cwd=project.root, check=True, capture_output=True, text=True).stdout
