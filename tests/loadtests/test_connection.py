"""What the broker is too slow to take waits, and no packet is forgotten."""

from __future__ import annotations

import socket
from typing import cast

from paho.mqtt.enums import CallbackAPIVersion

from loadtests.connection import Client


class Full:
    """As gevent's TLS while the broker reads nothing: 0. Then it takes a little at a time."""

    def __init__(self) -> None:
        self.sent = b""
        self.takes = [3, 0]

    def send(self, data: bytes) -> int:
        taken = self.takes.pop(0) if self.takes else len(data)
        self.sent += bytes(data[:taken])
        return taken

    def close(self) -> None:
        pass


def test_a_packet_of_which_nothing_goes_yet_is_sent_whole() -> None:
    client, full = Client(CallbackAPIVersion.VERSION2, client_id="COL0001"), Full()
    client._sock = cast(socket.socket, full)
    client.publish("spBv1.0/g/NBIRTH/COL0001", b"x" * 200, 0)
    while client.want_write():
        client.loop_write()
    assert full.sent == published("spBv1.0/g/NBIRTH/COL0001", b"x" * 200)


def published(topic: str, payload: bytes) -> bytes:
    """A PUBLISH of QoS 0 with a length of two bytes (MQTT 3.1.1, 2.2.3)."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + payload
    return bytes([0x30, len(body) % 128 + 128, len(body) // 128]) + body
