"""The same project as a stack on a Swarm of one node: replicas, placement by label, rolling updates."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.containers.conftest import SETTINGS, Project, until
from tests.containers.test_relays import SCENARIO, assert_left_at_its_second
from tests.stack.labs import deliveries_in

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

STACK = SETTINGS["AMILAB_PROJECT"]
LABELS = ("amilab.core", "amilab.meters", "amilab.headend")
SIZES = {"METERS_PER_CONTAINER": "150", "AMILAB_INGEST_WORKERS": "2"}
FLEETS, WORKERS = 3, 2
VOLUMES = ("broker-data", "database-data")


def docker(*arguments: str) -> str:
    answer = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout


def tasks(service: str, form: str) -> list[str]:
    return docker("service", "ps", "--no-trunc", "--format", form, f"{STACK}_{service}").splitlines()


@pytest.fixture(scope="module")
def node(project: Project) -> Iterator[str]:
    """The one node of the swarm, which has all labels. The stack is gone afterwards, and the swarm, if it is ours."""
    # Networks and ports of the two would be the same.
    project.compose("down", "--timeout", "2", "--remove-orphans")
    ours = json.loads(docker("info", "--format", "{{json .Swarm.LocalNodeState}}")) != "active"
    if ours:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    name = docker("node", "inspect", "self", "--format", "{{.ID}}").strip()
    had = json.loads(docker("node", "inspect", name, "--format", "{{json .Spec.Labels}}"))
    added = [label for label in LABELS if label not in had]
    try:
        docker("node", "update", *(f"--label-add={label}=true" for label in LABELS), name)
        yield name
    finally:
        docker("stack", "rm", STACK)
        of_stack = ("--filter", f"label=com.docker.stack.namespace={STACK}", "--quiet")
        until(lambda: not docker("ps", "--all", *of_stack), "the stack's containers to go")
        until(lambda: not docker("network", "ls", *of_stack), "the stack's networks to go")
        docker("volume", "rm", "--force", *(f"{STACK}_{volume}" for volume in VOLUMES))
        docker("node", "update", *(f"--label-rm={label}" for label in added), name)
        if ours:
            docker("swarm", "leave", "--force")


def test_nothing_is_lost_in_rolling_updates(project: Project, node: str, tmp_path: Path) -> None:
    over_the_air = ("--network", "radio", "--swarm", "--out", str(tmp_path))
    ran = project.amilab("run", "rolling-update", *over_the_air, environment=SIZES)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    verdict = json.loads((tmp_path / "latest" / "verdict.json").read_text())
    assert verdict["passed"]
    # What is in the air is lost with each process that goes.
    frames = deliveries_in(tmp_path / "latest")
    assert {frame["technology"] for frame in frames} == {"mesh", "cellular"}
    assert {frame["arrived_at"] is None for frame in frames} == {True, False}
    reads = verdict["reads"]
    assert reads["expected"] == 450 * 12
    assert reads["lost"] == reads["altered"] == reads["duplicate_rows"] == reads["unrecorded"] == 0
    assert verdict["ingest"]["rows"] >= reads["stored"] - reads["estimated"]

    # In each slot one that was updated away; in one of them another, which the scenario killed.
    for service, replicas in (("meters", FLEETS + 1), ("headend-ingest", WORKERS)):
        state = docker("service", "inspect", "--format", "{{.UpdateStatus.State}}", f"{STACK}_{service}")
        assert state.strip() == "completed"
        ended = [line for line in tasks(service, "{{.DesiredState}} {{.Name}}") if line.startswith("Shutdown")]
        assert len(ended) == replicas + 1
    logs = tmp_path / "latest" / "logs"
    meters, ingest = (logs / "meters.log").read_text(), (logs / "headend-ingest.log").read_text()
    for part, log in [
        *((f"fleet-{n}", meters) for n in range(FLEETS)),
        *((f"ingest-{n}", ingest) for n in range(WORKERS)),
    ]:
        assert log.count(f"serving {part} ") >= 2, f"{part} was never handed over"


def test_what_meters_switch_leaves_the_feeder_at_its_second(project: Project, node: str, tmp_path: Path) -> None:
    scenario = tmp_path / "relays.toml"
    scenario.write_text(SCENARIO)
    ran = project.amilab(
        "run", str(scenario), "--swarm", "--out", str(tmp_path), environment={"METERS_PER_CONTAINER": "30"}
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    verdict = json.loads((tmp_path / "latest" / "verdict.json").read_text())
    assert verdict["passed"]
    assert verdict["outages"]["injected"] == verdict["outages"]["detected"] == 0
    assert_left_at_its_second(tmp_path / "latest")


def test_a_stack_is_backed_up_while_it_runs_and_nothing_is_restored_beneath_it(
    project: Project, node: str, tmp_path: Path
) -> None:
    assert running_of("database") == ["Running"]
    answer = project.amilab("compose", "backup", str(tmp_path / "backup"), "--swarm")
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert json.loads((tmp_path / "backup" / "manifest.json").read_text())["timescaledb"]
    refused = project.amilab("compose", "restore", str(tmp_path / "backup"), "--replace")
    assert refused.returncode == 2
    assert f"the stack {STACK} serves this project's volumes" in refused.stderr
    assert running_of("database") == ["Running"]


@pytest.mark.long
def test_a_part_waits_for_a_node_with_its_label(project: Project, node: str, tmp_path: Path) -> None:
    docker("node", "update", "--label-rm=amilab.headend", node)
    try:
        ran = project.amilab("run", "rolling-update", "--swarm", "--out", str(tmp_path), environment=SIZES)
        assert ran.returncode == 2, ran.stdout[-3000:] + ran.stderr[-3000:]
        for service in ("headend-ingest", "headend-poller", "headend-outages"):
            wants = (
                f"no node for the service {service}, which wants node.labels.amilab.headend == true: no suitable node"
            )
            assert wants in ran.stderr
        assert "docker node update --label-add" in ran.stderr
        assert set(running_of("headend-ingest")) == {"Pending"}
        assert "Running" in running_of("meters"), "others are where they were"
    finally:
        docker("node", "update", "--label-add=amilab.headend=true", node)
    for service, replicas in (("headend-ingest", WORKERS), ("headend-poller", 1)):
        until(partial(runs, service, replicas), f"{service} to run where its label is")


def runs(service: str, replicas: int) -> bool:
    return running_of(service) == ["Running"] * replicas


def running_of(service: str) -> list[str]:
    """The states of the tasks that are to run."""
    found = tasks(service, "{{.DesiredState}} {{.CurrentState}}")
    return [line.split()[1] for line in found if line.startswith("Running ")]


def test_the_stack_file_is_what_docker_takes(project: Project, node: str) -> None:
    made = project.amilab("compose", "stack", environment=SIZES)
    assert made.returncode == 0, made.stderr
    services = json.loads(made.stdout)["services"]
    assert services["headend-ingest"]["deploy"]["replicas"] == WORKERS
    before = docker("stack", "services", STACK, "--format", "{{.Name}} {{.Image}}")
    subprocess.run(
        ["docker", "stack", "deploy", "--resolve-image", "never", "--compose-file", "-", STACK],
        input=made.stdout, text=True, check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    assert sorted(docker("stack", "services", STACK, "--format", "{{.Name}} {{.Image}}").splitlines()) == sorted(
        before.splitlines()
    )


@pytest.mark.parametrize("service", ["meters", "grid", "headend-ingest", "broker"])
def test_tasks_have_no_more_rights_than_they_need(project: Project, node: str, service: str) -> None:
    of_service = ("--filter", f"label=com.docker.swarm.service.name={STACK}_{service}", "--quiet")
    until(lambda: docker("ps", *of_service), f"a task of {service}")
    container = docker("ps", *of_service).split()[0]
    script = "id -u; touch /x 2>/dev/null || echo refused; grep CapEff /proc/self/status"
    user, written, capabilities = docker("exec", container, "sh", "-c", script).splitlines()
    assert user != "0"
    assert written == "refused"
    assert int(capabilities.split()[1], 16) == 0
