"""A rolling update under Compose: containers are made anew one after another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.containers.conftest import Project

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

SIZES = {"METERS_PER_CONTAINER": "150", "AMILAB_INGEST_WORKERS": "2", "AMILAB_SPARE_METERS": "0"}


@pytest.mark.long
def test_nothing_is_lost_when_every_container_is_replaced(project: Project, tmp_path: Path) -> None:
    scales = ("--scale", "meters=3", "--scale", "headend-ingest=2")
    project.compose("up", "--detach", "--no-build", *scales, "meters", "headend-ingest")
    before = set(project.compose("ps", "--quiet", "meters", "headend-ingest").split())
    ran = project.amilab("run", "rolling-update", "--compose", "--out", str(tmp_path), environment=SIZES)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    verdict = json.loads((tmp_path / "latest" / "verdict.json").read_text())
    assert verdict["passed"]
    reads = verdict["reads"]
    assert reads["expected"] == 450 * 12
    assert reads["lost"] == reads["altered"] == reads["duplicate_rows"] == reads["unrecorded"] == 0
    after = set(project.compose("ps", "--quiet", "meters", "headend-ingest").split())
    assert len(before) == len(after) == 5
    assert not before & after
