"""What `amilab compose init` writes for the broker, and the keys of a project. Without Docker."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.commands.compose import app
from lab.containers.init import init_project
from lab.containers.keys import project_keyring
from lab.containers.state import Owner
from lab.keys.keyring import AUTHORITY, Keyring
from lab.keys.pki import Authority

HEAD_ENDS = ("headend", "headend-ingest-0")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").touch()
    init_project(tmp_path, debian=False, force=False)
    return tmp_path


def keyring_of(project: Path) -> Keyring:
    return project_keyring(project, Owner(0, 0))


def test_the_broker_knows_everybody_by_certificate_and_is_guarded(project: Path) -> None:
    broker = project / "state/broker"
    configuration = (broker / "mosquitto.conf").read_text().splitlines()
    for line in (
        "allow_anonymous false",
        "require_certificate true",
        "tls_version tlsv1.2",
        "use_username_as_clientid true",
        "plugin /usr/local/lib/amilab/guard.so",
        "crlfile /mosquitto/config/crl.pem",
    ):
        assert line in configuration
    rules = (broker / "acl").read_text()
    assert "user headend-ingest-0\n" in rules
    named = {line.rpartition("/")[2] for line in configuration if "/mosquitto/config/" in line}
    assert named <= {path.name for path in broker.iterdir()}
    # The broker's container has a user of its own.
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in broker.iterdir())


def test_keys_and_settings_are_made_once(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert init_project(project, debian=False, force=False) == []
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    assert (project / "secrets" / AUTHORITY).stat().st_mode & 0o777 == 0o600


def rotating(keyring: Keyring) -> bool:
    return keyring.is_rotating


def test_another_process_finishes_a_rotation(project: Path) -> None:
    first = keyring_of(project)
    first.issue(["AMI00000001", "COL0001"], HEAD_ENDS)
    old = first.authority
    first.begin(authority=True)
    assert first.reissue() == 4
    trust = project / "state/supplies/ca.pem"
    assert old.pem in trust.read_bytes()
    second = keyring_of(project)
    assert rotating(second)
    second.finish()
    assert trust.read_bytes() == Authority.load(project / "secrets" / AUTHORITY).pem == second.authority.pem
    assert not rotating(second)
    assert not rotating(first)


def test_identities_of_an_earlier_run_are_gone(project: Path) -> None:
    keyring = keyring_of(project)
    keyring.issue(["AMI00000001", "AMI00000002"], HEAD_ENDS)
    keyring.issue(["AMI00000002"], HEAD_ENDS[:1])
    assert [path.name for path in (project / "state/devices").iterdir()] == ["AMI00000002.pem"]
    assert [path.name for path in (project / "state/secrets").iterdir()] == ["headend.pem"]


@pytest.fixture
def others(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates that are none of a lab's, to which a link has taken the place of its devices'."""
    directory = tmp_path_factory.mktemp("others")
    (directory / "server.pem").write_bytes(Authority.create().issue("others", hosts=["others.example"]))
    (project / "state" / "devices").rmdir()
    (project / "state" / "devices").symlink_to(directory)
    return directory


@pytest.mark.parametrize("command", [["rotate"], ["rotate", "--authority"], ["revoke", "server"]])
def test_no_rotation_writes_others_certificates_anew(project: Path, others: Path, command: list[str]) -> None:
    """Whoever rotates may be root, and state/ has been given to the containers' user."""
    before = (others / "server.pem").read_bytes()
    answer = CliRunner().invoke(app, [*command, "--directory", str(project)])
    assert answer.exit_code == 2, answer.output
    assert "devices is no directory" in answer.output
    assert [(path.name, path.read_bytes()) for path in others.iterdir()] == [("server.pem", before)]


@pytest.mark.parametrize("command", [["rotate"], ["revoke", "AMI1"]])
def test_an_identity_that_is_none_is_named(project: Path, command: list[str]) -> None:
    identity = project / "state" / "devices" / "AMI1.pem"
    identity.write_text("no certificate")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    answer = CliRunner().invoke(app, [*command, "--directory", str(project)])
    assert answer.exit_code == 2, answer.output
    assert f"{identity} holds no certificate" in answer.output
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
