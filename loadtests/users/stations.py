"""Users with a connection to the broker: meters by themselves, and collectors of meters (docs/wire-sparkplug.md)."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence

import gevent
import gevent.event
import orjson

from loadtests import duties, readings
from loadtests.connection import Connection
from loadtests.duties import GASP, Duty, Kind
from loadtests.plan import Station
from loadtests.users.base import Scheduled
from meters.carriers.sparkplug import payload
from meters.carriers.sparkplug.edge import Edge, Message
from meters.carriers.sparkplug.payload import INTERVALS_PER_MESSAGE, REBIRTH, Closed
from meters.carriers.sparkplug.session import FIRST_BD_SEQ_AFTER, Session
from meters.carriers.wire import Said
from meters.device.records import Event, EventCode, timestamp
from meters.vendors.registry import load_profile
from meters.vendors.wires import device_metrics, recording_wire

DRAIN_S = 20.0
"""For so long a user that stops waits for what is not acknowledged yet."""
FLUSH_EVERY_S = 1.0
BOOT = 1


class StationUser(Scheduled):
    """What both have in common: an identity, a connection, and messages under way."""

    abstract = True

    def join(self) -> None:
        stations = self.stations()
        place = self.desk.leases.take([station.name for station in stations])
        self.station = stations[place]
        self._under_way: dict[int, tuple[Duty, int, int]] = {}
        self._none_under_way = gevent.event.Event()
        self._none_under_way.set()
        self.connection = self.connect(place)
        self.connection.open()
        self.greet()

    def leave(self) -> None:
        if not hasattr(self, "station"):
            return
        if hasattr(self, "connection"):
            self.drain()
            self.connection.close()
        self.desk.leases.give_back(self.station.name)

    def drain(self) -> None:
        """Wait for what is under way, not for ever."""
        self._none_under_way.wait(DRAIN_S)

    def publish(self, duty: Duty, place: int, topic: str, data: bytes) -> None:
        """QoS 1."""
        self._none_under_way.clear()
        mid = self.connection.publish(topic, data, 1)
        self._under_way[mid] = (duty, place, len(data))

    def acknowledged(self, mid: int) -> None:
        found = self._under_way.pop(mid, None)
        if found is not None:
            self.done(*found)
        if not self._under_way:
            self._none_under_way.set()

    def lost(self) -> None:
        self.failed("connection", ConnectionError("the broker closed the connection"))
        self._none_under_way.set()
        self._next = None

    def event_of(self, duty: Duty) -> Event:
        """The event of a duty, at the meter's clock, which is right."""
        storm = self.desk.plan.shape.storm
        assert storm is not None, "events are those of a storm"
        down_s = int(self.desk.start_s + storm.at_s)
        detail = {"down_at": timestamp(down_s)}
        code = EventCode.LAST_GASP
        if duty.first != GASP:
            detail["up_at"] = timestamp(int(down_s + storm.dark_s))
            code = EventCode.POWER_RESTORE
        now_s = time.time()
        return Event(duty.meter, duty.first, code, int(now_s), now_s, orjson.dumps(detail).decode())

    @abstractmethod
    def stations(self) -> Sequence[Station]: ...

    @abstractmethod
    def connect(self, number: int) -> Connection: ...

    @abstractmethod
    def greet(self) -> None:
        """Say that it is there."""


class Meter(StationUser):
    """A meter by itself: a reading for each interval, at QoS 1."""

    def stations(self) -> Sequence[Station]:
        return self.desk.plan.meters

    def connect(self, number: int) -> Connection:
        group, serial = self.desk.plan.group, self.station.name
        self._wire = recording_wire(load_profile(self.station.vendor))
        return Connection(
            self._wire.client_id(group, serial),
            self.station,
            self.desk.plan.broker,
            number=number,
            will=self._message(self._wire.will(serial)),
            filters=((self._wire.command_topic(group, serial), 1),),
            clean=False,
            on_acknowledged=self.acknowledged,
            on_message=lambda _topic, _payload: None,
            on_lost=self.lost,
        )

    def greet(self) -> None:
        for said in self._wire.online(self.station.name, int(time.time()), BOOT):
            self.connection.publish(*self._message(said), 1)

    def duties(self, from_s: float) -> Iterator[Duty]:
        return duties.of_meter(self._meter, self.desk.plan.rhythm, from_s)

    def do(self, duty: Duty) -> None:
        place = self.desk.enter(duty)
        if duty.kind is Kind.EVENT:
            said = self._wire.event(self.event_of(duty))
        else:
            record = readings.record(duty.meter, duty.first, self.desk.plan.interval_start_s(duty.first))
            said = self._wire.reading(record, self.desk.plan.interval_s)
        self.publish(duty, place, *self._message(said))

    @property
    def _meter(self) -> int:
        return self.station.meters[0]

    def _message(self, said: Said) -> Message:
        return f"{self._wire.home(self.desk.plan.group, self.station.name)}/{said.leaf}", said.payload


