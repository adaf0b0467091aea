"""The connection of a meter that has one of its own, in the words of its vendor's wire."""

from __future__ import annotations

import asyncio

from meters.carriers.connection import Connection, Hub, Limits, Login


class Device(Connection):
    """The communication processor of one meter, as seen from the network. It publishes below the topic `home`."""

    __slots__ = ("_home", "_will", "serial")

    def __init__(
        self,
        row: int,
        login: Login,
        home: str,
        will: tuple[str, bytes],
        hub: Hub,
        gate: asyncio.Semaphore,
        limits: Limits,
    ) -> None:
        """`will`: the leaf of its topic, and its payload."""
        self.serial = login.station
        self._home = home
        self._will = will
        super().__init__(row, login, hub, gate, limits)

    def will(self) -> tuple[str, bytes]:
        leaf, payload = self._will
        return f"{self._home}/{leaf}", payload

    def publish(self, leaf: str, payload: bytes) -> None:
        """QoS 1. The device must be reachable; paho resends after a lost connection what has no PUBACK."""
        self.send_one(f"{self._home}/{leaf}", payload)
