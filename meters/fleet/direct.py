"""Meters that have an MQTT connection each: the wire `rl-dsp`, docs/wire-rl-dsp.md."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from meters.carriers.connection import Link
from meters.carriers.meter_connection import Device
from meters.device.backoff import Backoff
from meters.device.command import fence_token
from meters.device.intervals import wire_row
from meters.device.memory import Event, IntervalRecord, Kept
from meters.device.state import NEVER_S, Rows, field
from meters.device.supply import Change, Changed
from meters.fleet.network import FleetSettled, Network
from meters.fleet.recording import ProfileAnswer, RecordingShard
from meters.fleet.shard import ShardSetup
from meters.vendors import rl_dsp

_PUBLISHES_PER_TURN = 256


class DirectShard(RecordingShard):
    """One connection a meter. Connections are made by timers, from the first simulated seconds on."""

    def __init__(self, setup: ShardSetup) -> None:
        super().__init__(setup)
        self._backoff = Backoff(self._keys, self._facts)
        self._dropping = np.empty(0, dtype=np.intp)

    @property
    def refusals(self) -> int:
        return self._network.refusals

    @property
    def losses(self) -> int:
        return self._network.losses

    async def settle(self) -> FleetSettled:
        return await self._network.settle()

    async def await_fence(self, token: str, stations: Collection[str]) -> None:
        await self._network.await_fence(token, self._rows(stations).tolist())

    async def wait_disconnected(self) -> None:
        await self._network.wait_disconnected()

    def lose_uplink(self, stations: Collection[str]) -> None:
        """The sockets are dropped when the broker would have missed the keep-alive."""
        rows = self._rows(stations)
        rows = rows[np.isnan(self._state["uplink_lost_at_s"][rows])]
        self._state["uplink_lost_at_s"][rows] = self._now_s
        self._state["uplink_close_due_s"][rows] = math.ceil(self._now_s + self._facts.silence_limit_s)
        self._backoff.stop(rows)
        for row in rows:
            self._network.devices[row].mute()
        self._commit(rows)

    def restore_uplink(self, stations: Collection[str]) -> None:
        """Meters whose socket is still open go on; others try to connect at a moment of their back-off."""
        rows = self._rows(stations)
        rows = rows[~np.isnan(self._state["uplink_lost_at_s"][rows])]
        lost_for_s = self._now_s - self._state["uplink_lost_at_s"][rows]
        self._state["uplink_lost_at_s"][rows] = np.nan
        self._state["uplink_close_due_s"][rows] = NEVER_S
        self._backoff.restored(rows, lost_for_s, self._now_s)
        self._backoff.stop(rows[~self._supplies.alive(rows)])
        for alive in rows[self._supplies.alive(rows)].tolist():
            if self._network.devices[alive].link is Link.MUTED:
                self._backoff.stop(np.array([alive]))
                self._network.devices[alive].unmute()
                self._tell_pending(alive)
        self._commit(rows)

    def reboot(self, stations: Collection[str]) -> None:
        """RAM and connection are gone at once."""
        rows = self._supplies.reboot(self._rows(stations), self._now_s)
        self._backoff.stop(rows)
        self._state["uplink_close_due_s"][rows] = NEVER_S
        for row in rows:
            self._network.devices[row].forget()
        self._commit(rows)

    def renew(self, stations: Collection[str]) -> None:
        """They come back at a moment of their back-off, as after a failure: not all at once."""
        for row in self._rows(stations).tolist():
            if self._network.devices[row].link is Link.ONLINE:
                self._network.devices[row].leave()
                self._backoff.failed(row, self._now_s)

    # What the network tells us.

    def on_joined(self, row: int) -> None:
        """The meter is online: say so, and push what it has to tell."""
        self._backoff.joined(row)
        online = rl_dsp.encode_online(math.floor(self._clocks.shown(row, self._now_s)), int(self._state["boots"][row]))
        self._publish(row, "st", online)
        self._tell_pending(row)

    def on_lost(self, row: int) -> None:
        """Try again later, if there is anything to try with."""
        if len(self._connectable(np.array([row]))):
            self._backoff.failed(row, self._now_s)

    def on_message(self, row: int, _topic: str, payload: bytes) -> None:
        token = fence_token(payload)
        if token is None:
            self._obey(row, payload)
        else:
            self._network.fenced(row, token)

    # What a shard asks of its wire.

    def _prepare(self, kept: Kept | None) -> None:
        super()._prepare(kept)
        self._network = Network(
            [entry.serial for entry in self._entries],
            lambda row, hub, gate, limits: Device(row, self._entries[row], hub, gate, limits),
            self._setup.broker,
            self,
            keep_alive_s=self._facts.keep_alive_s,
            resumed=kept is not None,
        )
        if kept is not None:
            # The sockets of the process before are closed.
            field(self._state, "uplink_close_due_s")[:] = NEVER_S
            self._backoff.soon(self._connectable(self._all), self._now_s)

    async def _open(self) -> None:
        await self._network.start()

    async def _close(self) -> None:
        await self._network.stop()

    def _raise_failure(self) -> None:
        self._network.raise_failure()

    def _timers(self) -> tuple[NDArray[np.float64], ...]:
        return (*super()._timers(), self._backoff.due_s)

    def _first_frame(self, energised: NDArray[np.bool_], now_s: int) -> None:
        super()._first_frame(energised, now_s)
        self._backoff.first(self._connectable(self._all), now_s)

    def _has_time_source(self, rows: Rows) -> NDArray[np.bool_]:
        has: NDArray[np.bool_] = self._supplies.alive(rows) & np.isnan(self._state["uplink_lost_at_s"][rows])
        return has

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            if self._network.devices[event.meter].link is Link.ONLINE:
                self._push(event)

    def _tell_pending(self, row: int) -> None:
        """Push what came up while the meter, now online, was not."""
        for event in self._log.pending(row):
            # A push may find that the connection is gone.
            if self._network.devices[row].link is Link.ONLINE:
                self._push(event)

    def _push(self, event: Event) -> None:
        payload = rl_dsp.encode_event(event.device_time_s, event.sequence, event.code, event.parsed_detail())
        self._publish(event.meter, "ev", payload)
        self._log.told(event)

    async def _report(self, records: Sequence[IntervalRecord]) -> None:
        interval_s = self._facts.interval_length_s
        for count, record in enumerate(records, start=1):
            row = int(record[1])
            if self._network.devices[row].reachable:
                payload = rl_dsp.encode_reading(int(record[0]) + interval_s, wire_row(record))
                self._publish(row, "ds", payload)
            if count % _PUBLISHES_PER_TURN == 0:
                await asyncio.sleep(0)

    def _note_timers(self, now_s: int) -> Rows:
        self._dropping = np.flatnonzero(self._state["uplink_close_due_s"] <= now_s)
        self._state["uplink_close_due_s"][self._dropping] = NEVER_S
        return self._dropping

    async def _act_on_timers(self, now_s: int) -> None:
        for row in self._dropping.tolist():
            self._network.devices[row].drop()
        for row in self._backoff.take_due(now_s):
            self._network.connect(row)

    def _act_on(self, changed: Changed) -> None:
        row = changed.row
        device = self._network.devices[row]
        match changed.change:
            case Change.DIED:
                self._backoff.stop(np.array([row]))
                device.mute()
            case Change.FORGOTTEN:
                device.drop()
            case Change.BOOTED | Change.REBOOTED:
                device.forget()
                self._backoff.soon(self._connectable(np.array([row])), self._now_s)
            case Change.LAST_GASP | Change.MOMENTARY | Change.RESTORED:
                pass

    def _reachable(self, row: int) -> bool:
        return self._network.devices[row].reachable

    def _answer(self, row: int, answer: ProfileAnswer) -> None:
        interval_s = self._facts.interval_length_s
        for payload in rl_dsp.encode_load_profile(
            command_id=answer.command_id,
            device_time_s=answer.device_time_s,
            from_s=answer.from_s,
            to_s=answer.to_s,
            interval_s=interval_s,
            rows=[(int(record[0]) + interval_s, wire_row(record)) for record in answer.records],
        ):
            self._publish(row, "lp", payload)

    def _publish(self, row: int, leaf: str, payload: bytes) -> None:
        self._network.sent(row)
        self._network.devices[row].publish(leaf, payload)

    def _connectable(self, rows: Rows) -> Rows:
        """Those of `rows` that have a running communication processor and an uplink."""
        return rows[self._has_time_source(rows)]
