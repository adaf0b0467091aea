"""Builds the plugin that guards mosquitto: a fraction of a second, so anew for each broker."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCES = tuple(Path(__file__).with_name(name) for name in ("broker_guard.c", "broker_door.c"))
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC")
NEEDED = "a C compiler and mosquitto's headers (Debian: gcc libc6-dev mosquitto-dev libmosquitto-dev)"


def build_guard(library: Path) -> str | None:
    """Write the shared library. Returns why that cannot be done here; None if it is done."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return f"there is no C compiler; it takes {NEEDED}"
    command = [compiler, *FLAGS, "-o", str(library), *map(str, SOURCES), "-lmosquitto"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        words = next((line for line in built.stderr.splitlines() if "error" in line), "the compiler fails")
        return f"{words.strip()}; it takes {NEEDED}"
    return None
