"""Foreign peers, each in an environment of its own, made once and kept in build/interop.

A peer wants other versions of libraries than we do, and its licence may not be one that we import.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import left_out

_CACHE = Path(__file__).parents[2] / "build" / "interop"
_DEADLINE_S = 150.0


def environment(name: str, version: str, *also: str) -> Path:
    """The Python of an environment with `name` at `version`, and with the requirements `also`.

    Where it cannot be installed the test is left out; in CI it fails.
    """
    directory = _CACHE / f"{name}-{version}"
    python = directory / "bin" / "python"
    wanted = (f"{name}=={version}", *also)

    def make() -> None:
        _run(name, sys.executable, "-m", "venv", str(directory))
        _run(name, str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)

    _once(directory, wanted, make)
    return python


def npm_environment(name: str, version: str, *also: str) -> tuple[Path, Path]:
    """node, and a directory with the package `name` at `version` and with `also`; no script of theirs runs.

    Where it cannot be installed the test is left out; in CI it fails.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        left_out.lacking(f"tests of npm's {name}", "apt install nodejs npm")
    directory = _CACHE / f"npm-{name}-{version}"
    wanted = (f"{name}@{version}", *also)

    def make() -> None:
        directory.mkdir()
        _run(
            name, npm, "install", "--prefix", str(directory), "--ignore-scripts", "--no-fund", "--no-audit",
            "--fetch-retries=1", "--fetch-timeout=20000", *wanted,
        )  # fmt: skip

    _once(directory, wanted, make)
    return Path(node), directory


def _once(directory: Path, wanted: Sequence[str], make: Callable[[], None]) -> None:
    """`make` the directory unless it is complete and made of what is `wanted`."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    complete = directory / "complete"
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        # One worker of pytest-xdist makes it, the others wait.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists() or complete.read_text() != "\n".join(wanted):
            shutil.rmtree(directory, ignore_errors=True)
            make()
            complete.write_text("\n".join(wanted))


def _run(name: str, *command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
        reason = done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"not done after {_DEADLINE_S:.0f} s"
    if reason:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up(f"{name} cannot be installed: {reason.strip().splitlines()[-1]}")
