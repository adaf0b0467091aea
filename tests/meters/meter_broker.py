"""A real broker, on a free port of its own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import left_out

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")


class Broker:
    """mosquitto where it is installed, else the broker of the iotcore wheel. `kill` is SIGKILL."""

    def __init__(
        self, directory: Path, *, configuration: str = "allow_anonymous true\n", from_wheel: bool = False
    ) -> None:
        self._from_wheel = from_wheel or MOSQUITTO is None
        self.port = _free_port()
        self.address = "127.0.0.1"
        self._directory = directory
        self._configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._from_wheel or MOSQUITTO is None:
            command = [sys.executable, "-m", "iotcore", "--port", str(self.port), "--listen", self.address]
        else:
            file = self._directory / "mosquitto.conf"
            file.write_text(
                f"listener {self.port} {self.address}\nmax_inflight_messages 0\nmax_queued_messages 0\n"
                f"log_dest none\n{self._configuration}"
            )
            command = [MOSQUITTO, "-c", str(file)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, "the broker ended at once"
                assert time.monotonic() < deadline, "the broker does not listen"
                time.sleep(0.02)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


on_both_brokers = pytest.mark.parametrize("broker", ["mosquitto", "iotcore"], indirect=True)


@pytest.fixture
def broker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """For `conftest.py` to import. Each of the two where the test is marked so."""
    kind = getattr(request, "param", None)
    if kind == "mosquitto" and MOSQUITTO is None:
        left_out.lacking(*left_out.MOSQUITTO)
    broker = Broker(tmp_path, from_wheel=kind == "iotcore")
    broker.start()
    yield broker
    broker.kill()
