"""The connection of a meter that has one of its own: topics and session of the wire `rl-dsp`."""

from __future__ import annotations

import asyncio

from meters.carriers.connection import Connection, Hub, Limits, Login
from meters.fleet.shipment import ShipmentEntry
from meters.vendors.rl_dsp import WILL, client_id, command_topic, topic


class Device(Connection):
    """The communication processor of one meter, as seen from the network."""

    __slots__ = ("serial", "topics")

    def __init__(self, row: int, entry: ShipmentEntry, hub: Hub, gate: asyncio.Semaphore, limits: Limits) -> None:
        self.serial = entry.serial
        self.topics = {leaf: topic(entry.group, entry.serial, leaf) for leaf in ("ds", "ev", "st", "lp")}
        login = Login(
            station=entry.serial,
            client_id=client_id(entry.group, entry.serial),
            username=entry.username,
            password=entry.password,
            filters=((command_topic(entry.group, entry.serial), 1),),
            clean_session=False,
        )
        super().__init__(row, login, hub, gate, limits)

    def will(self) -> tuple[str, bytes]:
        return self.topics["st"], WILL

    def publish(self, leaf: str, payload: bytes) -> None:
        """QoS 1. The device must be reachable; paho resends after a lost connection what has no PUBACK."""
        self.send_one(self.topics[leaf], payload)
