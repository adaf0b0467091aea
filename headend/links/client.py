"""paho-mqtt over a socket of ours: it keeps the session, publishes, and repeats what was not acknowledged. MQTT 3.1.1.

Received messages are mostly taken from the buffer before it sees them (headend/links/transport.py).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from headend.errors import BrokerRefused
from headend.links.transport import BufferedSocket
from headend.settings import HeadEndSettings

_PINGREQ = b"\xc0\x00"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when the connection breaks, at QoS 1, retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """Which session is kept: `filters` at QoS 1; with `clean`, the broker forgets it at each disconnection.

    `will` is asked for at each connection.
    """

    client_id: str
    filters: tuple[str, ...]
    clean: bool = False
    certificate: Path | None = None
    will: Callable[[], Will] | None = None


class _Paho(paho.Client):
    """paho over a socket that is already connected."""

    wire: BufferedSocket | None = None

    def _create_socket(self) -> "paho.SocketLike":
        assert self.wire is not None
        return cast("paho.SocketLike", self.wire)


class Client:
    """One session's. `on_message(topic, payload, packet_id)` for what comes past the buffer.

    `on_gone(reason)` when paho finds the connection at its end.
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        session: Session,
        *,
        on_message: Callable[[str, bytes, int], None],
        on_gone: Callable[[str], None],
    ) -> None:
        self._session = session
        self._broker = f"{settings.broker_host}:{settings.broker_port}"
        self._on_message = on_message
        self._on_gone = on_gone
        self._keep_alive_s = settings.keep_alive_s
        self._handed_over = 0
        self._unacknowledged: set[int] = set()
        self._settled = asyncio.Event()
        self._connack: asyncio.Future[tuple[bool, ReasonCode]] | None = None
        self._suback: asyncio.Future[list[ReasonCode]] | None = None
        #: Whether a connection stands.
        self.is_open = False
        self._paho = self._new_paho(settings)

    def _new_paho(self, settings: HeadEndSettings) -> _Paho:
        client = _Paho(
            CallbackAPIVersion.VERSION2,
            client_id=self._session.client_id,
            clean_session=self._session.clean,
            protocol=paho.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if settings.broker_username is not None:
            secret = settings.broker_password
            client.username_pw_set(settings.broker_username, secret.get_secret_value() if secret else None)
        # A sweep may command a whole fleet; neither limit is for our own broker.
        client.max_inflight_messages_set(0xFFFF)
        client.max_queued_messages_set(0)
        client.on_connect = self._connected
        client.on_disconnect = lambda _client, _userdata, _flags, reason, _properties: self._on_gone(str(reason))
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        client.on_publish = self._published
        client.connect_async(settings.broker_host, settings.broker_port, keepalive=settings.keep_alive_s)
        return client

    async def open(self, wire: BufferedSocket) -> None:
        """Connect over `wire`, and subscribe. Raises BrokerRefused, ConnectionResetError."""
        loop = asyncio.get_running_loop()
        self._connack, self._suback = loop.create_future(), loop.create_future()
        self._paho.wire = wire
        if self._session.will is not None:
            will = self._session.will()
            self._paho.will_set(will.topic, will.payload, qos=1, retain=True)
        self._paho.reconnect()
        wire.resume_reading()
        session_present, reason = await self._connack
        if reason.is_failure:
            raise BrokerRefused(
                f"the broker at {self._broker} refuses client {self._session.client_id!r}: {reason}; "
                "check user name and password"
            )
        filters = self._session.filters
        self._paho.subscribe([(name, 1) for name in filters])
        # A standing session may have more for us than we can take before we have committed: then SUBACK is behind it.
        if not session_present:
            granted = await self._suback
            refused = [name for name, found in zip(filters, granted, strict=False) if found.is_failure]
            if refused:
                raise BrokerRefused(f"the broker at {self._broker} does not let us subscribe to {', '.join(refused)}")
        if self._paho.socket() is None:
            raise ConnectionResetError("the connection was closed at once")
        self.is_open = True

    def close(self, *, in_order: bool = False) -> None:
        """The connection is no more; `in_order`: say so to the broker."""
        was_open, self.is_open = self.is_open, False
        if in_order and was_open:
            self._paho.disconnect()
        for future in (self._connack, self._suback):
            if future is not None and not future.done():
                future.set_exception(ConnectionResetError("the broker closed the connection"))
                # Nobody may be waiting for it any more.
                future.exception()
        self._paho.wire = None
        self._settled.set()

    def read(self) -> bool:
        """Take what the buffer has for paho. Whether there was a message in it."""
        before = self._handed_over
        self._paho.loop_read()
        return self._handed_over > before

    def write(self) -> None:
        """Send what paho has to send."""
        if self._paho.want_write():
            self._paho.loop_write()

    async def keep_alive(self, is_paused: Callable[[], bool]) -> None:
        """Ping, and find out if the broker does not answer, until cancelled."""
        pause_s = min(1.0, self._keep_alive_s / 4)
        pinged_s = time.monotonic()
        while True:
            await asyncio.sleep(pause_s)
            if not is_paused():
                self._paho.loop_misc()
            elif self._paho.wire is not None and time.monotonic() - pinged_s > self._keep_alive_s / 3:
                # Unread, the broker's answers cannot be waited for; but it must know that we live.
                pinged_s = time.monotonic()
                self._paho.wire.send(_PINGREQ)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish at QoS 1; returns the packet identifier.

        Repeated after a reconnect until it is acknowledged, unless the session is clean.
        """
        info = self._paho.publish(topic, payload, qos=1, retain=retain)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise RuntimeError(f"paho would not take a message for {topic}: {info.rc!r}")
        self._unacknowledged.add(info.mid)
        self._settled.clear()
        return info.mid

    def publish_once(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0: if the connection breaks, or is not there, it is lost."""
        if self.is_open:
            self._paho.publish(topic, payload, qos=0)

    async def published(self) -> bool:
        """Wait for the PUBACKs of all that was published. False if the connection is lost first."""
        while self._unacknowledged and self.is_open:
            self._settled.clear()
            await self._settled.wait()
        return self.is_open

    def _connected(
        self, client: paho.Client, userdata: object, flags: paho.ConnectFlags, reason: ReasonCode, properties: object
    ) -> None:
        del client, userdata, properties
        if self._connack is not None and not self._connack.done():
            self._connack.set_result((bool(flags.session_present), reason))

    def _subscribed(
        self, client: paho.Client, userdata: object, packet_id: int, reasons: list[ReasonCode], properties: object
    ) -> None:
        del client, userdata, packet_id, properties
        if self._suback is not None and not self._suback.done():
            self._suback.set_result(reasons)

    def _received(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        del client, userdata
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\N{REPLACEMENT CHARACTER}"
        self._handed_over += 1
        self._on_message(topic, bytes(message.payload), message.mid)

    def _published(
        self, client: paho.Client, userdata: object, packet_id: int, reason: object, properties: object
    ) -> None:
        del client, userdata, reason, properties
        self._unacknowledged.discard(packet_id)
        if not self._unacknowledged:
            self._settled.set()
