"""Certificates rotate under a lab in containers: in a run, and by command."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest

from tests.containers.conftest import Project
from tests.stack.labs import scenario_text
from tests.stack.test_rotation import rotation

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]


@pytest.mark.long
def test_identities_and_authority_rotate_in_a_run(project: Project, tmp_path: Path) -> None:
    scenario = tmp_path / "rotating.toml"
    events = rotation("00:30", "identities") + rotation("01:30", "authority")
    scenario.write_text(scenario_text(meters=300, duration="3h", events=events, fleet='preset = "bakeoff"'))
    before = (project.directory / "state/supplies/ca.pem").read_bytes()
    ran = project.amilab("run", str(scenario), "--compose", "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    verdict = json.loads((tmp_path / "latest" / "verdict.json").read_text())
    assert verdict["passed"]
    assert verdict["reads"]["lost"] == 0
    after = (project.directory / "state/supplies/ca.pem").read_bytes()
    assert after not in before
    assert before not in after


def test_a_rotation_by_command_is_taken_up_and_finished(project: Project) -> None:
    project.compose("up", "--detach", "--no-build", "--wait", "broker")
    trust = project.directory / "state/supplies/ca.pem"
    old = trust.read_text()
    assert project.amilab("compose", "rotate", "--finish").returncode == 2, "none has begun"
    assert project.amilab("compose", "rotate", "--authority").returncode == 0
    assert trust.read_text().count("BEGIN CERTIFICATE") == 2
    assert project.amilab("compose", "rotate").returncode == 2, "the last one is not finished"
    assert project.amilab("compose", "rotate", "--finish").returncode == 0
    assert trust.read_text().count("BEGIN CERTIFICATE") == 1
    port = int(project.compose("port", "broker", "8883").rpartition(":")[2])
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(_file(project, old)))
    assert ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(trust))


def _file(project: Project, text: str) -> Path:
    path = project.directory / "secrets" / "old-ca.pem"
    path.write_text(text)
    return path
