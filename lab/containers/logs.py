"""What services said, as a run keeps it: complete but for lines that say nothing, and without escape codes."""

from __future__ import annotations

import re
from pathlib import Path

#: Each meter that loses its supply ends its connection so; and an access pattern of the head-end's names nobody.
_NOISE = {"broker": re.compile(r"unexpected eof while reading|does not contain '%c' or '%u'")}
#: What a terminal would obey: Docker itself clears lines, and devices have a say in what is logged.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(said: str) -> str:
    """Without escape codes and other characters that nobody can read."""
    return _ESCAPES.sub("", said)


def write_log(directory: Path, service: str, said: str) -> None:
    """Write `said` to a file of its own."""
    noise = _NOISE.get(service)
    lines = said.splitlines(keepends=True)
    kept = lines if noise is None else [line for line in lines if not noise.search(line)]
    (directory / f"{service}.log").write_text("".join(kept), encoding="utf-8")
