"""Loopback ports that stay ours for the whole run."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.errors import UserError

LOOPBACK = "127.0.0.1"
_LOWEST = 10_240
_HIGHEST = 65_535
_ATTEMPTS = 200


class ReservedPort:
    """A free TCP port on 127.0.0.1, reserved until `close` or until the lab's process ends.

    The reservation is a bound socket that never listens. It is bound exclusively, so that no other run gets the port,
    and made reusable afterwards, so that a server which sets SO_REUSEADDR (all of ours do) can bind and listen beside
    it, as often as it is restarted. While no server listens, clients are refused.

    The port lies outside the range for outgoing connections: one of thousands of clients could otherwise be given it
    as its source port while the server is down, and even connect to itself.
    """

    def __init__(self) -> None:
        self._socket = _bind_exclusively()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.host = LOOPBACK
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bind_exclusively() -> socket.socket:
    outgoing = _outgoing_ports()
    candidates = [port for port in range(_LOWEST, _HIGHEST) if port not in outgoing]
    chooser = random.SystemRandom()  # not the run's seed: two runs of one seed side by side want different ports
    for port in chooser.sample(candidates, min(_ATTEMPTS, len(candidates))) or [0]:
        attempt = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            attempt.bind((LOOPBACK, port))
        except OSError:
            attempt.close()
        else:
            return attempt
    raise UserError(
        f"no free TCP port was found on {LOOPBACK} in {_ATTEMPTS} attempts",
        "Close programs that hold many ports (ss -tln shows them), or name an external database and broker.",
    )


def _outgoing_ports() -> range:
    """The ports that the kernel gives to outgoing connections (ip(7), ip_local_port_range)."""
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except FileNotFoundError:
        low, high = 32_768, 60_999  # the kernel's default
    return range(low, high + 1)
