"""Meters that are polled over Modbus: gateways show their registers when they are asked.

A gateway has the supply of its first meter, without a battery. In the shard's state `up_at_s` is from when a meter
answers, and `uplink_lost_at_s` since when its line is broken.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.carriers.modbus.address import EXPECTED, split_address
from meters.carriers.modbus.gateway import SOCKETS, Gateway
from meters.carriers.modbus.line import Line
from meters.carriers.modbus.register_map import RegisterMap
from meters.carriers.modbus.settings import Settings
from meters.device.facts import PolledFacts
from meters.device.memory import Kept
from meters.device.records import CommandAnswer, Event, IntervalRecord, ProfileAnswer
from meters.device.state import NEVER_S, NO_ROWS, Rows
from meters.device.supply import Changed
from meters.errors import FleetError, MemoryFailedError
from meters.fleet.bus import Bus
from meters.fleet.core import Core
from meters.fleet.counting import Counting
from meters.fleet.demands import Demands
from meters.fleet.network import FleetSettled
from meters.fleet.parts import Supply, Timers
from meters.fleet.shipment import ShipmentEntry
from meters.radio.faults import NetworkFault

DEMAND_PERIOD_MIN = 15.0
"""amilab's own, of meters whose map has no setting for it."""


class Polled:
    """Meters behind gateways. An entry's address is `host:port/unit`."""

    refusals = 0
    losses = 0
    registers_due_s = NEVER_S

    def __init__(self, core: Core, registers: RegisterMap) -> None:
        """Raises FleetError, listing every address that is none."""
        self._core = core
        self._facts = cast(PolledFacts, core.profile.facts)
        lines = _lines(core.entries)
        units = {row: unit for line in lines.values() for unit, row in line.items()}
        self._settings = Settings(registers.settings, [units[row] for row in range(len(units))], list(core.row_of))
        self.demands = Demands(self._periods_s())
        self._buses = [
            Bus(core, line, self._settings, self.demands, failed=self._memory_failed) for line in lines.values()
        ]
        self._gateways = [
            Gateway(core.setup.gateway_host or host, port, Line(bus, registers).answer)
            for (host, port), bus in zip(lines, self._buses, strict=True)
        ]
        self._rows_of = [np.array(list(units.values()), dtype=np.intp) for units in lines.values()]
        self._heads = np.array([rows[0] for rows in self._rows_of], dtype=np.intp)
        self._open_due_s = np.full(len(self._gateways), NEVER_S)
        self._gateway_of = np.zeros(len(core.entries), dtype=np.intp)
        for number, rows in enumerate(self._rows_of):
            self._gateway_of[rows] = number
        self._failure: MemoryFailedError | None = None
        core.wire_state = self.demands.to_bytes

    def attach(self, supply: Supply, record: Counting) -> None:
        """What has been made of the memory that is open now."""
        self._supply = supply
        for bus in self._buses:
            bus.attach(record)

    @property
    def stations(self) -> frozenset[str]:
        return frozenset(self._core.row_of)

    @property
    def sockets(self) -> int:
        return SOCKETS * len(self._gateways)

    async def open(self, kept: Kept | None) -> None:
        """A gateway has supply from the first frame on: until then nobody listens, unless it did before a restart."""
        if kept is not None and kept.wire is not None:
            self._settings.restore(kept.lasting)
            self.demands.restore(kept.wire, kept.passing, self._periods_s())
        if kept is not None and kept.frame is not None:
            self._open_due_s[self._core.state["energised"][self._heads]] = self._core.now_s

    async def close(self) -> None:
        for gateway in self._gateways:
            gateway.close()

    async def settle(self) -> FleetSettled:
        self.raise_failure()
        counts = (len(rows) for gateway, rows in zip(self._gateways, self._rows_of, strict=True) if gateway.is_open)
        return FleetSettled(0, [], sum(counts))

    async def await_fence(self, token: str, stations: Collection[str]) -> None:
        """Nothing is sent to them that could still be under way."""

    async def wait_disconnected(self) -> None:
        """They have nothing to do with the broker."""

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def lose_uplink(self, stations: Collection[str]) -> None:
        """Their RS-485 lines break."""
        rows = self._core.rows(stations)
        self._core.state["uplink_lost_at_s"][rows] = self._core.now_s
        self._core.commit(rows)

    def restore_uplink(self, stations: Collection[str]) -> None:
        rows = self._core.rows(stations)
        self._core.state["uplink_lost_at_s"][rows] = np.nan
        self._core.commit(rows)

    def reboot(self, stations: Collection[str]) -> None:
        """A meter answers when it is up again; its gateway does not notice."""
        self._core.commit(self._supply.reboot(self._core.rows(stations), self._core.now_s))

    def fail_collectors(self, _names: Collection[str]) -> None:
        """There are none."""

    def mend_collectors(self, _names: Collection[str]) -> None:
        """There are none."""

    def renew(self, stations: Collection[str]) -> None:
        """They know no broker."""

    def timers(self) -> Timers:
        return (self._open_due_s,)

    def first_frame(self, energised: NDArray[np.bool_], now_s: int) -> None:
        self._open_due_s[energised[self._heads]] = now_s

    def see(self, frame: WorldFrame) -> None:
        """Whose supply matters is behind the same collector or gateway."""

    def supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        for number in np.flatnonzero(np.isin(self._heads, lost)).tolist():
            self._open_due_s[number] = NEVER_S
            self._gateways[number].close()
        self._open_due_s[np.isin(self._heads, back)] = ceil(now_s + self._facts.gateway_boot_s)

    def has_time_source(self, rows: Rows) -> NDArray[np.bool_]:
        return np.zeros(len(rows), dtype=bool)

    def note_timers(self, _now_s: int) -> Rows:
        return NO_ROWS

    async def act_on_timers(self, now_s: int) -> None:
        for number in np.flatnonzero(self._open_due_s <= now_s).tolist():
            self._open_due_s[number] = NEVER_S
            await self._gateways[number].open()

    def act_on(self, changed: Changed) -> None:
        """They have no connections."""

    def tell(self, events: Sequence[Event]) -> None:
        """They have no events."""

    async def report(self, records: Sequence[IntervalRecord]) -> None:
        """They have no intervals."""

    async def report_registers(self, now_s: int) -> None:
        """They are read, not said."""

    def reachable(self, _row: int) -> bool:
        return False

    def answer(self, _row: int, _answer: ProfileAnswer | CommandAnswer) -> None:
        raise AssertionError("nobody commands a meter that is polled")

    def disturb_network(self, fault: NetworkFault) -> None:
        """Their gateways are wired."""

    def export_deliveries(self, directory: Path) -> None:
        """Their gateways are wired."""

    def answers_from_s(self, rows: Rows) -> NDArray[np.float64]:
        """From when (m,) these meters answer; NEVER_S: not at all."""
        state, gateways = self._core.state[rows], self._gateway_of[rows]
        opens_s = self._open_due_s[gateways]
        is_open = np.isinf(opens_s) & self._core.state["energised"][self._heads[gateways]]
        from_s = np.where(is_open, state["up_at_s"], np.maximum(state["up_at_s"], opens_s))
        answers = state["energised"] & np.isnan(state["uplink_lost_at_s"])
        return np.where(answers, from_s, NEVER_S)

    def _periods_s(self) -> NDArray[np.float64]:
        rows = range(len(self._core.entries))
        return 60.0 * np.array([self._settings.number(row, "demand_period_min", DEMAND_PERIOD_MIN) for row in rows])

    def _memory_failed(self, error: MemoryFailedError) -> None:
        self._failure = error


def _lines(entries: tuple[ShipmentEntry, ...]) -> dict[tuple[str, int], dict[int, int]]:
    """The meters (rows) of each gateway by unit identifier. Raises FleetError with every fault."""
    lines: dict[tuple[str, int], dict[int, int]] = {}
    faults = []
    for row, entry in enumerate(entries):
        found = split_address(entry.address)
        if found is None:
            faults.append(f"{entry.serial}: address {entry.address!r} is not {EXPECTED}")
            continue
        host, port, unit = found
        units = lines.setdefault((host, port), {})
        if unit in units:
            faults.append(f"{entry.serial}: unit {unit} of {host}:{port} is already taken")
        units[unit] = row
    if faults:
        raise FleetError("; ".join(faults))
    return lines
