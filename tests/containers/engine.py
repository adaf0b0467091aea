"""A Docker engine of the tests' own, beside the machine's, which can be restarted without anybody else noticing.

It has a network namespace and a mount namespace of its own, so that neither its bridges nor its rules nor its ports are
anybody else's. Only root can make one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.containers.conftest import until


class Engine:
    """Started by whoever makes it; `close` leaves nothing behind."""

    def __init__(self) -> None:
        # Beside the machine's: where that can keep its layers, this can.
        said = subprocess.run(
            ["docker", "info", "--format", "{{.DockerRootDir}}"], capture_output=True, text=True, check=True
        )
        self._data = Path(tempfile.mkdtemp(prefix="amilab-engine-", dir=Path(said.stdout.strip()).parent))
        # Short: a socket's name may have 107 bytes.
        self._run = Path(tempfile.mkdtemp(prefix="amilab-engine-", dir="/run"))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def environment(self) -> Mapping[str, str]:
        return {"DOCKER_HOST": f"unix://{self._run}/docker.sock"}

    def inside(self, *command: str) -> Sequence[str]:
        """The command with which another one runs where this engine's ports are."""
        assert self._process is not None
        return ["nsenter", f"--net=/proc/{self._process.pid}/ns/net", *command]

    def start(self) -> None:
        """As after a boot: no bridge, no rule, no process is there."""
        run, log = self._run, (self._run / "log").open("ab")
        engine = (
            f"ip link set lo up && exec dockerd --data-root {self._data} --exec-root {run}/exec "
            f"--pidfile {run}/pid --host unix://{run}/docker.sock"
        )
        command = ["unshare", "--net", "--mount", "--propagation", "slave", "sh", "-c", engine]
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

        def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (run / "log").read_text()[-2000:]
            return self._docker("info").returncode == 0

        until(answers, "an engine of our own")

    def stop(self) -> None:
        """As in a shutdown of the machine."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(120)

    def take_images(self, names: Sequence[str]) -> None:
        """Copy images from the machine's engine."""
        with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as saved:
            subprocess.run(
                ["docker", "load", "--quiet"],
                stdin=saved.stdout,
                env={**os.environ, **self.environment},
                check=True,
                capture_output=True,
            )
        assert saved.returncode == 0

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._data)
        shutil.rmtree(self._run)

    def _docker(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["docker", *arguments], env={**os.environ, **self.environment}, capture_output=True, check=False
        )
