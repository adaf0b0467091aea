"""compose/amilab, the command in a container: with which Compose it works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[3] / "compose" / "amilab"
DOCKER = """\
#!/bin/sh
case "$*" in
"image inspect"*) [ -z "$NO_IMAGE" ] ;;
info*) echo "$PLUGIN" ;;
*"compose version") exit "$RUNS_THERE" ;;
run*) printf '%s\\n' "$@" ;;
esac
"""


def asked_of_docker(directory: Path, *, plugin: Path | str, runs_there: bool) -> list[str]:
    program = directory / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    environment = {
        "PATH": f"{directory}:{os.environ['PATH']}",
        "PLUGIN": str(plugin),
        "RUNS_THERE": "0" if runs_there else "1",
        # Any file, since nobody answers there.
        "DOCKER_SOCKET": str(program),
    }
    answer = subprocess.run([COMMAND, "--help"], env=environment, capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()


@pytest.mark.parametrize(("runs_there", "taken"), [(True, True), (False, False)])
def test_the_users_compose_is_taken_where_it_runs_in_the_image(tmp_path: Path, runs_there: bool, taken: bool) -> None:
    """Two releases of Compose make anew what the other has made."""
    plugin = tmp_path / "docker-compose"
    plugin.touch()
    asked = asked_of_docker(tmp_path, plugin=plugin, runs_there=runs_there)
    assert asked[0] == "run"
    assert (f"{plugin}:/usr/local/lib/docker/cli-plugins/docker-compose:ro" in asked) is taken


@pytest.mark.parametrize("plugin", ["", "/on/another/machine/docker-compose"])
def test_without_one_the_images_own_is_taken(tmp_path: Path, plugin: str) -> None:
    asked = asked_of_docker(tmp_path, plugin=plugin, runs_there=True)
    assert not any("cli-plugins" in word for word in asked)


@pytest.mark.parametrize(
    ("environment", "image"), [({}, "registry.example/ami/lab:9"), ({"AMILAB_IMAGES": "mine"}, "mine/lab:9")]
)
def test_it_is_the_image_that_the_settings_name(tmp_path: Path, environment: dict[str, str], image: str) -> None:
    """One that is not there yet is built from the base that the settings name."""
    (tmp_path / "compose").mkdir()
    command = shutil.copy2(COMMAND, tmp_path / "compose")
    (tmp_path / "compose" / ".env").write_text(
        "AMILAB_IMAGES=registry.example/ami\n#AMILAB_VERSION=8\nAMILAB_VERSION='9'\nAMILAB_PYTHON_IMAGE=debian:trixie-slim\n"
    )
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    answer = subprocess.run(
        [command], env={"PATH": path, "NO_IMAGE": "1", **environment}, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert f"There is no image {image} yet" in answer.stderr
    assert f"--build-arg BASE=debian:trixie-slim --tag {image} ." in answer.stderr


def test_without_settings_it_is_the_image_that_compose_builds(tmp_path: Path) -> None:
    (tmp_path / "compose").mkdir()
    command = shutil.copy2(COMMAND, tmp_path / "compose")
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NO_IMAGE": "1"}
    answer = subprocess.run([command], env=environment, capture_output=True, text=True, check=False)
    prefixes = set(re.findall(r"\$\{AMILAB_IMAGES:-([^}]*)\}", (COMMAND.parent / "compose.yaml").read_text()))
    assert [f"There is no image {prefix}/lab:0.1.0 yet" for prefix in prefixes] == [answer.stderr.split(". In")[0]]
