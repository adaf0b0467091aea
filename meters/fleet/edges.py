"""What the collectors of a shard say: who is born, and to whom that is known. Sends over the collectors' connections.

Nothing here outlives the process: after a restart everybody is born again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from meters.carriers.connection import Connection, Hub, Limits, Link, Login
from meters.carriers.sparkplug.device_metrics import DeviceMetrics
from meters.carriers.sparkplug.edge import Edge, Message
from meters.carriers.sparkplug.payload import Answer, Closed
from meters.carriers.sparkplug.session import Session
from meters.device.facts import CollectedFacts
from meters.device.records import CommandAnswer, Event, ProfileAnswer
from meters.device.state import Rows, ShardState, field
from meters.fleet.collectors import Collectors
from meters.fleet.network import Network
from meters.fleet.shipment import ShipmentEntry
from meters.fleet.unreported import Unreported


class EdgeConnection(Connection):
    """A collector's connection. Each has a new client and a new will."""

    __slots__ = ("_death",)

    def __init__(
        self, row: int, login: Login, death: Callable[[], Message], hub: Hub, gate: asyncio.Semaphore, limits: Limits
    ) -> None:
        self._death = death
        super().__init__(row, login, hub, gate, limits)

    def will(self) -> Message:
        return self._death()


def make_edges(
    entries: Sequence[ShipmentEntry], collectors: Collectors, metrics: DeviceMetrics, *, has_host: bool
) -> list[Edge]:
    """The edge node of each collector, going on from the `bd_seq` in its state."""
    edges = []
    for number, name in enumerate(collectors.names):
        rows = collectors.rows(number)
        session = Session(int(collectors.state["bd_seq"][number]), has_host=has_host)
        serials = [entries[row].serial for row in rows.tolist()]
        edges.append(Edge(entries[rows[0]].group, name, serials, session, metrics))
    return edges


class Edges:
    """The collectors' voices: `edges[c]` over `network.devices[c]`. `now_s` is the present, simulated."""

    def __init__(
        self,
        edges: Sequence[Edge],
        network: Network[EdgeConnection],
        collectors: Collectors,
        state: ShardState,
        unreported: Unreported,
        facts: CollectedFacts,
    ) -> None:
        self.born = np.zeros(len(state), dtype=bool)
        """Meters (n,) that have a DBIRTH in the present session of their collector, and no DDEATH."""
        self._edges = edges
        self._network = network
        self._collectors = collectors
        self._unreported = unreported
        self._interval_length_s = facts.interval_length_s
        self._boots = field(state, "boots")
        self._boot_told = np.zeros(len(state), dtype=np.int64)
        self._mains_told = np.zeros(len(edges), dtype=bool)

    def speaks(self, number: int) -> bool:
        """Whether the collector is born and connected."""
        return self._edges[number].session.born and self._network.devices[number].link is Link.ONLINE

    @property
    def connected(self) -> int:
        """Meters that can be reached now, as far as the collectors know."""
        speaking: NDArray[np.bool_] = np.array([self.speaks(number) for number in range(len(self._edges))])
        return int((self.born & speaking[self._collectors.of_row]).sum())

    def place(self, row: int) -> int:
        """Which of its collector's meters it is."""
        return row - int(self._collectors.first[self._collectors.of_row[row]])

    def send(self, number: int, messages: Sequence[Message]) -> None:
        """Publish, if the collector is connected."""
        if messages and self._network.devices[number].link is Link.ONLINE:
            self._network.sent(number, len(messages), acknowledged=False)
            self._network.devices[number].send(messages, qos=0)

    def be_born(self, number: int, readable: Rows, now_s: int) -> None:
        """NBIRTH, and a DBIRTH for each of these meters, which are all that the collector reaches."""
        self.born[self._collectors.rows(number)] = False
        self._mains_told[number] = mains = self._has_mains(number)
        messages = [self._edges[number].node_birth(now_s, mains=mains)]
        self.send(number, messages + self._births(number, readable, now_s))

    def present(self, number: int, rows: Rows, now_s: int) -> None:
        """DBIRTH of those of these meters that have none, and the boot of those that have restarted since theirs."""
        messages = self._births(number, rows[~self.born[rows]], now_s)
        for row in rows[self._boot_told[rows] != self._boots[rows]].tolist():
            self._boot_told[row] = self._boots[row]
            messages.append(self._edges[number].boot(now_s, self.place(row), int(self._boots[row])))
        self.send(number, messages)

    def tell_mains(self, number: int, now_s: int) -> None:
        """NDATA, if the collector has lost its supply, or has it back, since it last said so."""
        mains = self._has_mains(number)
        if self._mains_told[number] != mains and self.speaks(number):
            self._mains_told[number] = mains
            self.send(number, [self._edges[number].node_data(now_s, mains=mains)])

    def declare_dead(self, rows: Rows, now_s: int) -> None:
        """DDEATH of those of these meters that are born."""
        for row in rows[self.born[rows]].tolist():
            number = int(self._collectors.of_row[row])
            if self.speaks(number):
                self.born[row] = False
                self.send(number, [self._edges[number].death(now_s, self.place(row))])

    def push(self, event: Event, now_s: int, *, historical: bool) -> bool:
        """An event of a meter. Returns whether it was sent."""
        number = int(self._collectors.of_row[event.meter])
        if not self.speaks(number):
            return False
        place = self.place(event.meter)
        self.send(number, [self._edges[number].event(now_s, place, event, historical=historical)])
        return True

    def intervals(self, row: int, closed: Sequence[Closed], now_s: int, *, historical: bool) -> list[Message]:
        """Those of a meter, to be sent in this order."""
        edge = self._edges[int(self._collectors.of_row[row])]
        return list(edge.intervals(now_s, self.place(row), closed, historical=historical))

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer, now_s: int) -> list[Message]:
        """The answer of a meter to a command, to be sent in this order."""
        edge, place = self._edges[int(self._collectors.of_row[row])], self.place(row)
        if isinstance(answer, CommandAnswer):
            return [edge.command_answer(now_s, place, answer)]
        said = Answer(answer.command_id, answer.device_time_s, answer.from_s, answer.to_s)
        return list(edge.answer(now_s, place, said, [self._unreported.closed(record) for record in answer.records]))

    def say_goodbye(self, number: int, now_s: int) -> None:
        """NDEATH: a will is not sent after an orderly end."""
        if self.speaks(number):
            self._network.sent(number)
            self._network.devices[number].send([self._edges[number].node_death(now_s)], qos=1)

    def ended(self, number: int) -> None:
        """The connection is gone, and all births with it."""
        self._edges[number].session.ended()
        self.born[self._collectors.rows(number)] = False

    def _has_mains(self, number: int) -> bool:
        return bool(self._collectors.state["mains"][number])

    def _births(self, number: int, rows: Rows, now_s: int) -> list[Message]:
        last = self._unreported.last(rows)
        self._boot_told[rows] = self._boots[rows]
        self.born[rows] = True
        return [
            self._edges[number].birth(
                now_s,
                self.place(row),
                interval_length_s=self._interval_length_s,
                boot=int(self._boots[row]),
                last=last.get(row),
            )
            for row in rows.tolist()
        ]
