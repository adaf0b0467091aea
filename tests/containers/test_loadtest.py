"""Locust's own distributed mode in containers, with a head-end in several processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.containers.conftest import Project
from tests.stack.test_loadtest import PATIENT, written

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]
OVERLAY = ("-f", "compose.yaml", "-f", "compose.debian.yaml", "-f", "compose.loadtest.yaml")


def test_a_master_and_two_workers_load_the_containers(project: Project, tmp_path: Path) -> None:
    project.compose(*OVERLAY, "build", "--quiet", "locust-master", "locust-worker")
    load = written(tmp_path, PATIENT)
    ran = project.amilab(
        "loadtest", "short", "--compose", "--workers", "2", "--file", str(load), "--out", str(tmp_path)
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    verdict = json.loads((tmp_path / "latest" / "verdict.json").read_text())
    assert verdict["verdict"] == "passed"
    published = verdict["client"]["published"]
    assert published == verdict["headend"]["rows"] == verdict["database"]["rows"] > 0
    listed = project.amilab("compose", "runs", "list").stdout
    assert f"▶ {(tmp_path / 'latest').resolve().name}" in listed, "Grafana shows it"
    assert len(list((project.directory / "state" / "loadtest" / "load" / "ledgers").glob("*.parquet"))) == 3


def test_locusts_services_are_as_hard_as_the_others(project: Project) -> None:
    config = json.loads(project.compose(*OVERLAY, "config", "--format", "json"))
    for name in ("locust-master", "locust-worker"):
        service = config["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"].partition(":")[0] not in ("", "0")
        assert service["deploy"]["resources"]["limits"]["memory"]
        assert not any("state/secrets" in volume["source"] for volume in service["volumes"])