class Collector(StationUser):
    """A Sparkplug edge node: births, then blocks of intervals at QoS 0, as the specification wants it.

    Those have no acknowledgement. Each second the collector makes the broker say that it has what was sent before.
    """

    def stations(self) -> Sequence[Station]:
        return self.desk.plan.collectors

    def connect(self, number: int) -> Connection:
        plan = self.desk.plan
        self._session = Session(FIRST_BD_SEQ_AFTER, has_host=False)
        serials = [plan.serials[meter] for meter in self.station.meters]
        metrics = device_metrics(load_profile(self.station.vendor))
        self._edge = Edge(plan.group, self.station.name, serials, self._session, metrics)
        self._place_of = {meter: place for place, meter in enumerate(self.station.meters)}
        self._unflushed: list[tuple[Duty, int, int]] = []
        self._flush: gevent.event.Event | None = None
        self._flush_at_s = 0.0
        self._session.connecting()
        return Connection(
            self._edge.client_id,
            self.station,
            plan.broker,
            # Beside the meters.
            number=len(plan.meters) + number,
            will=self._edge.node_death(int(time.time())),
            filters=self._edge.filters,
            clean=True,
            on_acknowledged=self.acknowledged,
            on_message=self._heard,
            on_lost=self.lost,
        )

    def greet(self) -> None:
        """Births of the node and of all meters."""
        now_s = int(time.time())
        self._send(self._edge.node_birth(now_s, mains=True))
        for place in range(len(self.station.meters)):
            length_s = self.desk.plan.interval_s
            self._send(self._edge.birth(now_s, place, interval_length_s=length_s, boot=BOOT, last=None))

    def duties(self, from_s: float) -> Iterator[Duty]:
        return duties.of_collector(list(self.station.meters), self.desk.plan.rhythm, from_s)

    def do(self, duty: Duty) -> None:
        entry = self.desk.enter(duty)
        now_s, place = int(time.time()), self._place_of[duty.meter]
        if duty.kind is Kind.EVENT:
            messages = [self._edge.event(now_s, place, self.event_of(duty), historical=False)]
        else:
            assert duty.count <= INTERVALS_PER_MESSAGE, "an entry of the ledger is one message"
            messages = list(
                self._edge.intervals(now_s, place, self._closed(duty), historical=duty.kind is Kind.BACKLOG)
            )
        for topic, data in messages:
            self.connection.publish(topic, data, 0)
            self._unflushed.append((duty, entry, len(data)))
        if self.desk.now_s() >= self._flush_at_s:
            self._flush_at_s = self.desk.now_s() + FLUSH_EVERY_S
            self._ask()

    def drain(self) -> None:
        self._ask()
        super().drain()
        # Of QoS 1, and published by itself before the edge node leaves.
        topic, data = self._edge.node_death(int(time.time()))
        self.connection.publish(topic, data, 1)

    def _ask(self) -> None:
        """Once the broker answers, it has all that was sent so far."""
        sent, self._unflushed = self._unflushed, []
        if not sent:
            return
        self._none_under_way.clear()
        gevent.spawn(self._await, self.connection.flush(), sent)

    def _await(self, flushed: gevent.event.Event, sent: list[tuple[Duty, int, int]]) -> None:
        if flushed.wait(DRAIN_S):
            for each in sent:
                self.done(*each)
        self._none_under_way.set()

    def _closed(self, duty: Duty) -> list[Closed]:
        plan = self.desk.plan
        starts = ((number, plan.interval_start_s(number)) for number in range(duty.first, duty.first + duty.count))
        return [
            Closed(start_s + plan.interval_s, readings.record(duty.meter, number, start_s))
            for number, start_s in starts
        ]

    def _heard(self, topic: str, data: bytes) -> None:
        if not self._edge.may_rebirth(topic):
            return
        try:
            written = payload.decode_command(data)
        except ValueError:
            return
        if any(metric.name == REBIRTH and metric.value is True for metric in written):
            # Not in paho's callback: births are many, and would wait for it.
            gevent.spawn(self.greet)

    def _send(self, message: Message) -> None:
        topic, data = message
        self.connection.publish(topic, data, 0)
