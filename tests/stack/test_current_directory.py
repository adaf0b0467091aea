"""What lies in the directory in which the user happens to be is not run, by no process of a lab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.labs import scenario_text
from tests.stack.test_loadtest import PATIENT

AMILAB = Path(sys.executable).with_name("amilab")
PLANTED = (
    "json", "lab", "grid", "meters", "headend", "dashboards", "loadtests", "numpy", "zmq", "orjson", "uvloop",
    "psycopg", "pandapower", "iotcore", "paho", "pydantic", "locust", "locustfile", "gevent", "pip",
    "sitecustomize", "random",
)  # fmt: skip
"""Names of modules that some process of a lab imports."""
TELLS = "import sys; open({path!r}, 'a').write(f'{{__name__}} in {{sys.orig_argv}}\\n'); raise SystemExit(77)\n"


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A directory with modules that say so when they are imported, in `told`."""
    directory = tmp_path / "here"
    directory.mkdir()
    for name in PLANTED:
        (directory / f"{name}.py").write_text(TELLS.format(path=str(tmp_path / "told")))
    return directory


def run(directory: Path, *arguments: str | Path, **environment: str) -> str:
    """The command, as one who has installed it gives it there; it must succeed."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [AMILAB, *map(str, arguments)],
        cwd=directory,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = directory.parent / "told"
    assert not told.exists(), told.read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("broker", ["mosquitto", pytest.param("iotcore", marks=pytest.mark.long)])
def test_a_run_imports_nothing_from_there(planted: Path, broker: str) -> None:
    text = scenario_text(meters=30, duration="30min", fleet='preset = "bakeoff"')
    (planted / "small.toml").write_text(text)
    assert "PASSED" in run(planted, "run", "small.toml", AMILAB_BROKER=broker)
    assert (planted / "runs" / "latest" / "verdict.json").exists()


@pytest.mark.long
def test_a_load_test_imports_nothing_from_there(planted: Path) -> None:
    (planted / "load.toml").write_text(PATIENT)
    (planted / "locust.conf").write_text("users = 1\nrun-time = 1s\nnonsense = here\n")
    run(planted, "loadtest", "short", "--file", "load.toml", "--workers", "2")
