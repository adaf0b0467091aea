"""A Sparkplug edge node as a test needs it: protocol buffers written byte by byte, sent by a plain paho client."""

import json
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.headend.fleet import GROUP, LENGTH_S, values

INT64, UINT32, UINT64, FLOAT, BOOLEAN, STRING, DATETIME = 4, 7, 8, 9, 11, 12, 13
COUNTERS = ("1.8.0", "2.8.0", "1.29.0", "2.29.0", "21.29.0", "41.29.0", "61.29.0", "22.29.0", "42.29.0", "62.29.0")
REACTIVE = ("5.8.0", "6.8.0", "7.8.0", "8.8.0", "5.29.0", "6.29.0", "7.29.0", "8.29.0")
POWERS = (
    *("21.7.0", "22.7.0", "41.7.0", "42.7.0", "61.7.0", "62.7.0"),
    *("23.7.0", "24.7.0", "43.7.0", "44.7.0", "63.7.0", "64.7.0"),
)
INTERVAL = (
    *((f"Interval/{code}", INT64) for code in (*COUNTERS, "1.7.0", "2.7.0")),
    *((f"Interval/{code}", FLOAT) for code in ("32.7.0", "52.7.0", "72.7.0")),
    ("Interval/96.10.1", UINT32),
    *((f"Interval/{code}", INT64) for code in (*REACTIVE, "1.6.0")),
    ("Interval/1.6.0.5", DATETIME),
    *((f"Interval/{code}", INT64) for code in POWERS),
    *((f"Interval/{code}", FLOAT) for code in ("31.7.0", "51.7.0", "71.7.0", "33.7.0", "53.7.0", "73.7.0")),
)
DEVICE = (
    ("Interval/Length", UINT32),
    *INTERVAL,
    ("Event/Sequence", INT64),
    ("Event/Code", STRING),
    ("Event/Detail", STRING),
    ("Meter/Boot", UINT32),
    ("Device Control/Command", STRING),
    ("Answer/Command", STRING),
    ("Answer/From", DATETIME),
    ("Answer/To", DATETIME),
    ("Answer/Part", UINT32),
    ("Answer/Parts", UINT32),
)
TYPES = dict(DEVICE)
ALIASES = 1000
"""Of each device."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """Two's complement of 64 bits for a negative one."""
    return varint(field << 3) + varint(value & (1 << 64) - 1)


