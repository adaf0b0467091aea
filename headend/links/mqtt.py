"""The connection to the broker: paho-mqtt on asyncio, acknowledged by hand, with back-pressure.

paho keeps the session: connecting, subscribing, keep-alive, publishing and its repetition. Received messages are taken
from the buffer before it sees them (headend/links/transport.py). MQTT 3.1.1. Nothing here decodes or stores: messages
go to `on_message` as they come, and are acknowledged, in order, when the owner says so.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from headend.errors import BrokerRefused, BrokerUnavailable
from headend.links.frames import MalformedFrame
from headend.links.tls import secured
from headend.links.transport import BufferedSocket
from headend.log import logger
from headend.settings import HeadEndSettings

_PUBACK = struct.Struct(">BBH")
_PINGREQ = b"\xc0\x00"


class _Client(paho.Client):
    """paho over a socket that is already connected."""

    wire: BufferedSocket | None = None

    def _create_socket(self) -> "paho.SocketLike":
        assert self.wire is not None
        return cast("paho.SocketLike", self.wire)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when the connection breaks, at QoS 1, retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """Which session a connection keeps: `filters` at QoS 1; with `clean`, the broker forgets it at each disconnection.

    `will` is asked for at each connection.
    """

    client_id: str
    filters: tuple[str, ...]
    clean: bool = False
    certificate: Path | None = None
    will: Callable[[], Will] | None = None


class MqttConnection:
    """One MQTT session. All methods belong to the running loop.

    `on_message(topic, payload, packet_id)`, `on_chunk()` after each read from the socket with at least one message,
    `on_lost()` when a connection that stood is gone, `on_failure(error)` when a callback raised.
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        session: Session,
        *,
        on_message: Callable[[str, bytes, int], None],
        on_chunk: Callable[[], None],
        on_lost: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._on_message = on_message
        self._on_chunk = on_chunk
        self._on_lost = on_lost
        self._on_failure = on_failure
        self._session = session
        self._connected = False
        self._paused = False
        self._held = False
        self._received_any = False
        self._unacknowledged: set[int] = set()
        self._settled = asyncio.Event()
        self._connack: asyncio.Future[tuple[bool, ReasonCode]] | None = None
        self._suback: asyncio.Future[list[ReasonCode]] | None = None
        self._misc: asyncio.Task[None] | None = None
        #: Counts connections: a packet identifier means nothing on another one.
        self.generation = 0
        self._client = self._new_client()

    def _new_client(self) -> _Client:
        settings, session = self._settings, self._session
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=session.client_id,
            clean_session=session.clean,
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
        client.on_connect = self._paho_connected
        client.on_disconnect = self._paho_disconnected
        client.on_subscribe = self._paho_subscribed
        client.on_message = self._paho_message
        client.on_publish = self._paho_published
        client.connect_async(settings.broker_host, settings.broker_port, keepalive=settings.keep_alive_s)
        return client

    @property
    def connected(self) -> bool:
        """Whether the session stands."""
        return self._connected

    @property
    def address(self) -> str:
        """The broker as host:port."""
        return f"{self._settings.broker_host}:{self._settings.broker_port}"

    async def connect(self) -> None:
        """Connect and subscribe. Raises BrokerUnavailable or BrokerRefused; bounded by `connect_timeout_s`."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._connect()
        except ssl.SSLError as error:
            self._close()
            raise BrokerRefused(
                f"TLS with the broker at {self.address} fails: {error.reason or error}; do the certificates of both "
                "ends come from the authority that the other trusts, and are they valid today?"
            ) from error
        except (TimeoutError, OSError) as error:
            self._close()
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise BrokerUnavailable(
                f"no broker answers at {self.address}: {why}; is it running, is the address right?"
            ) from error
        except BrokerRefused:
            self._close()
            raise

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        sock = await self._open()
        self._connack = loop.create_future()
        self._suback = loop.create_future()
        if self._session.clean:
            # paho repeats what it has no PUBACK of, over a clean session too: an old STATE before we have subscribed.
            self._client = self._new_client()
            self._unacknowledged.clear()
        self._client.wire = BufferedSocket(sock, self._readable)
        if self._session.will is not None:
            will = self._session.will()
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self.generation += 1
        self._paused = self._held = False
        self._client.reconnect()
        self._client.wire.resume_reading()
        session_present, reason = await self._connack
        if reason.is_failure:
            raise BrokerRefused(
                f"the broker at {self.address} refuses client {self._session.client_id!r}: {reason}; "
                "check user name and password"
            )
        self._client.subscribe([(name, 1) for name in self._session.filters])
        # A standing session may have more for us than we can take before we have committed: then SUBACK is behind it.
        if not session_present:
            refused = [
                name
                for name, granted in zip(self._session.filters, await self._suback, strict=False)
                if granted.is_failure
            ]
            if refused:
                raise BrokerRefused(f"the broker at {self.address} does not let us subscribe to {', '.join(refused)}")
        if self._client.socket() is None:
            raise ConnectionResetError("the connection was closed at once")
        self._connected = True
        self._misc = loop.create_task(self._keep_alive())

    async def _open(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._settings.broker_host, self._settings.broker_port, type=socket.SOCK_STREAM)
        failure: OSError | None = None
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, address)
            except OSError as error:
                failure = error
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                # Small packets (a fence, a command) must not wait for an ACK of the last one.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                settings = self._settings
                if settings.broker_ca is None:
                    return sock
                return await secured(sock, settings.broker_ca, self._session.certificate, settings.broker_host)
        raise failure or OSError("the host name has no address")

    def pause(self) -> None:
        """Read no more until `resume`."""
        if not self._paused:
            self._paused = True
            if self._client.wire is not None:
                self._client.wire.pause_reading()

    def resume(self) -> None:
        """Read again, unless it is held."""
        if self._paused and not self._held:
            self._paused = False
            if self._client.wire is not None:
                self._client.wire.resume_reading()

    def hold(self) -> None:
        """Read no more from this connection, whoever says `resume`, until `drop`."""
        self._held = True
        self.pause()

    def drop(self) -> None:
        """End a held connection as if its broker had died: what was not read is lost with it."""
        if self._held:
            self._held = False
            self._gone("it was held, and is dropped")

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACKs of the current connection, in this order.

        Written past paho, as it keeps no state for a received QoS 1 message: its `ack` costs ten times as much.
        """
        if packet_ids and self._client.wire is not None:
            self._client.wire.send(b"".join([_PUBACK.pack(0x40, 2, packet_id) for packet_id in packet_ids]))

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish at QoS 1; returns the packet identifier.

        Repeated after a reconnect until it is acknowledged, unless the session is clean.
        """
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise RuntimeError(f"paho would not take a message for {topic}: {info.rc!r}")
        self._unacknowledged.add(info.mid)
        self._settled.clear()
        return info.mid

    def publish_once(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0: if the connection breaks, or is not there, it is lost."""
        if self._connected:
            self._client.publish(topic, payload, qos=0)

    async def published(self) -> bool:
        """Wait for the PUBACKs of all that was published. False if the connection is lost first."""
        while self._unacknowledged and self._connected:
            self._settled.clear()
            await self._settled.wait()
        return self._connected

    async def disconnect(self) -> None:
        """Leave in order; the session stays with the broker."""
        was_connected, self._connected = self._connected, False
        if was_connected:
            self._client.disconnect()
        self._close()

    def _close(self) -> None:
        self._connected = False
        if self._misc is not None:
            self._misc.cancel()
            self._misc = None
        if self._client.wire is not None:
            self._client.wire.close()
            self._client.wire = None

    async def _keep_alive(self) -> None:
        pause_s = min(1.0, self._settings.keep_alive_s / 4)
        pinged_s = time.monotonic()
        while True:
            await asyncio.sleep(pause_s)
            wire = self._client.wire
            if not self._paused:
                self._client.loop_misc()
            elif wire is not None and time.monotonic() - pinged_s > self._settings.keep_alive_s / 3:
                # Unread, the broker's answers cannot be waited for; but it must know that we live.
                pinged_s = time.monotonic()
                wire.send(_PINGREQ)

    def _readable(self) -> None:
        wire = self._client.wire
        assert wire is not None
        wire.fill()
        self._received_any = False
        try:
            while self._client.wire is wire:
                for topic, payload, packet_id in wire.publishes():
                    self._received_any = True
                    self._on_message(topic, payload, packet_id)
                if not wire.for_paho:
                    break
                self._client.loop_read()
            if self._client.want_write():
                self._client.loop_write()
            if self._received_any:
                self._on_chunk()
        except MalformedFrame as error:
            self._gone(str(error))
        except Exception as error:
            # A fault in our own code: it must stop the head-end, not vanish in the loop's exception handler.
            self._close()
            self._on_failure(error)

    def _gone(self, reason: str) -> None:
        """The connection is no more, or is of no more use."""
        for future in (self._connack, self._suback):
            if future is not None and not future.done():
                future.set_exception(ConnectionResetError("the broker closed the connection"))
                # Nobody may be waiting for it any more.
                future.exception()
        was_connected = self._connected
        self._close()
        self._settled.set()
        if was_connected:
            logger().warning("connection to the broker lost", broker=self.address, reason=reason)
            self._on_lost()

    def _paho_connected(
        self, client: paho.Client, userdata: object, flags: paho.ConnectFlags, reason: ReasonCode, properties: object
    ) -> None:
        del client, userdata, properties
        if self._connack is not None and not self._connack.done():
            self._connack.set_result((bool(flags.session_present), reason))

    def _paho_subscribed(
        self, client: paho.Client, userdata: object, packet_id: int, reasons: list[ReasonCode], properties: object
    ) -> None:
        del client, userdata, packet_id, properties
        if self._suback is not None and not self._suback.done():
            self._suback.set_result(reasons)

    def _paho_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        del client, userdata
        self._received_any = True
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\N{REPLACEMENT CHARACTER}"
        self._on_message(topic, bytes(message.payload), message.mid)

    def _paho_published(
        self, client: paho.Client, userdata: object, packet_id: int, reason: object, properties: object
    ) -> None:
        del client, userdata, reason, properties
        self._unacknowledged.discard(packet_id)
        if not self._unacknowledged:
            self._settled.set()

    def _paho_disconnected(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        del client, userdata, flags, properties
        self._gone(str(reason))
