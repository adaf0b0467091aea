"""Meters behind collectors that speak Sparkplug B: docs/wire-sparkplug.md.

A collector reads its meters in blocks. What it has reported of each is kept as a number in the meter's state, so what
could not be reported (no uplink, no host, no supply, a killed process) follows as soon as it can be, and is historical.
A meter can be *read* when its communication processor runs and its link to the collector is up; it can be *heard* when
besides its collector is born.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import structlog
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.carriers.connection import Hub, Limits, Link, Login
from meters.carriers.sparkplug.device_metrics import DeviceMetrics
from meters.carriers.sparkplug.edge import state_topic
from meters.carriers.sparkplug.payload import REBIRTH, decode_command
from meters.carriers.sparkplug.session import Move
from meters.device.backoff import Backoff
from meters.device.facts import CollectedFacts
from meters.device.memory import Kept
from meters.device.records import CommandAnswer, Event, IntervalRecord, ProfileAnswer
from meters.device.state import NEVER_S, NO_ROWS, Rows, field
from meters.device.supply import Change, Changed, Supplies
from meters.errors import FleetError
from meters.fleet.collectors import Collectors
from meters.fleet.core import Core
from meters.fleet.edges import EdgeConnection, Edges, make_edges
from meters.fleet.last_mile import AtOnce, LastMile, Sayings
from meters.fleet.network import FleetSettled, Network
from meters.fleet.parts import Timers
from meters.fleet.recording import Recording
from meters.fleet.unreported import Unreported
from meters.radio.faults import NetworkFault

_log = structlog.get_logger("meters.fleet.collected")


class Collected:
    """The collectors of one vendor with their meters. Rows are in the order of the meters' addresses."""

    registers_due_s = NEVER_S

    def __init__(self, core: Core, metrics: DeviceMetrics) -> None:
        """`core`: of a setup that is `by_collector`. Raises FleetError."""
        self._core = core
        self._metrics = metrics
        self._facts = cast(CollectedFacts, core.profile.facts)
        self._collectors = Collectors(core.entries, core.setup.seed, self._facts)
        if both := self._collectors.number_of.keys() & core.row_of.keys():
            raise FleetError(f"both a meter and a collector: {', '.join(sorted(both))}")
        self._backoff = Backoff(self._collectors.keys, self._facts)
        self._report_due_s = np.full(len(self._collectors.names), NEVER_S)
        self._emptied = self._started = self._closing = self._reporting = NO_ROWS
        self._unreachable = NO_ROWS
        core.wire_state = self._kept_state

    def attach(self, supply: Supplies, record: Recording, *, new: bool) -> None:
        """What has been made of the memory that is open now; `new`: nothing was kept in it."""
        self._supply = supply
        self._record = record
        self._unreported = Unreported(self._core.state, self._core.memory, self._facts.interval_length_s)
        if new:
            self._unreported.begin()

    @property
    def stations(self) -> frozenset[str]:
        return frozenset((*self._core.row_of, *self._collectors.names))

    @property
    def sockets(self) -> int:
        return len(self._collectors.names)

    @property
    def refusals(self) -> int:
        return self._network.refusals

    @property
    def losses(self) -> int:
        return self._network.losses

    async def settle(self) -> FleetSettled:
        self._mile.flush()
        return replace(await self._network.settle(), connected=self._voices.connected)

    async def await_fence(self, token: str, stations: Collection[str]) -> None:
        """A meter is fenced with its collector."""
        rows, numbers = self._addressed(stations)
        await self._network.await_fence(token, {*numbers.tolist(), *self._collectors.of_row[rows].tolist()})

    async def wait_disconnected(self) -> None:
        await self._network.wait_disconnected()

    def lose_uplink(self, stations: Collection[str]) -> None:
        """A collector loses its network, a meter its link to the collector."""
        rows, numbers = self._addressed(stations)
        rows = rows[np.isnan(self._core.state["uplink_lost_at_s"][rows])]
        self._core.state["uplink_lost_at_s"][rows] = self._core.now_s
        self._lost_sight_of(rows)
        for number in self._collectors.lose_uplink(numbers, self._core.now_s).tolist():
            self._backoff.stop(np.array([number]))
            self._network.devices[number].mute()
        self._core.commit(rows)
        self._mile.link_changed(self._collectors.of_row[rows])

    def restore_uplink(self, stations: Collection[str]) -> None:
        """Collectors whose socket is still open go on; others try to connect at a moment of their back-off."""
        rows, numbers = self._addressed(stations)
        rows = rows[~np.isnan(self._core.state["uplink_lost_at_s"][rows])]
        self._core.state["uplink_lost_at_s"][rows] = np.nan
        back, lost_for_s = self._collectors.restore_uplink(numbers, self._core.now_s)
        able = self._collectors.able(back)
        self._backoff.restored(back[able], lost_for_s[able], self._core.now_s)
        self._core.commit(rows)
        for number in back[able].tolist():
            if self._network.devices[number].link is Link.MUTED:
                self._backoff.stop(np.array([number]))
                self._network.devices[number].unmute()
                self._network.sent(number, 0, acknowledged=False)
                self._resume(number)
        self._mile.link_changed(self._collectors.of_row[rows])
        self._mile.regain(rows[self.readable(rows)])

    def reboot(self, stations: Collection[str]) -> None:
        """RAM is gone at once, and a collector's connection with it."""
        rows, numbers = self._addressed(stations)
        restarted = self._collectors.reboot(numbers, self._core.now_s)
        self._backoff.stop(restarted)
        for number in restarted.tolist():
            self._network.devices[number].forget()
            self._voices.ended(number)
        self.restart(rows)

    def restart(self, rows: Rows) -> None:
        rows = self._supply.reboot(rows, self._core.now_s)
        self._lost_sight_of(rows)
        self._core.commit(rows)
        self._mile.link_changed(self._collectors.of_row[rows])

    def fail_collectors(self, names: Collection[str]) -> None:
        """What they had to say is lost with them."""
        _, numbers = self._addressed(names)
        for number in self._collectors.fail(numbers, self._core.now_s).tolist():
            self._backoff.stop(np.array([number]))
            self._network.devices[number].mute()
        self._core.commit(NO_ROWS)
        self._mile.link_changed(numbers)

    def mend_collectors(self, names: Collection[str]) -> None:
        """Those that have supply start."""
        _, numbers = self._addressed(names)
        self._collectors.mend(numbers, self._core.now_s)
        self._core.commit(NO_ROWS)

    def renew(self, stations: Collection[str]) -> None:
        """The meters behind a collector have no identity of their own."""
        _, numbers = self._addressed(stations)
        for number in numbers.tolist():
            if self._network.devices[number].link is Link.ONLINE:
                self._leave(number)

    # What the network tells us, by number of the collector.

    def on_joined(self, number: int) -> None:
        """Connected and subscribed: the host's STATE follows, if there is one."""
        self._backoff.joined(number)
        self._network.sent(number, 0, acknowledged=False)
        if self._edges[number].session.may_be_born:
            self._be_born(number)

    def on_lost(self, number: int) -> None:
        self._voices.ended(number)
        if self._collectors.able(np.array([number]))[0]:
            self._backoff.failed(number, self._core.now_s)

    def on_message(self, number: int, topic: str, payload: bytes) -> None:
        edge = self._edges[number]
        if topic == self._state_topic:
            match edge.session.on_state(payload):
                case Move.BE_BORN:
                    self._be_born(number)
                case Move.LEAVE:
                    self._leave(number)
                case Move.STAY:
                    pass
            return
        try:
            written = decode_command(payload)
        except ValueError as error:
            _log.warning("a command that cannot be read", collector=self._collectors.names[number], reason=str(error))
            return
        place = edge.addressed(topic)
        if place is None:
            for metric in written:
                if metric.name == REBIRTH and metric.value is True and edge.may_rebirth(topic):
                    self._be_born(number)
            return
        envelope = edge.command_in(place, written)
        row = int(self._collectors.first[number]) + place
        if envelope is not None:
            self._mile.command(row, envelope.encode())

    # Births, deaths, and what follows them.

    def _be_born(self, number: int) -> None:
        """All births, then what could not be told while there was nobody to hear it."""
        rows = self._collectors.rows(number)
        field(self._core.state, "uplink_close_due_s")[rows] = NEVER_S
        readable = rows[self.readable(rows)]
        self._voices.be_born(number, readable, self._core.now_s)
        self._mile.make_up(number, readable, self._block_due_s(number))

    def hear_from(self, rows: Rows) -> None:
        """The collectors have found that they reach these meters again."""
        field(self._core.state, "uplink_close_due_s")[rows] = NEVER_S
        for number in np.unique(self._collectors.of_row[rows]).tolist():
            if self._voices.speaks(number):
                own = rows[self._collectors.of_row[rows] == number]
                self._voices.present(number, own, self._core.now_s)
                self._mile.make_up(number, own, self._block_due_s(number))

    def _block_due_s(self, number: int) -> int:
        """When the collector's last block was due, whether or not it could be reported [epoch s]."""
        due_s = self._report_due_s[number] - self._collectors.report_offset_s[number]
        return int(due_s) - self._facts.report_every_s

    def _resume(self, number: int) -> None:
        """The uplink is back, and the broker has not missed it."""
        if not self._edges[number].session.born:
            return
        self._voices.tell_mains(number, self._core.now_s)
        rows = self._collectors.rows(number)
        readable = self.readable(rows)
        gone = rows[~readable & self._voices.born[rows] & (self._core.state["uplink_close_due_s"][rows] == NEVER_S)]
        self._voices.declare_dead(gone, self._core.now_s)
        self._voices.present(number, rows[readable], self._core.now_s)
        self._mile.make_up(number, rows[readable], self._block_due_s(number))

    def _lost_sight_of(self, rows: Rows) -> None:
        """The collectors do not reach these meters any more; they take some time to find that out."""
        watched = rows[self._voices.born[rows] & (self._core.state["uplink_close_due_s"][rows] == NEVER_S)]
        self._core.state["uplink_close_due_s"][watched] = math.ceil(self._core.now_s + self._facts.unreachable_after_s)

    def _leave(self, number: int) -> None:
        """Say goodbye, and come back over a new connection."""
        device = self._network.devices[number]
        self._voices.say_goodbye(number, self._core.now_s)
        self._voices.ended(number)
        device.leave()
        self._backoff.soon(np.array([number]), self._core.now_s)

    # What the shard asks of its carrier.

    async def open(self, kept: Kept | None) -> None:
        core, collectors, every_s = self._core, self._collectors, self._facts.report_every_s
        if kept is not None and kept.wire is not None:
            collectors.resume(kept.wire)
        host = core.setup.primary_host
        self._state_topic = None if host is None else state_topic(host)
        self._edges = make_edges(core.entries, collectors, self._metrics, has_host=host is not None)
        self._network = Network(
            collectors.names,
            self._connection,
            core.setup.broker,
            self,
            keep_alive_s=self._facts.keep_alive_s,
            resumed=kept is not None,
        )
        self._voices = Edges(self._edges, self._network, collectors, core.state, self._unreported, self._facts)
        self._mile = self._last_mile()
        offset_s = collectors.report_offset_s
        self._report_due_s = (np.floor((core.now_s - offset_s) / every_s) + 1) * every_s + offset_s
        if kept is not None:
            # The sockets of the process before are closed.
            field(core.state, "uplink_close_due_s")[:] = NEVER_S
            everybody = np.arange(len(collectors.names))
            self._backoff.soon(everybody[collectors.able(everybody)], core.now_s)
        await self._network.start()

    def _last_mile(self) -> LastMile:
        core = self._core
        sayings = Sayings(core, self._facts, self._collectors, self._voices, self._record, self._unreported)
        if core.setup.network is None:
            return AtOnce(self, sayings)
        from meters.fleet.over_the_air import over_the_air

        return over_the_air(self, sayings, core.setup.network)

    def _connection(self, number: int, hub: Hub, gate: asyncio.Semaphore, limits: Limits) -> EdgeConnection:
        edge, entry = self._edges[number], self._core.entries[self._collectors.first[number]]
        filters = self._core.setup.filters(edge.filters)
        if self._state_topic is not None:
            filters += ((self._state_topic, 1),)
        login = Login(edge.name, edge.client_id, entry.username, entry.password, filters, clean_session=True)
        return EdgeConnection(number, login, lambda: edge.node_death(self._core.now_s), hub, gate, limits)

    async def close(self) -> None:
        for number in range(len(self._edges)):
            self._voices.say_goodbye(number, self._core.now_s)
        await self._network.stop()
        self._mile.close()

    def raise_failure(self) -> None:
        self._network.raise_failure()

    def timers(self) -> Timers:
        closing_s = self._core.state["uplink_close_due_s"]
        return (
            closing_s, *self._collectors.timers(), self._backoff.due_s, self._report_due_s, *self._mile.timers(),
        )  # fmt: skip

    def _kept_state(self) -> bytes:
        self._collectors.state["bd_seq"] = [edge.session.bd_seq for edge in self._edges]
        return self._collectors.state.tobytes()

    def first_frame(self, energised: NDArray[np.bool_], now_s: int) -> None:
        self._collectors.begin(energised)
        everybody = np.arange(len(self._edges))
        self._backoff.first(everybody[self._collectors.able(everybody)], now_s)

    def see(self, frame: WorldFrame) -> None:
        """Whose supply matters is behind the same collector or gateway."""

    def supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        own = self._collectors.supply_changed(lost, back, now_s)
        self._mile.supply_changed(np.concatenate([lost, back]), own)

    def has_time_source(self, rows: Rows) -> NDArray[np.bool_]:
        """A collector that runs keeps the time for its meters."""
        powered: NDArray[np.bool_] = self._collectors.state["powered"][self._collectors.of_row[rows]]
        return self.readable(rows) & powered

    def note_timers(self, now_s: int) -> Rows:
        self._emptied = self._collectors.fire_batteries(now_s)
        self._started = self._collectors.fire_boots(now_s)
        self._closing = self._collectors.fire_closes(now_s)
        self._reporting = np.flatnonzero(self._report_due_s <= now_s)
        self._unreachable = np.flatnonzero(self._core.state["uplink_close_due_s"] <= now_s)
        self._core.state["uplink_close_due_s"][self._unreachable] = NEVER_S
        return self._unreachable

    async def act_on_timers(self, now_s: int) -> None:
        for number in self._emptied.tolist():
            self._backoff.stop(np.array([number]))
            self._network.devices[number].mute()
        for number in self._closing.tolist():
            self._network.devices[number].drop()
            self._voices.ended(number)
        for number in self._started.tolist():
            self._network.devices[number].forget()
            self._voices.ended(number)
        self._backoff.soon(self._started[self._collectors.able(self._started)], now_s)
        self._voices.declare_dead(self._unreachable, now_s)
        await self._mile.land(now_s)
        for number in self._reporting.tolist():
            self._report_due_s[number] += self._facts.report_every_s
            await self._mile.report(number, now_s)
        connecting = self._backoff.take_due(now_s)
        for number in connecting:
            self._edges[number].session.connecting()
        if connecting or len(self._emptied) or len(self._started) or len(self._closing):
            self._core.commit(NO_ROWS)
        for number in connecting:
            self._network.connect(number)

    def act_on(self, changed: Changed) -> None:
        row = np.array([changed.row])
        match changed.change:
            case Change.DIED:
                self._lost_sight_of(row)
            case Change.BOOTED | Change.REBOOTED:
                self._mile.regain(row[self.readable(row)])
            case Change.LAST_GASP | Change.MOMENTARY | Change.RESTORED | Change.FORGOTTEN:
                pass

    # Intervals.

    async def report(self, records: Sequence[IntervalRecord]) -> None:
        """They wait for the collector's next report."""

    async def report_registers(self, now_s: int) -> None:
        """They go with the intervals."""

    # Events and commands.

    def tell(self, events: Sequence[Event]) -> None:
        self._mile.tell(events)

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        self._mile.answer(row, answer)

    def disturb_network(self, fault: NetworkFault) -> None:
        self._mile.disturb(fault)

    def export_deliveries(self, directory: Path) -> None:
        self._mile.export(directory)

    # Small things.

    def readable(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of these meters their collectors can reach."""
        readable: NDArray[np.bool_] = self._supply.alive(rows) & np.isnan(self._core.state["uplink_lost_at_s"][rows])
        return readable

    def reachable(self, row: int) -> bool:
        return self._voices.speaks(int(self._collectors.of_row[row])) and bool(self.readable(np.array([row]))[0])

    def _addressed(self, stations: Collection[str]) -> tuple[Rows, Rows]:
        """Rows of the meters, and numbers of the collectors, of these names. Raises FleetError."""
        numbers = [self._collectors.number_of[name] for name in stations if name in self._collectors.number_of]
        rows = self._core.rows([name for name in stations if name not in self._collectors.number_of])
        return rows, np.array(numbers, dtype=np.intp)
