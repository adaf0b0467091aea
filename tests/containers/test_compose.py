"""The lab in containers, the same scenarios and the same verdict as embedded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.containers.conftest import amilab, compose

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

LEAST_CONTAINERS = 10


def verdict_of(out: Path) -> dict[str, object]:
    verdict: dict[str, object] = json.loads((out / "latest" / "verdict.json").read_text())
    return verdict


def test_nothing_is_lost_when_everything_is_killed_once(project: Path, tmp_path: Path) -> None:
    ran = amilab("run", "containers", "--compose", "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    verdict = verdict_of(tmp_path)
    assert verdict["passed"]
    reads = verdict["reads"]
    assert isinstance(reads, dict)
    assert reads["expected"] > 40_000
    assert reads["lost"] == reads["altered"] == reads["duplicate_rows"] == 0
    assert reads["recovered"] > 0, "the broker's death cost nothing: it was not killed while it mattered"
    host = verdict["host"]
    assert isinstance(host, dict)
    assert "mosquitto 2." in host["broker"]
    assert host["timescaledb"], "the database has no TimescaleDB"
    meters = compose("ps", "--all", "--quiet", "meters").split()
    assert len(meters) >= LEAST_CONTAINERS
    logs = (tmp_path / "latest" / "logs" / "meters.log").read_text()
    assert logs.count("serving fleet-0 ") == 2, "nobody took the dead container's share over"


@pytest.mark.parametrize("service", ["meters", "grid", "headend-ingest", "headend-outages", "headend-poller", "broker"])
def test_containers_have_no_more_rights_than_they_need(project: Path, service: str) -> None:
    compose("up", "--detach", "--no-build", service)
    assert compose("exec", "-T", service, "id", "-u").strip() != "0"
    assert compose("exec", "-T", service, "sh", "-c", "touch /x 2>/dev/null || echo refused") == "refused\n"
    capabilities = compose("exec", "-T", service, "sh", "-c", "grep CapEff /proc/self/status").split()[1]
    assert int(capabilities, 16) == 0


def test_a_part_sees_only_what_it_needs(project: Path) -> None:
    services = ("meters", "headend-ingest", "grid")
    compose("up", "--detach", "--no-build", *services)
    seen = {service: compose("exec", "-T", service, "ls", "/state").split() for service in services}
    assert "secrets" not in seen["meters"]
    assert "devices" not in seen["headend-ingest"]
    assert seen["grid"] == ["plan", "results"]
