"""What runs as it should is left running, whoever asks for it: `docker compose up`, or a run."""

from __future__ import annotations

import pytest

from lab.containers.project import ComposeProject
from lab.containers.settings import read_settings
from tests.containers.conftest import Project

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

SERVICES = (
    "broker", "database", "grid", "meters", "gateways", "headend-ingest", "headend-outages", "headend-poller",
)  # fmt: skip


def containers(project: Project) -> set[str]:
    return set(project.compose("ps", "--all", "--quiet").split())


def up(project: Project, *, meters: int) -> set[str]:
    """As a user does; the containers that there are then."""
    project.compose("up", "--detach", "--no-build", "--scale", f"meters={meters}", *SERVICES)
    return containers(project)


async def test_whoever_scales_only_adds_and_takes_away(project: Project) -> None:
    compose = ComposeProject(project.directory, read_settings(project.directory))
    by_user = up(project, meters=2)
    await compose.up(SERVICES, {"meters": 2, "headend-ingest": 1})
    assert containers(project) == by_user, "a run has made anew what a user had started"
    await compose.up(["meters", "gateways"], {"meters": 4})
    scaled = containers(project)
    assert scaled > by_user
    assert len(scaled) == len(by_user) + 2
    assert up(project, meters=4) == scaled, "a user has made anew what a run had started"
    assert up(project, meters=2) == by_user


async def test_what_a_run_has_replaced_is_left_running_as_well(project: Project) -> None:
    compose = ComposeProject(project.directory, read_settings(project.directory))
    before = up(project, meters=2)
    gone = {old async for old in compose.replaced("meters")}
    after = containers(project)
    assert {old[:12] for old in before - after} == gone
    assert len(gone) == 2
    assert up(project, meters=2) == after
