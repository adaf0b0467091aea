"""A host application on Sparkplug: every message in the order of arrival, and the checks of a strict listener."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from meters.fleet.shipment import ShipmentEntry
from tests.meters.meter_yard import HEAD_END_KEY, until
from tests.meters.sparkplug_reader import Metric, Payload, read, write

HOST = "hes"

METRICS_OF_INTERVAL = 44
"""docs/wire-sparkplug.md, An interval."""


def collected_shipment(count: int, group: str, *, each: int = 3, profile: str = "sparkplug-plc") -> list[ShipmentEntry]:
    """Meters in turn behind collectors COL0, COL1 …, so that neighbours in the file are not behind the same one."""
    collectors = -(-count // each)
    return [
        ShipmentEntry(
            serial=f"AMI{number:08d}",
            vendor_profile=profile,
            usage_point=f"UP{number:05d}",
            group=group,
            username=f"COL{number % collectors}",
            password=f"secret{number % collectors}",
            command_public_key=HEAD_END_KEY.public_key().public_bytes_raw(),
            address=f"COL{number % collectors}",
        )
        for number in range(count)
    ]


@dataclass(frozen=True)
class Heard:
    """One message."""

    kind: str
    edge: str
    serial: str | None
    payload: Payload


@dataclass(frozen=True)
class Interval:
    end_s: int
    values: dict[str, float]
    historical: bool


@dataclass
class SparkplugEar:
    group: str
    port: int
    heard: list[Heard] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready = asyncio.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"{self.group}-ear", clean_session=True, protocol=mqtt.MQTTv311
        )
        self._client.on_connect = lambda client, *_: client.subscribe(f"spBv1.0/{self.group}/#", qos=1)
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._fences: dict[str, asyncio.Event] = {}

    def _subscribed(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.ready.set)

    async def open(self) -> SparkplugEar:
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        async with asyncio.timeout(20):
            await self.ready.wait()
        return self

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    async def caught_up(self) -> None:
        """All that the broker had before this call has been heard."""
        token = uuid4().hex
        self._fences[token] = asyncio.Event()
        self._client.publish(f"spBv1.0/{self.group}/NCMD/_fence-ear", write([("Node Control/Fence", None, token)]))
        async with asyncio.timeout(20):
            await self._fences[token].wait()

    async def state(self, online: bool, timestamp_ms: int) -> None:
        """Say STATE; returns when the broker has it."""
        payload = orjson.dumps({"online": online, "timestamp": timestamp_ms})
        await until(self._client.publish(f"spBv1.0/STATE/{HOST}", payload, qos=1, retain=True).is_published)

    def fence(self, edge: str, token: str) -> None:
        """The lab's, behind commands to devices."""
        self.send_raw(f"lab/{self.group}/DCMD/{edge}/_fence", token.encode())

    def fence_node(self, edge: str, token: str) -> None:
        """The lab's, behind commands to the edge node."""
        self.send_raw(f"lab/{self.group}/NCMD/{edge}", token.encode())

    def command(self, edge: str, name: str, value: bool | str) -> None:
        """NCMD."""
        self._client.publish(f"spBv1.0/{self.group}/NCMD/{edge}", write([(name, None, value)]))

    def tell(self, edge: str, serial: str, envelope: bytes | str, *, alias: int | None = None) -> None:
        """DCMD with a command, by its name or by its alias."""
        name = None if alias is not None else "Device Control/Command"
        text = envelope if isinstance(envelope, str) else envelope.decode()
        self.send_raw(f"spBv1.0/{self.group}/DCMD/{edge}/{serial}", write([(name, alias, text)]))

    def send_raw(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload)

    def kinds(self, edge: str, serial: str | None = None) -> list[str]:
        """What an edge node said of itself, or of one meter."""
        return [message.kind for message in self.heard if (message.edge, message.serial) == (edge, serial)]

    def mains(self, edge: str) -> list[tuple[int, object]]:
        """What a collector said of its own supply in NDATA, by the alias of its NBIRTH: [(when, value)]."""
        alias, told = None, []
        for message in self.heard:
            if message.edge == edge and message.kind == "NBIRTH":
                alias = message.payload.by_name()["Power/Mains"].alias
            elif message.edge == edge and message.kind == "NDATA":
                (metric,) = message.payload.metrics
                assert (metric.name, metric.alias) == (None, alias)
                assert metric.timestamp_ms is not None
                told.append((metric.timestamp_ms // 1000, metric.value))
        return told

    def data(self, serial: str) -> list[dict[str, Metric]]:
        """DDATA of a meter, by the names that its last DBIRTH gave to the aliases; without those of intervals."""
        return [
            named
            for named in self._named(serial)
            if not any(name.startswith("Interval/") for name in named) or "Answer/Command" in named
        ]

    def intervals(self, serial: str) -> list[Interval]:
        """Those of blocks and make-up reports, in the order of arrival."""
        found = []
        for message, names in self._data_messages(serial):
            metrics = message.payload.metrics
            if not names[metrics[0].alias].startswith("Interval/"):
                continue
            found += _intervals(metrics, names)
        return found

    def answers(self, serial: str) -> list[tuple[dict[str, Metric], list[Interval]]]:
        """Parts of answers to commands, each with its intervals."""
        found = []
        for message, names in self._data_messages(serial):
            metrics = message.payload.metrics
            if names[metrics[0].alias].startswith("Answer/"):
                head = {names[m.alias]: m for m in metrics[:5]}
                found.append((head, _intervals(metrics[5:], names)))
        return found

    def events(self, serial: str) -> list[tuple[str, dict[str, str], bool]]:
        """(code, detail, historical) each."""
        return [
            (data["Event/Code"].value, orjson.loads(data["Event/Detail"].value), data["Event/Code"].historical)
            for data in self.data(serial)
            if "Event/Code" in data
        ]

    def assert_strict(self) -> None:
        """As a host that asks for a rebirth at the least fault would have it: births first, `seq` without a gap."""
        seq: dict[str, int] = {}
        born: dict[str, set[str]] = {}
        session: dict[str, int] = {}
        for message in self.heard:
            edge = message.edge
            match message.kind:
                case "NBIRTH":
                    assert message.payload.seq == 0
                    session[edge] = message.payload.by_name()["bdSeq"].value
                    seq[edge], born[edge] = 0, set()
                    continue
                case "NDEATH":
                    assert message.payload.seq is None
                    (metric,) = message.payload.metrics
                    if edge in session:
                        # Of this session, or of a connection that was never born.
                        assert metric.value in (session[edge], (session[edge] + 1) % 256)
                        if metric.value == session[edge]:
                            born.pop(edge, None)
                    continue
                case "NCMD" | "DCMD":
                    continue
            assert edge in born, f"{message.kind} before the birth of {edge}"
            seq[edge] = (seq[edge] + 1) % 256
            assert message.payload.seq == seq[edge]
            if message.kind == "NDATA":
                continue
            assert message.serial is not None
            if message.kind == "DBIRTH":
                born[edge].add(message.serial)
            else:
                assert message.serial in born[edge], f"{message.kind} before the birth of {message.serial}"
            if message.kind == "DDEATH":
                born[edge].discard(message.serial)

    def _named(self, serial: str) -> list[dict[str, Metric]]:
        return [
            {names[metric.alias]: metric for metric in message.payload.metrics}
            for message, names in self._data_messages(serial)
        ]

    def _data_messages(self, serial: str) -> list[tuple[Heard, dict[int | None, str]]]:
        names: dict[int | None, str] = {}
        found = []
        for message in self.heard:
            if message.serial == serial and message.kind == "DBIRTH":
                names = {metric.alias: metric.name or "" for metric in message.payload.metrics}
            elif message.serial == serial and message.kind == "DDATA":
                found.append((message, names))
        return found

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        _, _, kind, edge, *serial = message.topic.split("/")
        payload = bytes(message.payload)
        if edge.startswith("_fence"):
            fence = self._fences.get(read(payload).metrics[0].value)
            if fence is not None:
                self._loop.call_soon_threadsafe(fence.set)
        elif kind not in ("NCMD", "DCMD"):
            self.heard.append(Heard(kind, edge, serial[0] if serial else None, read(payload)))


def _intervals(metrics: list[Metric], names: dict[int | None, str]) -> list[Interval]:
    found = []
    for start in range(0, len(metrics), METRICS_OF_INTERVAL):
        run = metrics[start : start + METRICS_OF_INTERVAL]
        assert len(run) == METRICS_OF_INTERVAL
        (timestamp_ms,) = {metric.timestamp_ms for metric in run}
        assert timestamp_ms is not None
        values = {names[metric.alias].removeprefix("Interval/"): metric.value for metric in run}
        found.append(Interval(timestamp_ms // 1000, values, run[0].historical))
    return found


def instant(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