def chunk(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def value_field(datatype: int, value: object) -> bytes:
    """The member of the one-of that the specification gives to a data type."""
    if datatype == FLOAT:
        return varint(12 << 3 | 5) + struct.pack("<f", value)
    if datatype == 10:
        return varint(13 << 3 | 1) + struct.pack("<d", value)
    if datatype == BOOLEAN:
        return number(14, int(bool(value)))
    if isinstance(value, str):
        return chunk(15, value.encode())
    if isinstance(value, bytes):
        return chunk(16, value)
    assert isinstance(value, int)
    if datatype in (1, 2, 3, 5, 6, 7):
        return number(10, value & (1 << 32) - 1)
    return number(11, value)


@dataclass(frozen=True)
class M:
    """A metric; `value` None is a null. `typed`: its data type is sent along, as in births."""

    datatype: int
    value: object
    name: str = ""
    alias: int | None = None
    time_ms: int | None = 1_768_435_200_000
    typed: bool = True

    def encoded(self) -> bytes:
        out = chunk(1, self.name.encode()) if self.name else b""
        out += number(2, self.alias) if self.alias is not None else b""
        out += number(3, self.time_ms) if self.time_ms is not None else b""
        out += number(4, self.datatype) if self.typed else b""
        # Properties: engUnit = Wh, as a PropertySet of one key and one String value.
        out += chunk(9, chunk(1, b"engUnit") + chunk(2, number(1, STRING) + chunk(8, b"Wh"))) if self.typed else b""
        return out + (number(7, 1) if self.value is None else value_field(self.datatype, self.value))


def payload(metrics: Iterable[M], *, seq: int | None, time_ms: int | None = 1_768_435_200_000) -> bytes:
    out = b"" if time_ms is None else number(1, time_ms)
    out += b"".join(chunk(2, metric.encoded()) for metric in metrics)
    return out if seq is None else out + number(3, seq)


def metrics_of(data: bytes) -> dict[str, Any]:
    """The metrics of a command by name: Booleans and Strings, taken apart here and not by the head-end's code.

    An alias stands for the name that `EdgeNode.alias` gave it to.
    """
    found: dict[str, Any] = {}
    for field, value in _fields(data):
        if field == 2:
            inner = dict(_fields(value))
            assert (1 in inner) != (2 in inner), "a name or an alias, not both"
            assert 4 not in inner, "the data type stands in the birth"
            name = inner[1].decode() if 1 in inner else list(TYPES)[inner[2] % ALIASES]
            found[name] = inner[15].decode() if 15 in inner else bool(inner.get(14))
    return found


def _fields(data: bytes) -> Iterable[tuple[int, Any]]:
    at = 0

    def read() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read()
        if key & 7 == 0:
            yield key >> 3, read()
        else:
            assert key & 7 == 2
            length = read()
            at += length
            yield key >> 3, data[at - length : at]


MAINS_ALIAS = 7


class EdgeNode:
    """A collector with its session. `online` tells what it heard of the primary host."""

    def __init__(self, port: int, edge: str, *, host: str, bdseq: int = 0) -> None:
        self.edge = edge
        self.bdseq = bdseq
        self.seq = 0
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.states: list[dict[str, Any]] = []
        self.state_retained: list[bool] = []
        self._ready = threading.Event()
        self._host_topic = f"spBv1.0/STATE/{host}"
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{GROUP}-{edge}", clean_session=True)
        self.client.will_set(self.topic("NDEATH"), self._death(bdseq), qos=1)
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10)

    def _subscribe(self, client: paho.Client, *_: object) -> None:
        client.subscribe(
            [
                (f"spBv1.0/{GROUP}/NCMD/{self.edge}", 1),
                (f"spBv1.0/{GROUP}/DCMD/{self.edge}/#", 1),
                (self._host_topic, 1),
            ]
        )

    def topic(self, kind: str, device: str | None = None) -> str:
        return f"spBv1.0/{GROUP}/{kind}/{self.edge}" + (f"/{device}" if device else "")

    def send(self, topic: str, data: bytes, *, qos: int = 1) -> None:
        """QoS 1 where Sparkplug has 0, so that the test knows that the broker has it."""
        info = self.client.publish(topic, data, qos=qos)
        info.wait_for_publish(20)
        assert info.is_published()

    def next_seq(self) -> int:
        self.seq = (self.seq + 1) % 256
        return self.seq

    def skip(self) -> None:
        """A message that gets lost."""
        self.next_seq()

    def birth(self, *serials: str, time_ms: int = 1_768_435_200_000) -> None:
        self.node_birth()
        for serial in serials:
            self.device_birth(serial, time_ms=time_ms)

    def node_birth(self) -> None:
        self.seq = 0
        metrics = [
            M(UINT64, self.bdseq, "bdSeq"),
            M(BOOLEAN, False, "Node Control/Rebirth"),
            M(STRING, "", "Node Control/Fence"),
            M(UINT32, 3, "Properties/Meters"),
            M(BOOLEAN, True, "Power/Mains", MAINS_ALIAS),
        ]
        self.send(self.topic("NBIRTH"), payload(metrics, seq=0))

    def supply(self, mains: bool) -> None:
        metric = M(BOOLEAN, mains, "", MAINS_ALIAS, typed=False)
        self.send(self.topic("NDATA"), payload([metric], seq=self.next_seq()))

    def device_birth(self, serial: str, *, time_ms: int = 1_768_435_200_000, reported_s: int | None = None) -> None:
        known: dict[str, object] = {"Interval/Length": LENGTH_S, "Meter/Boot": 3}
        metrics = [M(kind, known.get(name), name, self.alias(serial, name), time_ms) for name, kind in DEVICE]
        if reported_s is not None:
            last = dict(zip(dict(INTERVAL), interval_values(serial, reported_s), strict=True))
            metrics = [
                M(metric.datatype, last[metric.name], metric.name, metric.alias, reported_s * 1000)
                if metric.name in last
                else metric
                for metric in metrics
            ]
        self.send(self.topic("DBIRTH", serial), payload(metrics, seq=self.next_seq()))

    def define(self, serial: str, metrics: Sequence[M]) -> None:
        """A DBIRTH of these metrics."""
        self.send(self.topic("DBIRTH", serial), payload(metrics, seq=self.next_seq()))

    def alias(self, serial: str, name: str) -> int:
        return ALIASES * (int(serial[-4:]) + 1) + list(TYPES).index(name)

    def data(self, serial: str, metrics: Sequence[M]) -> None:
        self.send(self.topic("DDATA", serial), payload(metrics, seq=self.next_seq()))

    def m(self, serial: str, name: str, value: object, time_s: float) -> M:
        """A metric of DDATA: alias alone."""
        return M(TYPES[name], value, "", self.alias(serial, name), int(time_s * 1000), typed=False)

    def interval(self, serial: str, end_s: int) -> list[M]:
        return [
            self.m(serial, name, value, end_s)
            for (name, _), value in zip(INTERVAL, interval_values(serial, end_s), strict=True)
        ]

    def block(self, serial: str, ends_s: Iterable[int]) -> None:
        self.data(serial, [metric for end_s in ends_s for metric in self.interval(serial, end_s)])

    def event(self, serial: str, code: str, time_s: float, sequence: int, **detail: object) -> None:
        told = (("Event/Sequence", sequence), ("Event/Code", code), ("Event/Detail", json.dumps(detail)))
        self.data(serial, [self.m(serial, name, value, time_s) for name, value in told])

    def answer(self, serial: str, claims: dict[str, Any], ends_s: Sequence[int], now_s: float) -> None:
        params = claims["params"]
        told = (
            ("Answer/Command", claims["jti"]),
            ("Answer/From", params["from"] * 1000),
            ("Answer/To", params["to"] * 1000),
            ("Answer/Part", 1),
            ("Answer/Parts", 1),
        )
        rows = [metric for end_s in ends_s for metric in self.interval(serial, end_s)]
        self.data(serial, [*(self.m(serial, name, value, now_s) for name, value in told), *rows])

    def device_death(self, serial: str, *, at_s: float | None = None) -> None:
        """`at_s`: its time; without, it has none."""
        time_ms = None if at_s is None else int(at_s * 1000)
        self.send(self.topic("DDEATH", serial), payload([], seq=self.next_seq(), time_ms=time_ms))

    def node_death(self, bdseq: int | None = None) -> None:
        self.send(self.topic("NDEATH"), self._death(self.bdseq if bdseq is None else bdseq))

    def named(self, name: str) -> list[Any]:
        """The values of all commands of this name so far."""
        return [metrics[name] for _, metrics in self.commands if name in metrics]

    @property
    def rebirths(self) -> int:
        return len(self.named("Node Control/Rebirth"))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _death(self, bdseq: int) -> bytes:
        return payload([M(UINT64, bdseq, "bdSeq")], seq=None)

    def _message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        if message.topic == self._host_topic:
            self.states.append(json.loads(message.payload))
        else:
            self.commands.append((message.topic, metrics_of(bytes(message.payload))))


def interval_values(serial: str, end_s: int) -> list[object]:
    """In the order of INTERVAL."""
    by_code = values(int(serial[-4:]), end_s)
    by_code["1.6.0.5"] = int(datetime.fromisoformat(str(by_code["1.6.0.5"])).timestamp() * 1000)
    return [by_code[name.removeprefix("Interval/")] for name, _ in INTERVAL]
