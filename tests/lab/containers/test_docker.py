"""What is said of an engine that a stack cannot be deployed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.containers.docker import docker, docker_says, hint_for, require_docker
from lab.errors import UserError


def engine(directory: Path, monkeypatch: pytest.MonkeyPatch, **info: Any) -> None:
    """A command `docker` that answers to everything with this, and echoes what it is given."""
    program(directory, monkeypatch, f"echo '{json.dumps(info)}'", "cat")


@pytest.mark.parametrize(
    ("swarm", "saying", "hint"),
    [
        ({"LocalNodeState": "inactive", "ControlAvailable": False}, "is in no swarm", "docker swarm init"),
        ({"LocalNodeState": "active", "ControlAvailable": False}, "is no manager of its swarm", "docker node ls"),
    ],
)
async def test_a_stack_needs_a_swarm_that_is_managed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swarm: dict[str, Any], saying: str, hint: str
) -> None:
    engine(tmp_path, monkeypatch, Swarm=swarm)
    await require_docker()
    with pytest.raises(UserError, match=saying) as refused:
        await require_docker(swarm=True)
    assert refused.value.hint is not None
    assert hint in refused.value.hint


async def test_a_manager_is_all_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(tmp_path, monkeypatch, Swarm={"LocalNodeState": "active", "ControlAvailable": True})
    await require_docker(swarm=True)


async def test_a_command_reads_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(tmp_path, monkeypatch)
    assert await docker("stack", "deploy", given="the stack") == "{}\nthe stack"


def program(directory: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """A command `docker` that does this."""
    command = directory / "docker"
    command.write_text("\n".join(("#!/bin/sh", *lines)))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


async def test_logs_that_never_end_are_read_as_far_as_they_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker service logs` may wait for ever for a task that was killed."""
    said = tmp_path / "said"
    program(tmp_path, monkeypatch, "echo 'serving \033[31mfleet-0'", "echo oh >&2", f"touch {said}", "exec sleep 3600")
    assert await docker_says("service", "logs", "lab_meters", within_s=10.0) == ("serving fleet-0\noh\n", False)
    assert said.exists()


async def test_a_command_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "echo here", "exec sleep 3600")
    with pytest.raises(UserError, match="`docker compose up` did not end within 1 s"):
        await docker("compose", "up", patience_s=1.0)


async def test_logs_that_end_are_whole_and_refused_ones_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "echo standing by")
    assert await docker_says("service", "logs", "lab_meters", within_s=60.0) == ("standing by\n", True)
    program(tmp_path, monkeypatch, "echo 'no such service: lab_meters' >&2", "exit 1")
    with pytest.raises(UserError, match="docker service logs lab_meters") as refused:
        await docker_says("service", "logs", "lab_meters", within_s=60.0)
    assert "no such service: lab_meters" in refused.value.faults


@pytest.mark.parametrize(
    ("missing", "hinted"),
    [("/srv/amilab/compose/secrets/link-grid.key", True), ("/srv/amilab/compose/state/plan", False)],
)
def test_a_key_that_is_missing_is_made_by_init_and_a_nodes_directory_is_not(missing: str, hinted: bool) -> None:
    said = f'invalid mount config for type "bind": bind source path does not exist: {missing}'
    assert ("amilab compose init" in (hint_for(said) or "")) is hinted


async def test_a_refusal_of_composes_is_told_without_what_went_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "docker"
    said = [
        " Network amilab_store  Creating",
        " Network amilab_store  Created",
        ' Volume "amilab_database-data"  Created',
        " Container amilab-broker-1  Recreate",
        " Container amilab-database-1  Error",
        "Error response from daemon: no such image: amilab/database:0.1.0",
    ]
    command.write_text("#!/bin/sh\ncat >&2 <<'END'\n" + "\n".join(said) + "\nEND\nexit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UserError) as refused:
        await docker("compose", "up")
    assert list(refused.value.faults) == [
        "`docker compose up` failed:",
        "Container amilab-database-1  Error",
        "Error response from daemon: no such image: amilab/database:0.1.0",
    ]
