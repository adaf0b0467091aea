"""What the images carry, and that it is no more than they need."""

from __future__ import annotations

import subprocess

import pytest

from grid.feeder import load_feeder
from tests.containers.conftest import Project, image_of

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

MOST_MB = {"grid": 720, "lab": 560, "meters": 400, "headend": 300, "broker": 150, "database": 540}
"""Some tenths above what they are, so that a package that slips in is noticed, and a new version of one is not."""


@pytest.mark.parametrize("image", MOST_MB)
def test_an_image_is_not_larger_than_it_has_to_be(project: Project, image: str) -> None:
    said = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", image_of(image)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(said.stdout) / 1e6 < MOST_MB[image]


def test_simbench_in_the_image_makes_nets_and_curves_and_says_whose_they_are(project: Project) -> None:
    code = "simbench:1-LV-semiurb4--2-sw"
    asked = (
        "from pathlib import Path; import simbench; from grid.feeder import load_feeder; "
        "from grid.profiles import named_profiles; "
        "print((Path(simbench.__file__).parent / 'networks' / 'NOTICE.txt').read_text()); "
        f"print(len(load_feeder('{code}').usage_points), "
        "named_profiles('load', ['H0-A'], scenario=2).active.shape)"
    )
    said = project.compose("run", "--rm", "--no-deps", "--entrypoint", "/opt/venv/bin/python", "grid", "-c", asked)
    assert "Open Database License" in said
    assert said.splitlines()[-1] == f"{len(load_feeder(code).usage_points)} (35136, 1)"
