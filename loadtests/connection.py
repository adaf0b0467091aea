"""One MQTT connection among the greenlets of a Locust process.

paho's own loop waits by select(), or makes a selector for each wait where Locust has it do so (locust.contrib.mqtt);
here one greenlet waits for the socket and hands it to paho's functions for foreign loops. Writing is done by whoever
publishes. Locust has patched `socket` and `ssl`, so a greenlet that waits lets the others run.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.socket
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from loadtests.plan import Broker, Station

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, as the meters' (meters/carriers/tls.py)."""
KEEP_ALIVE_S = 60
CONNECT_S = 30.0
_TICK_S = 15.0
_PER_SOURCE = 20_000
"""Connections from one source address, of which each has some 28,000 ports."""


class ConnectionFailed(Exception):  # noqa: N818 - reads as the sentence that it is
    """The broker cannot be reached, or does not let the station in."""


class Client(paho.Client):
    """paho's, that keeps a packet of which TLS takes nothing yet: gevent says 0 there, where Python's `ssl` raises."""

    def _sock_send(self, buf: bytes | bytearray) -> int:
        sent = super()._sock_send(buf)
        if not sent:
            self._call_socket_register_write()
            raise BlockingIOError
        return sent


class Connection:
    """`on_acknowledged`: the broker has a message of QoS 1, by its packet identifier. `on_lost`: it ended by itself."""

    def __init__(
        self,
        client_id: str,
        station: Station,
        broker: Broker,
        *,
        number: int,
        will: tuple[str, bytes],
        filters: tuple[tuple[str, int], ...],
        clean: bool,
        on_acknowledged: Callable[[int], None],
        on_message: Callable[[str, bytes], None],
        on_lost: Callable[[], None],
    ) -> None:
        """:param number: of the station, for its source address where there are many."""
        self._broker = broker
        self._filters = list(filters)
        self._source = _source(broker.host, number)
        self._on_lost = on_lost
        self._joined = gevent.event.AsyncResult()
        self._flushed: dict[int, gevent.event.Event] = {}
        self._leaving = False
        self._reader: Any = None
        self._writer: Any = None
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
        client.will_set(*will, qos=1)
        if broker.ca is not None and broker.identities is not None:
            context = ssl.create_default_context(cafile=broker.ca)
            context.set_ciphers(CIPHERS)
            context.load_cert_chain(Path(broker.identities) / f"{station.name}.pem")
            client.tls_set_context(context)
        else:
            client.username_pw_set(station.username, station.password)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_publish = lambda _client, _data, mid, *_: on_acknowledged(mid)
        client.on_message = lambda _client, _data, message: on_message(message.topic, bytes(message.payload))
        client.on_disconnect = self._disconnected
        self._client = client

    def open(self) -> None:
        """Connect and subscribe. Raises ConnectionFailed."""
        try:
            self._client.connect(
                self._broker.host, self._broker.port, keepalive=KEEP_ALIVE_S, bind_address=self._source
            )
            self._reader = gevent.spawn(self._read)
            self._joined.get(timeout=CONNECT_S)
        except (OSError, gevent.Timeout, ValueError) as error:
            raise ConnectionFailed(str(error) or type(error).__name__) from error

    def publish(self, topic: str, payload: bytes, qos: int) -> int:
        """Returns the packet identifier, by which the message is acknowledged if its QoS is 1."""
        info = self._client.publish(topic, payload, qos)
        self._write_the_rest()
        return info.mid

    def flush(self) -> gevent.event.Event:
        """An event that the broker has all messages of QoS 0 so far: it handles packets in their order.

        Subscribing once more to what is subscribed to changes nothing.
        """
        event = gevent.event.Event()
        _, mid = self._client.subscribe(self._filters[:1])
        if mid is not None:
            self._flushed[mid] = event
        self._write_the_rest()
        return event

    def close(self) -> None:
        """Leave in order: without the will."""
        self._leaving = True
        self._client.disconnect()
        if self._reader is not None:
            self._reader.kill(block=False)

    def _connected(self, _client: paho.Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            self._joined.set_exception(ConnectionFailed(f"the broker refuses {self._client._client_id!r}: {reason}"))
        else:
            self._client.subscribe(self._filters)

    def _subscribed(self, _client: paho.Client, _data: object, mid: int, reasons: Any, _properties: object) -> None:
        flushed = self._flushed.pop(mid, None)
        if flushed is not None:
            flushed.set()
        elif any(reason.is_failure for reason in reasons):
            self._joined.set_exception(ConnectionFailed("the broker refuses a subscription"))
        else:
            self._joined.set(None)

    def _disconnected(self, *_: object) -> None:
        if not self._joined.ready():
            self._joined.set_exception(ConnectionFailed("the broker closed the connection"))
        elif not self._leaving:
            self._on_lost()

    def _read(self) -> None:
        while (sock := self._client.socket()) is not None:
            # What TLS has decrypted already, the kernel does not tell of.
            if not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                try:
                    gevent.socket.wait_read(sock.fileno(), _TICK_S, _Quiet())
                except _Quiet:
                    self._client.loop_misc()
                    continue
            if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            self._write_the_rest()

    def _write_the_rest(self) -> None:
        if self._client.want_write() and (self._writer is None or self._writer.dead):
            self._writer = gevent.spawn(self._write)

    def _write(self) -> None:
        while self._client.want_write() and (sock := self._client.socket()) is not None:
            gevent.socket.wait_write(sock.fileno())
            if self._client.loop_write() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return


class _Quiet(Exception):  # noqa: N818 - names the state
    """Nothing came for a while."""


def _source(host: str, number: int) -> str:
    """All of 127.0.0.0/8 is this machine: on loopback there are as many source addresses as are needed."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return str(ipaddress.ip_address("127.0.0.1") + number // _PER_SOURCE) if loopback else ""
