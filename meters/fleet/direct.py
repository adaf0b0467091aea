"""Meters that have an MQTT connection each. Connections are made by timers, from the first simulated seconds on.

What goes over them is the business of a voice (meters/fleet/voices.py).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.carriers.connection import Hub, Limits, Link, Login
from meters.carriers.meter_connection import Device
from meters.carriers.wire import MqttWire, Said
from meters.device.backoff import Backoff
from meters.device.facts import ConnectedFacts
from meters.device.memory import Kept
from meters.device.records import CommandAnswer, Event, IntervalRecord, ProfileAnswer
from meters.device.state import NEVER_S, NO_ROWS, Rows, field
from meters.device.supply import Change, Changed, Supplies
from meters.fleet.core import Core
from meters.fleet.network import FleetSettled, Network
from meters.fleet.parts import Timers
from meters.fleet.voices import Voice
from meters.radio.faults import NetworkFault
from meters.radio.passage import DeliveryClass

if TYPE_CHECKING:
    from meters.fleet.cell_lines import CellLines

_FAULT, _NO_SERVICE = range(2)
"""Why a meter has no uplink: somebody took it, or no cell serves it."""


class Direct:
    """One connection a meter."""

    def __init__(self, core: Core, wire: MqttWire) -> None:
        self._core = core
        self._wire = wire
        self._facts = cast(ConnectedFacts, core.profile.facts)
        self._backoff = Backoff(core.keys, self._facts)
        self._dropping = NO_ROWS
        self._cut = np.zeros((2, len(core.entries)), dtype=bool)
        """By reason, who has no uplink."""
        self._cells: CellLines | None = None

    def attach(self, supply: Supplies, voice: Voice) -> None:
        """What has been made of the memory that is open now."""
        self._supply = supply
        self._voice = voice

    @property
    def stations(self) -> frozenset[str]:
        return frozenset(self._core.row_of)

    @property
    def sockets(self) -> int:
        return len(self._core.entries)

    @property
    def refusals(self) -> int:
        return self._network.refusals

    @property
    def losses(self) -> int:
        return self._network.losses

    async def open(self, kept: Kept | None) -> None:
        core = self._core
        self._network = Network(
            core.serials,
            self._connection,
            core.setup.broker,
            self,
            keep_alive_s=self._facts.keep_alive_s,
            resumed=kept is not None,
        )
        if kept is not None:
            # The sockets of the process before are closed.
            field(core.state, "uplink_close_due_s")[:] = NEVER_S
            self._backoff.soon(self._connectable(core.everybody), core.now_s)
        self._open_cells()
        await self._network.start()

    def _open_cells(self) -> None:
        core, setup = self._core, self._core.setup.network
        lost = ~np.isnan(core.state["uplink_lost_at_s"])
        if setup is None:
            self._cut[_FAULT] = lost
            return
        from meters.fleet.cell_lines import CellLines

        self._cells = CellLines(core, setup, self)
        self._cut[_NO_SERVICE] = ~self._cells.in_service
        self._cut[_FAULT] = lost & ~self._cut[_NO_SERVICE]
        # There is nothing yet to be dropped; it is kept with the first commit.
        out = self._cut[_NO_SERVICE] & ~lost
        core.state["uplink_lost_at_s"][out] = core.now_s

    async def close(self) -> None:
        await self._network.stop()
        if self._cells is not None:
            self._cells.close()

    async def settle(self) -> FleetSettled:
        settled = await self._network.settle()
        if self._cells is not None:
            self._cells.flush()
        return settled

    async def await_fence(self, token: str, stations: Collection[str]) -> None:
        await self._network.await_fence(token, self._core.rows(stations).tolist())

    async def wait_disconnected(self) -> None:
        await self._network.wait_disconnected()

    def raise_failure(self) -> None:
        self._network.raise_failure()

    def lose_uplink(self, stations: Collection[str]) -> None:
        """The sockets are dropped when the broker would have missed the keep-alive."""
        self._lose_uplink(self._core.rows(stations), _FAULT)

    def _lose_uplink(self, rows: Rows, why: int) -> None:
        state, now_s = self._core.state, self._core.now_s
        self._cut[why, rows] = True
        rows = rows[np.isnan(state["uplink_lost_at_s"][rows])]
        state["uplink_lost_at_s"][rows] = now_s
        state["uplink_close_due_s"][rows] = math.ceil(now_s + self._facts.silence_limit_s)
        self._backoff.stop(rows)
        for row in rows:
            self._network.devices[row].mute()
        self._core.commit(rows)

    def restore_uplink(self, stations: Collection[str]) -> None:
        """Meters whose socket is still open go on; others try to connect at a moment of their back-off."""
        self._restore_uplink(self._core.rows(stations), _FAULT)

    def _restore_uplink(self, rows: Rows, why: int) -> None:
        state, now_s = self._core.state, self._core.now_s
        self._cut[why, rows] = False
        rows = rows[~self._cut[:, rows].any(axis=0)]
        rows = rows[~np.isnan(state["uplink_lost_at_s"][rows])]
        lost_for_s = now_s - state["uplink_lost_at_s"][rows]
        state["uplink_lost_at_s"][rows] = np.nan
        state["uplink_close_due_s"][rows] = NEVER_S
        self._backoff.restored(rows, lost_for_s, now_s)
        self._backoff.stop(rows[~self._supply.alive(rows)])
        for alive in rows[self._supply.alive(rows)].tolist():
            if self._network.devices[alive].link is Link.MUTED:
                self._backoff.stop(np.array([alive]))
                self._network.devices[alive].unmute()
                self._go_on(alive)
        self._core.commit(rows)

    def reboot(self, stations: Collection[str]) -> None:
        """RAM and connection are gone at once."""
        rows = self._supply.reboot(self._core.rows(stations), self._core.now_s)
        self._backoff.stop(rows)
        self._core.state["uplink_close_due_s"][rows] = NEVER_S
        for row in rows.tolist():
            self._forget(row)
        self._core.commit(rows)

    def fail_collectors(self, _names: Collection[str]) -> None:
        """There are none."""

    def mend_collectors(self, _names: Collection[str]) -> None:
        """There are none."""

    def renew(self, stations: Collection[str]) -> None:
        """They come back at a moment of their back-off, as after a failure: not all at once."""
        for row in self._core.rows(stations).tolist():
            if self._network.devices[row].link is Link.ONLINE:
                self._network.devices[row].leave()
                self._backoff.failed(row, self._core.now_s)

    # What the network tells us.

    def on_joined(self, row: int) -> None:
        """The meter is online: say so, and push what it has to tell."""
        self._backoff.joined(row)
        serial, boot = self._core.entries[row].serial, int(self._core.state["boots"][row])
        for said in self._wire.online(serial, self._voice.device_time_s(row), boot):
            self.publish(row, said, DeliveryClass.SYSTEM, boot)
        self._go_on(row)

    def on_lost(self, row: int) -> None:
        """Try again later, if there is anything to try with."""
        if len(self._connectable(np.array([row]))):
            self._backoff.failed(row, self._core.now_s)

    def on_message(self, row: int, _topic: str, payload: bytes) -> None:
        if self._cells is None:
            self._voice.hear(row, payload)
        else:
            self._cells.hear(row, payload)

    # What cells tell us.

    def open_line(self, row: int) -> None:
        if len(self._connectable(np.array([row]))):
            self._network.connect(row)

    def fail_line(self, row: int) -> None:
        self._backoff.failed(row, self._core.now_s)

    def put(self, row: int, said: Said) -> bool:
        device = self._network.devices[row]
        if not device.reachable:
            return False
        self._network.sent(row)
        device.publish(*said)
        return True

    def hear(self, row: int, payload: bytes) -> bool:
        if not self.online(row):
            return False
        self._voice.hear(row, payload)
        return True

    def change_service(self, lost: Rows, back: Rows) -> None:
        self._lose_uplink(lost, _NO_SERVICE)
        self._restore_uplink(back, _NO_SERVICE)

    # What the shard asks of its carrier.

    def timers(self) -> Timers:
        timers = (self._core.state["uplink_close_due_s"], self._backoff.due_s)
        return timers if self._cells is None else (*timers, *self._cells.timers())

    def first_frame(self, _energised: NDArray[np.bool_], now_s: int) -> None:
        self._backoff.first(self._connectable(self._core.everybody), now_s)

    def see(self, frame: WorldFrame) -> None:
        if self._cells is not None:
            self._cells.see(frame)

    def supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        """It is the supply's timers that tell when connections end."""

    def has_time_source(self, rows: Rows) -> NDArray[np.bool_]:
        has: NDArray[np.bool_] = self._supply.alive(rows) & np.isnan(self._core.state["uplink_lost_at_s"][rows])
        return has

    def note_timers(self, now_s: int) -> Rows:
        self._dropping = np.flatnonzero(self._core.state["uplink_close_due_s"] <= now_s)
        self._core.state["uplink_close_due_s"][self._dropping] = NEVER_S
        return self._dropping

    async def act_on_timers(self, now_s: int) -> None:
        for row in self._dropping.tolist():
            self._network.devices[row].drop()
        connecting = self._backoff.take_due(now_s)
        if self._cells is None:
            for row in connecting:
                self._network.connect(row)
        else:
            self._cells.connect(connecting)
            self._cells.land(now_s)
            self._send()

    def act_on(self, changed: Changed) -> None:
        row = changed.row
        device = self._network.devices[row]
        match changed.change:
            case Change.DIED:
                self._backoff.stop(np.array([row]))
                device.mute()
                if self._cells is not None:
                    self._cells.detach(row)
            case Change.FORGOTTEN:
                device.drop()
            case Change.BOOTED | Change.REBOOTED:
                self._forget(row)
                self._backoff.soon(self._connectable(np.array([row])), self._core.now_s)
            case Change.LAST_GASP | Change.MOMENTARY | Change.RESTORED:
                pass

    def tell(self, events: Sequence[Event]) -> None:
        self._voice.tell(events)
        self._send()

    async def report(self, records: Sequence[IntervalRecord]) -> None:
        await self._voice.report(records)
        self._send()

    @property
    def registers_due_s(self) -> float:
        return self._voice.registers_due_s

    async def report_registers(self, now_s: int) -> None:
        await self._voice.report_registers(now_s)
        self._send()

    def reachable(self, row: int) -> bool:
        return self._network.devices[row].reachable

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        self._voice.answer(row, answer)
        self._send()

    def disturb_network(self, fault: NetworkFault) -> None:
        if self._cells is not None:
            self._cells.disturb(fault)

    def export_deliveries(self, directory: Path) -> None:
        if self._cells is not None:
            self._cells.export(directory)

    # What the voice asks.

    def online(self, row: int) -> bool:
        """Whether the meter is connected and subscribed."""
        return self._network.devices[row].link is Link.ONLINE

    @property
    def network(self) -> bool:
        """Whether a cellular network is between meters and broker."""
        return self._core.setup.network is not None

    def publish(
        self,
        row: int,
        said: Said,
        delivery_class: DeliveryClass,
        about: int | None = None,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        """The meter is reachable."""
        if self._cells is not None:
            self._cells.say(row, said, delivery_class, about, arrived)
            return
        self._network.sent(row)
        self._network.devices[row].publish(*said)

    def unsent(self, rows: Sequence[int], delivery_class: DeliveryClass, about: Sequence[int]) -> None:
        if self._cells is not None:
            self._cells.unsent(np.array(rows, dtype=np.intp), delivery_class, np.array(about, dtype=np.int64))

    def answers_from_s(self, rows: Rows) -> NDArray[np.float64]:
        """From when (m,) these meters show their registers: for as long as they run, whether anybody hears it."""
        return np.where(self._supply.alive(rows), 0.0, NEVER_S)

    def _connection(self, row: int, hub: Hub, gate: asyncio.Semaphore, limits: Limits) -> Device:
        wire, entry = self._wire, self._core.entries[row]
        login = Login(
            station=entry.serial,
            client_id=wire.client_id(entry.group, entry.serial),
            username=entry.username,
            password=entry.password,
            filters=self._core.setup.filters([(wire.command_topic(entry.group, entry.serial), 1)]),
            clean_session=False,
        )
        return Device(row, login, wire.home(entry.group, entry.serial), wire.will(entry.serial), hub, gate, limits)

    def _send(self) -> None:
        """What was said since the last time leaves the meters."""
        if self._cells is not None:
            self._cells.send()

    def _go_on(self, row: int) -> None:
        """The meter is in touch with the broker: tell what there is to be told."""
        if self._cells is not None:
            self._send()
            self._cells.resume(row)
        self._voice.tell_pending(row)
        self._send()

    def _forget(self, row: int) -> None:
        """Its RAM is gone, and the connection."""
        self._network.devices[row].forget()
        if self._cells is not None:
            self._cells.forget(row)
            self._voice.forget(row)

    def _connectable(self, rows: Rows) -> Rows:
        """Those of `rows` that have a running communication processor and an uplink."""
        return rows[self.has_time_source(rows)]
