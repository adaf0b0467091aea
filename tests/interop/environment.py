"""Foreign peers, each in a virtual environment of its own, made once and kept in build/interop.

A peer wants other versions of libraries than we do, and its licence may not be one that we import.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_CACHE = Path(__file__).parents[2] / "build" / "interop"
_DEADLINE_S = 150.0


def environment(name: str, version: str, *also: str) -> Path:
    """The Python of an environment with `name` at `version`, and with the requirements `also`.

    Where it cannot be installed the test is left out; in CI it fails.
    """
    _CACHE.mkdir(parents=True, exist_ok=True)
    directory = _CACHE / f"{name}-{version}"
    python = directory / "bin" / "python"
    complete = directory / "complete"
    wanted = "\n".join((f"{name}=={version}", *also))
    with (_CACHE / f"{name}-{version}.lock").open("w") as lock:
        # One worker of pytest-xdist makes it, the others wait.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists() or complete.read_text() != wanted:
            shutil.rmtree(directory, ignore_errors=True)
            _run(name, sys.executable, "-m", "venv", str(directory))
            _run(name, str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted.split())
            complete.write_text(wanted)
    return python


def _run(name: str, *command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
        reason = done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"not done after {_DEADLINE_S:.0f} s"
    if reason:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up(f"{name} cannot be installed: {reason.strip().splitlines()[-1]}")
