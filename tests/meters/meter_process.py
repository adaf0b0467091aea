"""A fleet in a process of its own, which can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.meters.meter_yard import START_S


class FleetProcess:
    """`fleet_process.py`, grant by grant. The frames come each quarter of an hour."""

    def __init__(
        self, memory: Path, port: int, group: str, count: int, wire: str = "direct", **environment: str
    ) -> None:
        program = Path(__file__).with_name("fleet_process.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(memory), str(port), group, str(count), wire],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, **environment},
        )  # fmt: skip
        self.expect("ready")

    def expect(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word

    def grant(self, now_s: int, *, frame: bool) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{now_s} {(now_s - START_S) // 900 if frame else '-'}\n")

    def wait_for_its_end(self) -> int:
        """It kills itself: its exit status."""
        return self._process.wait(timeout=60)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> None:
        _, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
