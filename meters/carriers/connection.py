"""A device's MQTT connection: paho-mqtt on asyncio through its socket callbacks, no threads and no `loop_*()` of paho.

paho's own connect blocks, so the TCP connection is made by asyncio and handed over through `_create_socket_connection`,
the method that paho calls for a socket. The other private method replaced is the one for PUBACKs: paho makes an MQTT 5
reason code and properties for each, a fifth of the cost of a reading. Both exist alike in paho 2.1 and 2.2.

A device can lose its connection in ways that a library does not offer: fall silent with the socket open (no power, no
uplink), and drop it without DISCONNECT. The drop is a half-close: our FIN tells the broker that we are gone, and its
own end of stream says that it has dealt with that, will included. So whoever awaits the drop knows the will was sent.

An orderly end is a DISCONNECT and the same half-close. paho's own `disconnect` closes the socket at once. A device that
comes back over a new connection may then be heard before its DISCONNECT: the broker takes the new connection for a
take-over of the old one, whose will it publishes.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal, Protocol

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from meters.carriers.tls import TlsFiles, secured

_READ_BYTES = 65536
_DISCONNECT = b"\xe0\x00"
_PACKET_ID = struct.Struct("!H")
_SUCCESS = ReasonCode(PacketTypes.PUBACK)
_NO_PROPERTIES = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]  # paho does not annotate it


class Link(Enum):
    """State of a device's connection."""

    OFFLINE = auto()
    CONNECTING = auto()
    JOINING = auto()
    """The broker has accepted the connection, the subscription is under way."""
    ONLINE = auto()
    MUTED = auto()
    """The socket is open, but nothing passes: the device has no power or no uplink."""
    CLOSING = auto()
    """Half-closed: waiting for the broker's end of stream."""


class Hub(Protocol):
    """What a connection tells the network of its shard. `row` says which of the shard's connections it is."""

    def joined(self, row: int) -> None:
        """The device is online: connected and subscribed."""

    def lost(self, row: int) -> None:
        """A connection, or an attempt at one, ended without the device's doing."""

    def refused(self, row: int, reason: str) -> None:
        """The broker does not let the device in, or does not let it subscribe."""

    def received(self, row: int, topic: str, payload: bytes) -> None:
        """A message that the device has subscribed to."""

    def failed(self, error: BaseException) -> None:
        """An error came up where nobody awaits it; it is to be raised to whoever waits for the network next."""

    def changed(self, row: int) -> None:
        """The connection's `link` changed, or whether it is `busy`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Wall-clock limits of the transport: they guard against a broker that does not answer."""

    keep_alive_s: int
    connect_s: float = 30.0
    close_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Route:
    """The way to the broker: its resolved address and, for TLS, the files and the name that it must prove to have."""

    family: int
    address: Any
    host: str
    tls: TlsFiles | None


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, and what it subscribes to: (filter, QoS) each. `station` names its certificate, if there is one."""

    station: str
    client_id: str
    username: str
    password: str
    filters: tuple[tuple[str, int], ...]
    clean_session: bool


class _Client(mqtt.Client):
    """paho's client over a socket that is connected already, and with PUBACKs as lean as MQTT 3.1.1 has them."""

    prepared: socket.socket

    def pending(self) -> bool:
        """Whether TLS holds bytes that the kernel does not have any more, so that no reader would wake us for them."""
        sock = self._sock
        # After a half-close it has no TLS any more, and answers with zero.
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def _create_socket_connection(self) -> socket.socket:
        return self.prepared

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) != _PACKET_ID.size:
            return super()._handle_pubackcomp(cmd)
        (message_id,) = _PACKET_ID.unpack(packet)
        with self._out_message_mutex:
            if message_id in self._out_messages:
                return self._do_on_publish(message_id, _SUCCESS, _NO_PROPERTIES)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


