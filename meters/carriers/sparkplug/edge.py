"""What one collector publishes: topics, aliases and `seq` of its session. Makes messages, sends nothing.

A *message* is (topic, payload). Meters are named by their place among the collector's meters. Each message but NBIRTH
takes the next `seq`, so what is made must be sent, in that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meters.carriers.sparkplug import payload
from meters.carriers.sparkplug.device_metrics import DeviceMetrics
from meters.carriers.sparkplug.payload import Answer, Closed, Written
from meters.carriers.sparkplug.session import Session
from meters.device.records import CommandAnswer, Event

NAMESPACE = "spBv1.0"

Message = tuple[str, bytes]


def state_topic(host: str) -> str:
    """Where a host application says whether it is online."""
    return f"{NAMESPACE}/STATE/{host}"


class Edge:
    """The edge node `name` with the devices `serials`."""

    def __init__(self, group: str, name: str, serials: Sequence[str], session: Session, metrics: DeviceMetrics) -> None:
        self.session = session
        self._metrics = metrics
        self.name = name
        self.client_id = f"{group}-{name}"
        self._serials = serials
        self._node = f"{NAMESPACE}/{group}/%s/{name}"
        self._place_of = {f"{self._node % 'DCMD'}/{serial}": place for place, serial in enumerate(serials)}
        self.command_topic = self._node % "NCMD"
        self.filters = ((self.command_topic, 1), (f"{self._node % 'DCMD'}/+", 1))

    def addressed(self, topic: str) -> int | None:
        """The meter that a DCMD of this topic is for; None: no meter of this collector."""
        return self._place_of.get(topic)

    def may_rebirth(self, topic: str) -> bool:
        """Whether a request for a rebirth on this topic is to be followed."""
        return topic == self.command_topic and self.session.born

    def command_in(self, place: int, written: Sequence[Written]) -> str | None:
        """The envelope among the metrics that a DCMD writes, named or by its alias; None: there is none."""
        alias = self._first_alias(place) + self._metrics.command_place
        for metric in written:
            if metric.name == payload.COMMAND or (metric.name is None and metric.alias == alias):
                return metric.value if isinstance(metric.value, str) else ""
        return None

    def node_death(self, now_s: int) -> Message:
        """NDEATH, also the will of the connection that is about to be made."""
        return self._node % "NDEATH", payload.encode_death(now_s, self.session.bd_seq)

    def node_birth(self, now_s: int, *, mains: bool) -> Message:
        """NBIRTH: a DBIRTH for each reachable meter is to follow."""
        self.session.be_born()
        encoded = payload.encode_node_birth(
            now_s, self.session.bd_seq, len(self._serials), mains=mains, first_alias=self._node_alias
        )
        return self._node % "NBIRTH", encoded

    def node_data(self, now_s: int, *, mains: bool) -> Message:
        """NDATA: whether the collector has supply."""
        encoded = payload.encode_node_data(now_s, self.session.next_seq(), mains=mains, first_alias=self._node_alias)
        return self._node % "NDATA", encoded

    def birth(self, now_s: int, place: int, *, interval_length_s: int, boot: int, last: Closed | None) -> Message:
        """DBIRTH."""
        encoded = self._metrics.birth(
            now_s, self.session.next_seq(), self._first_alias(place),
            interval_length_s=interval_length_s, boot=boot, last=last,
        )  # fmt: skip
        return self._topic("DBIRTH", place), encoded

    def death(self, now_s: int, place: int) -> Message:
        """DDEATH."""
        return self._topic("DDEATH", place), payload.encode_ddeath(now_s, self.session.next_seq())

    def boot(self, now_s: int, place: int, boot: int) -> Message:
        """DDATA: the meter has restarted."""
        encoded = self._metrics.boot(now_s, self.session.next_seq(), self._first_alias(place), boot)
        return self._topic("DDATA", place), encoded

    def event(self, now_s: int, place: int, event: Event, *, historical: bool) -> Message:
        """DDATA with an event."""
        encoded = self._metrics.event(
            now_s, self.session.next_seq(), self._first_alias(place), device_time_s=event.device_time_s,
            sequence=event.sequence, code=event.code, detail=event.detail, historical=historical,
        )  # fmt: skip
        return self._topic("DDATA", place), encoded

    def intervals(self, now_s: int, place: int, closed: Sequence[Closed], *, historical: bool) -> Iterator[Message]:
        """DDATA with intervals, by rising end; no message if there are none."""
        for start in range(0, len(closed), payload.INTERVALS_PER_MESSAGE):
            part = closed[start : start + payload.INTERVALS_PER_MESSAGE]
            encoded = self._metrics.intervals(
                now_s, self.session.next_seq(), self._first_alias(place), part, historical=historical
            )
            yield self._topic("DDATA", place), encoded

    def answer(self, now_s: int, place: int, answer: Answer, closed: Sequence[Closed]) -> Iterator[Message]:
        """DDATA for each part of the answer to a command; one part without intervals if there are none."""
        parts = payload.in_parts(closed, payload.INTERVALS_PER_PART)
        for number, part in enumerate(parts, start=1):
            encoded = self._metrics.answer(
                now_s, self.session.next_seq(), self._first_alias(place), answer, part, part=number, parts=len(parts)
            )
            yield self._topic("DDATA", place), encoded

    def command_answer(self, now_s: int, place: int, answer: CommandAnswer) -> Message:
        """DDATA with the answer to any other command."""
        encoded = self._metrics.command_answer(now_s, self.session.next_seq(), self._first_alias(place), answer)
        return self._topic("DDATA", place), encoded

    def _topic(self, kind: str, place: int) -> str:
        return f"{self._node % kind}/{self._serials[place]}"

    @property
    def _node_alias(self) -> int:
        """Behind those of all meters."""
        return self._first_alias(len(self._serials))

    def _first_alias(self, place: int) -> int:
        return 1 + place * len(self._metrics.specs)
