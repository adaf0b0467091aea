"""What a part in a container imports of ours, its image has: each has only the packages that its part needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.containers.member import KINDS

REPOSITORY = Path(__file__).parents[3]
IMAGES: dict[str, str] = dict(
    re.findall(
        r"^FROM part AS (\w+)\n(.*?)(?=^FROM|\Z)",
        (REPOSITORY / "compose" / "images" / "amilab.Dockerfile").read_text(),
        re.DOTALL | re.MULTILINE,
    )
)
PARTS = {"grid": ["grid"], "meters": ["meters", "gateways"], "headend": ["ingest", "poller", "outages"]}


SETTING = re.compile(r"\$\{(\w+):-([^}]*)\}")


@pytest.mark.parametrize("file", ["compose.yaml", "compose.debian.yaml", "compose.loadtest.yaml"])
def test_no_public_registry_is_asked_for_an_image_of_ours(file: str) -> None:
    """A name whose first word has no dot or port, and is not localhost, is one of Docker Hub."""
    said = re.findall(r"^ *image: (\S+)$", (REPOSITORY / "compose" / file).read_text(), re.MULTILINE)
    ours = [image for image in said if "AMILAB_IMAGES" in image]
    assert ours
    assert {SETTING.sub(r"\2", image).split("/")[0] for image in ours} == {"localhost"}
    others = {SETTING.sub(r"\1", image) for image in said if image not in ours}
    assert others <= {"AMILAB_DATABASE_IMAGE", "AMILAB_GRAFANA_IMAGE"}


def copied(instructions: str, root: Path) -> None:
    """Put below `root` what the image has of ours."""
    for line in re.findall(r"^COPY (?!--)(.+)$", instructions, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (REPOSITORY / source).is_dir():
                shutil.copytree(REPOSITORY / source, root / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (root / target).mkdir(exist_ok=True)
                shutil.copy2(REPOSITORY / source, root / target)


@pytest.mark.parametrize("image", PARTS)
def test_a_part_finds_in_its_image_what_it_imports(tmp_path: Path, image: str) -> None:
    copied(IMAGES[image], tmp_path)
    modules = [KINDS[kind].partition(":")[0] for kind in PARTS[image]]
    # Without site's paths to this checkout, which an editable installation has: third parties are found by hand.
    found = f"import sys; sys.path = {[str(tmp_path), *third_parties()]!r}; import lab.containers.member"
    script = "; ".join([found, *(f"import {module}" for module in modules)])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def third_parties() -> list[str]:
    return [path for path in sys.path if path and not (Path(path) / "lab").is_dir()]
