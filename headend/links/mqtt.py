"""The connection to the broker: a session on asyncio, acknowledged by hand, with back-pressure.

Nothing here decodes or stores: messages go to `on_message` as they come, and are acknowledged, in order, when the owner
says so.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from headend.errors import BrokerRefused, BrokerUnavailable
from headend.links.client import Client, Session, Will
from headend.links.frames import MalformedFrame
from headend.links.tls import secured
from headend.links.transport import BufferedSocket
from headend.log import logger
from headend.settings import HeadEndSettings

__all__ = ["MqttConnection", "Session", "Will"]

_PUBACK = struct.Struct(">BBH")
_LEAVE_S = 2.0


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
        self._session = session
        self._on_message = on_message
        self._on_chunk = on_chunk
        self._on_lost = on_lost
        self._on_failure = on_failure
        self._wire: BufferedSocket | None = None
        self._paused = False
        self._held = False
        self._misc: asyncio.Task[None] | None = None
        #: Counts connections: a packet identifier means nothing on another one.
        self.generation = 0
        self._client = Client(settings, session, on_message=on_message, on_gone=self._gone)

    @property
    def connected(self) -> bool:
        """Whether the session stands."""
        return self._client.is_open

    async def connect(self) -> None:
        """Connect and subscribe. Raises BrokerUnavailable or BrokerRefused; bounded by `connect_timeout_s`."""
        settings = self._settings
        address = f"{settings.broker_host}:{settings.broker_port}"
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                sock = await _open_socket(settings, self._session.certificate)
                if self._session.clean:
                    # paho repeats what it has no PUBACK of, over a clean session too: an old STATE before we have
                    # subscribed.
                    self._client = Client(settings, self._session, on_message=self._on_message, on_gone=self._gone)
                self._wire = BufferedSocket(sock, self._readable)
                self.generation += 1
                self._paused = self._held = False
                await self._client.open(self._wire)
        except ssl.SSLError as error:
            self._close()
            raise BrokerRefused(
                f"TLS with the broker at {address} fails: {error.reason or error}; do the certificates of both "
                "ends come from the authority that the other trusts, and are they valid today?"
            ) from error
        except (TimeoutError, OSError) as error:
            self._close()
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise BrokerUnavailable(
                f"no broker answers at {address}: {why}; is it running, is the address right?"
            ) from error
        except BrokerRefused:
            self._close()
            raise
        self._misc = asyncio.create_task(self._client.keep_alive(lambda: self._paused))

    def pause(self) -> None:
        """Read no more until `resume`."""
        if not self._paused:
            self._paused = True
            if self._wire is not None:
                self._wire.pause_reading()

    def resume(self) -> None:
        """Read again, unless it is held."""
        if self._paused and not self._held:
            self._paused = False
            if self._wire is not None:
                self._wire.resume_reading()

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
        if packet_ids and self._wire is not None:
            self._wire.send(b"".join([_PUBACK.pack(0x40, 2, packet_id) for packet_id in packet_ids]))

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1. Repeated after a reconnect until it is acknowledged, unless the session is clean."""
        self._client.publish(topic, payload, retain=retain)

    def publish_once(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0: if the connection breaks, or is not there, it is lost."""
        self._client.publish_once(topic, payload)

    async def published(self) -> bool:
        """Wait for the PUBACKs of all that was published. False if the connection is lost first."""
        return await self._client.published()

    async def disconnect(self) -> None:
        """Leave in order; the session stays with the broker. Returns when the broker has read so, or is too slow."""
        wire = self._wire
        left = wire.end_in_order() if wire is not None and self.connected else None
        self._close(in_order=True)
        if wire is None or left is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_S):
                await left
        except TimeoutError:
            wire.abandon()

    def _close(self, *, in_order: bool = False) -> None:
        self._client.close(in_order=in_order)
        if self._misc is not None:
            self._misc.cancel()
            self._misc = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _readable(self) -> None:
        wire = self._wire
        assert wire is not None
        wire.fill()
        received_any = False
        try:
            while self._wire is wire:
                for topic, payload, packet_id in wire.publishes():
                    received_any = True
                    self._on_message(topic, payload, packet_id)
                if not wire.for_paho:
                    break
                received_any |= self._client.read()
            self._client.write()
            if received_any:
                self._on_chunk()
        except MalformedFrame as error:
            self._gone(str(error))
        except Exception as error:
            # A fault in our own code: it must stop the head-end, not vanish in the loop's exception handler.
            self._close()
            self._on_failure(error)

    def _gone(self, reason: str) -> None:
        """The connection is no more, or is of no more use."""
        was_connected = self.connected
        self._close()
        if was_connected:
            broker = f"{self._settings.broker_host}:{self._settings.broker_port}"
            logger().warning("connection to the broker lost", broker=broker, reason=reason)
            self._on_lost()


async def _open_socket(settings: HeadEndSettings, certificate: Path | None) -> socket.socket:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(settings.broker_host, settings.broker_port, type=socket.SOCK_STREAM)
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
            if settings.broker_ca is None:
                return sock
            return await secured(sock, settings.broker_ca, certificate, settings.broker_host)
    raise failure or OSError("the host name has no address")
