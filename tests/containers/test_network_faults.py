"""Faults of containers' networks: that they bite, that they end, and that nothing is lost by them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.containers.network_faults import impose, require_netem
from lab.containers.project import ComposeProject
from lab.containers.settings import read_settings
from lab.containers.stage import METERING
from lab.errors import UserError
from lab.lockstep.network_fault import NetworkFault
from tests.containers.conftest import Project
from tests.containers.test_compose import passed_verdict

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

KNOCK = """
import socket
try:
    socket.create_connection(("broker", 8883), 2)
except (TimeoutError, socket.gaierror):
    print("silence")
else:
    print("answered")
"""


def kernel_has_netem() -> bool:
    """Asked in a network namespace of its own."""
    asked = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


async def reaches_broker(compose: ComposeProject) -> bool:
    """Whether the first container of meters can connect."""
    said = await compose.execute("meters", "/opt/venv/bin/python", "-c", KNOCK)
    return said.strip() == "answered"


@pytest.mark.parametrize(
    "fault",
    [
        NetworkFault("disconnect", 1),
        pytest.param(NetworkFault("loss", 1, loss=0.9999), marks=pytest.mark.long),
    ],
)
async def test_a_container_is_cut_off_and_comes_back(project: Project, fault: NetworkFault) -> None:
    project.compose("up", "--detach", "--no-build", "--wait", "--scale", "meters=1", "broker", "meters")
    compose = ComposeProject(project.directory, read_settings(project.directory))
    (container,) = await compose.containers("meters")
    assert await reaches_broker(compose)
    end = await impose(compose, container.id, METERING, fault)
    assert not await reaches_broker(compose)
    await end()
    assert await reaches_broker(compose)


async def test_a_container_is_frozen_and_goes_on(project: Project) -> None:
    project.compose("up", "--detach", "--no-build", "--wait", "--scale", "meters=1", "broker", "meters")
    compose = ComposeProject(project.directory, read_settings(project.directory))
    (container,) = await compose.containers("meters")
    end = await impose(compose, container.id, METERING, NetworkFault("pause", 1))
    (frozen,) = await compose.containers("meters")
    assert frozen.state == "paused"
    await end()
    (back,) = await compose.containers("meters")
    assert back.state == "running"


@pytest.mark.long
async def test_packets_are_delayed_or_the_kernel_is_named(project: Project) -> None:
    compose = ComposeProject(project.directory, read_settings(project.directory))
    if not kernel_has_netem():
        with pytest.raises(UserError, match="the kernel has no netem") as refused:
            await require_netem(compose)
        assert "modprobe" in (refused.value.hint or "")
        return
    await require_netem(compose)
    project.compose("up", "--detach", "--no-build", "--wait", "--scale", "meters=1", "broker", "meters")
    (container,) = await compose.containers("meters")
    end = await impose(compose, container.id, METERING, NetworkFault("delay", 1, delay_ms=3000))
    assert not await reaches_broker(compose), "3 s late, it answers within 2"
    await end()
    assert await reaches_broker(compose)


@pytest.mark.long
def test_a_bad_network_loses_no_reading(project: Project, tmp_path: Path) -> None:
    verdict = passed_verdict(project, tmp_path, "bad-network", METERS_PER_CONTAINER="200")
    assert verdict["reads"]["expected"] > 7_000
    assert verdict["reads"]["lost"] == verdict["outages"]["false"] == 0