class Connection:
    """The communication processor of one device, as seen from the network. A subclass says what its will is."""

    __slots__ = (
        "_aborted", "_client", "_concluded", "_connecting", "_corked", "_flushing", "_gate", "_give_up", "_hub",
        "_leaving", "_limits", "_login", "_loop", "_offline", "_sock", "_wiped", "_writing", "in_flight", "link", "row",
    )  # fmt: skip

    def __init__(self, row: int, login: Login, hub: Hub, gate: asyncio.Semaphore, limits: Limits) -> None:
        self.row = row
        self.link = Link.OFFLINE
        self.in_flight = 0
        """QoS 1 messages without their PUBACK, and QoS 0 messages that are not written to the socket."""
        self._login = login
        self._hub = hub
        self._gate = gate
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._client = self._new_client()
        self._sock: socket.socket | None = None
        self._concluded: asyncio.Future[bool] | None = None
        self._offline = asyncio.Event()
        self._offline.set()
        self._give_up: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._aborted = False
        self._wiped = False
        self._corked = False
        self._writing = False
        self._flushing = False
        self._leaving = False

    def will(self) -> tuple[str, bytes]:
        """Topic and payload of the will, QoS 1. With a clean session it is asked for at each connect."""
        raise NotImplementedError

    @property
    def reachable(self) -> bool:
        """Whether a publish leaves the device now."""
        return self.link is Link.ONLINE or self.link is Link.JOINING

    def send_one(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1: `send` of one message, without its list."""
        assert self.reachable, f"{self._login.client_id} publishes while {self.link}"
        self.in_flight += 1
        if self.in_flight == 1:
            self._hub.changed(self.row)
        self._enter(self._client.publish, topic, payload, 1)

    def send(self, messages: Iterable[tuple[str, bytes]], qos: int) -> None:
        """Publish (topic, payload) each. The device must be reachable.

        With QoS 1, paho resends after a lost connection what has no PUBACK, unless the session is clean.
        """
        assert self.reachable, f"{self._login.client_id} publishes while {self.link}"
        batch = list(messages)
        was_idle = self.in_flight == 0
        self.in_flight += len(batch)
        if was_idle:
            self._hub.changed(self.row)
        self._enter(self._send, batch, qos)

    def _send(self, batch: list[tuple[str, bytes]], qos: int) -> None:
        for topic, payload in batch:
            self._client.publish(topic, payload, qos)

    def flush(self) -> None:
        """Make the broker say that it has the QoS 0 messages: it handles the packets of a connection in their order.

        Subscribing once more to what is subscribed to changes nothing; brokers do not all answer an UNSUBSCRIBE from
        what was never subscribed to.
        """
        if self._flushing or self.link is not Link.ONLINE:
            return
        self._flushing = True
        self._hub.changed(self.row)
        topic, qos = self._login.filters[0]
        self._enter(self._client.subscribe, topic, qos)

    @property
    def busy(self) -> bool:
        """Whether something is under way that ends by itself: a connect, a drop, or a PUBACK to come."""
        return (
            self._connecting is not None
            or self.link is Link.CLOSING
            or (self.reachable and (self.in_flight > 0 or self._flushing))
        )

    def connect(self, find_broker: Callable[[], Awaitable[Route]]) -> None:
        """Start to connect and subscribe; the hub hears `joined` or `lost`. `find_broker` may raise OSError.

        Without effect while an attempt is under way. A drop that is under way is awaited first.
        """
        if self._connecting is not None or self.reachable:
            return
        self._aborted = False
        self._connecting = self._loop.create_task(self._connect(find_broker))
        self._connecting.add_done_callback(self._connect_done)
        self._hub.changed(self.row)

    async def _connect(self, find_broker: Callable[[], Awaitable[Route]]) -> None:
        joined = False
        async with self._gate:
            try:
                async with asyncio.timeout(self._limits.connect_s):
                    joined = await self._join(find_broker)
            except (OSError, TimeoutError):
                # Refused, unreachable or silent: all the same to a meter, which tries again later.
                joined = False
        self._connecting = None
        if not joined:
            self._concluded = None
            if self._sock is not None:
                self.drop()
            else:
                self._set_link(Link.OFFLINE)
            self._hub.lost(self.row)
        self._hub.changed(self.row)

    def _connect_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._hub.failed(error)

    async def _join(self, find_broker: Callable[[], Awaitable[Route]]) -> bool:
        await self._offline.wait()
        self.link = Link.CONNECTING
        if self._wiped or self._login.clean_session:
            self._client = self._new_client()
            self._wiped = False
            self.in_flight = 0
        route = await find_broker()
        sock = socket.socket(route.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(sock, route.address)
        except BaseException:
            sock.close()
            raise
        if route.tls is not None:
            sock = await secured(sock, route.tls, self._login.station, route.host, self._loop)
        if self._aborted:
            sock.close()
            return False
        concluded: asyncio.Future[bool] = self._loop.create_future()
        self._concluded = concluded
        self._client.prepared = sock
        self._enter(self._client.reconnect)
        return await concluded

    def mute(self) -> None:
        """From now on nothing passes in either direction, but the socket stays open."""
        self._abort()
        if self.link is Link.ONLINE and self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._stop_writing()
            self._set_link(Link.MUTED)

    def unmute(self) -> None:
        """Power or uplink are back before the socket was dropped."""
        assert self.link is Link.MUTED
        assert self._sock is not None
        self._loop.add_reader(self._sock, self._on_ready, self._client.loop_read)
        self._set_link(Link.ONLINE)
        self._enter(self._client.loop_write)
        self._read_pending()

    def drop(self) -> None:
        """Leave without DISCONNECT. Not busy any more when the broker has closed its side, or a time limit is over."""
        self._abort()
        if self._sock is None or self.link is Link.CLOSING:
            return
        self._loop.remove_reader(self._sock)
        self._stop_writing()
        self._set_link(Link.CLOSING)
        self._give_up = self._loop.call_later(self._limits.close_s, self._close_now)
        self._half_close()

    def _half_close(self) -> None:
        assert self._sock is not None
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            # The broker is gone already.
            self._close_now()
            return
        self._loop.add_reader(self._sock, self._drain)

    def forget(self) -> None:
        """The device's RAM is lost: nothing in flight is sent again. Drops the connection if there is one."""
        self.drop()
        self._wiped = True
        self.in_flight = 0
        self._hub.changed(self.row)

    def leave(self) -> None:
        """Orderly end: DISCONNECT behind all that was sent, if connected, else drop.

        Not busy any more when the broker has closed its side, or a time limit is over.
        """
        if self.link is Link.ONLINE:
            assert self._sock is not None
            self._leaving = True
            self._loop.remove_reader(self._sock)
            self._set_link(Link.CLOSING)
            self._give_up = self._loop.call_later(self._limits.close_s, self._close_now)
            self._enter(self._client.want_write)
        else:
            self.drop()

    def _say_disconnect(self) -> None:
        """All else is written."""
        assert self._sock is not None
        self._leaving = False
        self._stop_writing()
        try:
            self._sock.send(_DISCONNECT)
        except OSError:
            # The broker is gone already.
            self._close_now()
            return
        self._half_close()

    def abandon(self) -> None:
        """Close the socket without waiting for anything."""
        self._abort()
        self._close_now()

    def keep_alive(self) -> None:
        """To be called every few wall-clock seconds: pings, and notices a broker that fell silent."""
        if self.reachable:
            self._enter(self._client.loop_misc)

    def _new_client(self) -> _Client:
        login = self._login
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=login.client_id,
            clean_session=login.clean_session,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.username_pw_set(login.username, login.password)
        topic, will = self.will()
        client.will_set(topic, will, qos=1)
        client.max_inflight_messages = 0
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        # Only says where to; the socket is ours.
        client.connect_async("broker.invalid", keepalive=self._limits.keep_alive_s)
        return client

    def _enter(self, call: Callable[..., object], *args: object) -> None:
        """Run paho, then write what it queued: one send() instead of two epoll_ctl() around it."""
        if self._corked:
            call(*args)
            return
        self._corked = True
        try:
            call(*args)
            if self._client.want_write() and not self._writing and self.link is not Link.MUTED:
                self._client.loop_write()
        finally:
            self._corked = False
        if self._sock is not None and not self._writing and self._client.want_write() and self.link is not Link.MUTED:
            self._writing = True
            self._loop.add_writer(self._sock, self._on_ready, self._client.loop_write)
        if self._leaving and not self._client.want_write():
            self._say_disconnect()

    def _on_ready(self, call: Callable[[], object]) -> None:
        """Called by the event loop, which would only log an error of ours."""
        try:
            self._enter(call)
            self._read_pending()
        except Exception as error:
            self._hub.failed(error)

    def _read_pending(self) -> None:
        while self._client.pending() and self.link is not Link.MUTED and self.link is not Link.CLOSING:
            self._enter(self._client.loop_read)

    def _stop_writing(self) -> None:
        if self._writing and self._sock is not None:
            self._loop.remove_writer(self._sock)
        self._writing = False

    def _drain(self) -> None:
        assert self._sock is not None
        try:
            while self._sock.recv(_READ_BYTES):
                pass
        except BlockingIOError:
            return
        except OSError:
            # Reset by the broker: as closed as by its end of stream.
            pass
        self._close_now()

    def _close_now(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
        if self._sock is None:
            return
        self._loop.remove_reader(self._sock)
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
            while self._sock.recv(_READ_BYTES):
                pass
        except OSError:
            # Not connected any more: that is what is wanted.
            pass
        # paho sees the end of the stream, closes the socket and calls _on_disconnect.
        self._enter(self._client.loop_read)

    def _abort(self) -> None:
        self._aborted = True
        self._conclude(False)

    def _conclude(self, joined: bool) -> None:
        if self._concluded is not None and not self._concluded.done():
            self._concluded.set_result(joined)
        self._concluded = None

    def _set_link(self, link: Link) -> None:
        self.link = link
        if link is not Link.ONLINE and link is not Link.MUTED:
            self._flushing = False
        if link is Link.OFFLINE:
            self._offline.set()
        self._hub.changed(self.row)

    # paho's callbacks. Their signatures are paho's.

    def _on_socket_open(self, _client: mqtt.Client, _data: object, sock: Any) -> None:
        self._sock = sock
        self._offline.clear()
        self._loop.add_reader(sock, self._on_ready, self._client.loop_read)

    def _on_socket_close(self, _client: mqtt.Client, _data: object, sock: Any) -> None:
        # At the end of a process the socket may be collected, and closed by that, before its client.
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock)
        self._stop_writing()
        self._sock = None
        self._leaving = False
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None

    def _on_register_write(self, _client: mqtt.Client, _data: object, _sock: Any) -> None:
        """Every entry into paho is corked and writes by itself afterwards."""

    def _on_unregister_write(self, _client: mqtt.Client, _data: object, _sock: Any) -> None:
        self._stop_writing()

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._hub.refused(self.row, str(reason))
            self._conclude(False)
            return
        self._set_link(Link.JOINING)
        client.subscribe(list(self._login.filters))

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        if self._flushing and self.link is not Link.JOINING:
            self._flushing = False
            self._hub.changed(self.row)
            return
        if any(reason.is_failure for reason in reasons):
            self._hub.refused(self.row, "subscription to the command topic refused")
            self._conclude(False)
            return
        self._set_link(Link.ONLINE)
        self._hub.joined(self.row)
        self._conclude(True)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        _flags: mqtt.DisconnectFlags,
        _reason: ReasonCode,
        _properties: object,
    ) -> None:
        unexpected = self.link is Link.ONLINE
        self._set_link(Link.OFFLINE)
        self._conclude(False)
        if unexpected:
            self._hub.lost(self.row)

    def _on_publish(
        self, _client: mqtt.Client, _data: object, _mid: int, _reason: ReasonCode, _properties: object
    ) -> None:
        self.in_flight -= 1
        if self.in_flight == 0:
            self._hub.changed(self.row)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._hub.received(self.row, message.topic, bytes(message.payload))
