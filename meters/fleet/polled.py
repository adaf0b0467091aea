"""Meters that are polled over Modbus: they count, and show their registers when they are asked.

They have no clock, no intervals and no events, so the clock of whoever asks makes the intervals. What the durable
memory keeps is the curve of each meter's registers (meters/carriers/modbus/curve.py), from which each answer is made,
for the instant at which it is given; so it is the journal, whoever asks and however often. A gateway has the supply of
its first meter, without a battery.

In the shard's state `up_at_s` is from when a meter answers, and `uplink_lost_at_s` since when its line is broken.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.carriers.modbus.address import EXPECTED, split_address
from meters.carriers.modbus.curve import KNOT, Curves, Display, counted_wh
from meters.carriers.modbus.gateway import Gateway
from meters.carriers.modbus.journal import write_polled_journal
from meters.carriers.modbus.sdm630 import registers_of
from meters.device.memory import Kept
from meters.device.metrology import Metrology
from meters.device.state import NEVER_S, Rows
from meters.errors import FleetError, MemoryFailedError
from meters.fleet.network import FleetSettled
from meters.fleet.shard import Shard, ShardSetup
from meters.fleet.shipment import ShipmentEntry
from meters.vendors.profile import PolledFacts


class PolledShard(Shard):
    """SDM630 meters behind gateways. An entry's address is `host:port/unit`."""

    def __init__(self, setup: ShardSetup) -> None:
        """Raises FleetError, listing every address that is none."""
        super().__init__(setup)
        self._facts = cast(PolledFacts, setup.profile.facts)
        counting = self._facts.model_copy(update={"register_step_wh": self._facts.counting_step_wh})
        self._metrology = Metrology(self._keys, counting)
        lines = _lines(self._entries)
        self._gateways = [
            Gateway(setup.gateway_host or host, port, units, self._read) for (host, port), units in lines.items()
        ]
        self._rows_of = [np.array(list(units.values()), dtype=np.intp) for units in lines.values()]
        self._heads = np.array([rows[0] for rows in self._rows_of], dtype=np.intp)
        self._open_due_s = np.full(len(self._gateways), NEVER_S)
        self._gateway_of = np.zeros(len(self._entries), dtype=np.intp)
        for number, rows in enumerate(self._rows_of):
            self._gateway_of[rows] = number
        self._display = Display(self._facts.counting_step_wh, self._facts.register_roll_over_wh)
        self._knots: NDArray[np.void] | None = None
        self._kept_s = self._now_s
        self._shown: dict[int, list[int]] = {}
        self._shown_at = math.nan
        self._failure: MemoryFailedError | None = None

    @property
    def sockets(self) -> int:
        # Its listener, a connection, and one that the gateway has not yet seen end.
        return 3 * len(self._gateways)

    async def settle(self) -> FleetSettled:
        self._raise_failure()
        counts = (len(rows) for gateway, rows in zip(self._gateways, self._rows_of, strict=True) if gateway.is_open)
        return FleetSettled(0, [], sum(counts))

    async def await_fence(self, token: str, stations: Collection[str]) -> None:
        """Nothing is sent to them that could still be under way."""

    async def wait_disconnected(self) -> None:
        """They have nothing to do with the broker."""

    def lose_uplink(self, stations: Collection[str]) -> None:
        """Their RS-485 lines break."""
        rows = self._rows(stations)
        self._state["uplink_lost_at_s"][rows] = self._now_s
        self._keep(rows)

    def restore_uplink(self, stations: Collection[str]) -> None:
        rows = self._rows(stations)
        self._state["uplink_lost_at_s"][rows] = np.nan
        self._keep(rows)

    def reboot(self, stations: Collection[str]) -> None:
        rows = self._rows(stations)
        self._state["up_at_s"][rows] = self._now_s + self._facts.reboot_s
        self._keep(rows)

    def renew(self, stations: Collection[str]) -> None:
        """They know no broker."""

    def export_journal(self, directory: Path) -> None:
        write_polled_journal(
            Curves(self._kept_knots(), self._display),
            self._entries,
            directory,
            self._setup.memory_path.stem,
            interval_length_s=self._facts.interval_length_s,
            until_s=self._now_s,
        )

    # What the shard asks of its kind.

    def _prepare(self, kept: Kept | None) -> None:
        if kept is not None and len(knots := self._kept_knots()):
            self._kept_s = kept.now_s
            # Each frame has a knot of every meter: the last of each is among the last ones.
            _, last = np.unique(knots["meter"][::-1], return_index=True)
            self._knots = knots[len(knots) - 1 - last]

    async def _open(self) -> None:
        """A gateway has supply from the first frame on: until then nobody listens, unless it did before a restart."""
        if self._resumed:
            self._open_due_s[self._state["energised"][self._heads]] = self._now_s

    async def _close(self) -> None:
        for gateway in self._gateways:
            gateway.close()

    def _timers(self) -> tuple[NDArray[np.float64], ...]:
        return (self._open_due_s,)

    async def _run_second(self, now_s: int) -> None:
        for number in np.flatnonzero(self._open_due_s <= now_s).tolist():
            self._open_due_s[number] = NEVER_S
            await self._gateways[number].open()

    def _first_frame(self, energised: NDArray[np.bool_], now_s: int) -> None:
        self._state["energised"] = energised
        # As if they had been on for long.
        self._state["up_at_s"] = now_s
        self._open_due_s[energised[self._heads]] = now_s

    def _supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        self._state["energised"][lost] = False
        self._state["energised"][back] = True
        self._state["up_at_s"][back] = now_s + self._facts.start_up_s
        for number in np.flatnonzero(np.isin(self._heads, lost)).tolist():
            self._open_due_s[number] = NEVER_S
            self._gateways[number].close()
        self._open_due_s[np.isin(self._heads, back)] = math.ceil(now_s + self._facts.gateway_boot_s)

    def _commit_frame(self, frame: WorldFrame, touched: Rows) -> None:
        assert self._physics is not None
        physics, rows, before = self._physics, self._all, self._knots
        knots = np.zeros(len(rows), dtype=KNOT)
        knots["meter"] = rows
        counted = self._metrology.counted(rows, frame.import_wh, frame.export_wh)
        # A register never runs backwards, not even by the rounding between two frames.
        knots["counted_wh"] = counted if before is None else np.maximum(counted, counted_wh(before, frame.time_s))
        knots["wh_per_s"] = self._metrology.measured(rows, physics.import_wh_per_s, physics.export_wh_per_s)
        knots["active_power_w"] = frame.active_power_w.sum(axis=1) * self._metrology.gains
        knots["voltage_v"] = frame.voltage_v
        self._write(frame.time_s, touched, knots, frame)

    def _keep(self, rows: Rows) -> None:
        """Keep the state of `rows`, which begin or cease to answer."""
        knots = None
        if self._knots is not None:
            knots = self._knots[rows]
            knots["counted_wh"] = counted_wh(knots, self._now_s)
        self._write(self._now_s, rows, knots)

    def _write(
        self, now_s: int, touched: Rows, knots: NDArray[np.void] | None, frame: WorldFrame | None = None
    ) -> None:
        """`knots` are completed, and hold from `now_s` on."""
        if knots is not None:
            knots["from_s"] = now_s
            knots["energised"] = self._state["energised"][knots["meter"]]
            knots["answers_from_s"] = self._answers_from_s(knots["meter"])
            if self._knots is None:
                self._knots = knots
            else:
                self._knots[knots["meter"]] = knots
        self._memory.commit(
            now_s,
            self._state,
            touched,
            frame=None if frame is None else frame.to_bytes(),
            knots=None if knots is None else knots.tobytes(),
        )
        self._kept_s = now_s
        self._shown_at = math.nan

    def _answers_from_s(self, rows: Rows) -> NDArray[np.float64]:
        state, gateways = self._state[rows], self._gateway_of[rows]
        opens_s = self._open_due_s[gateways]
        is_open = np.isinf(opens_s) & self._state["energised"][self._heads[gateways]]
        from_s = np.where(is_open, state["up_at_s"], np.maximum(state["up_at_s"], opens_s))
        answers = state["energised"] & np.isnan(state["uplink_lost_at_s"])
        return np.where(answers, from_s, NEVER_S)

    def _kept_knots(self) -> NDArray[np.void]:
        return np.frombuffer(self._memory.all_knots(), dtype=KNOT)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # Reading.

    def _read(self, row: int) -> list[int] | None:
        """All registers of a meter at the present instant, or None if it does not answer."""
        now_s = self.instant_s
        if self._knots is None or self._physics is None or self._knots[row]["answers_from_s"] > now_s:
            return None
        if now_s >= self._kept_s + 1:
            # Whoever goes on from this memory must not go back behind what was answered.
            try:
                self._write(int(now_s), np.empty(0, dtype=np.intp), None)
            except MemoryFailedError as error:
                # pymodbus would only log it and answer "device failure".
                self._failure = error
                return None
        if now_s != self._shown_at:
            self._shown_at = now_s
            self._shown.clear()
        registers = self._shown.get(row)
        if registers is None:
            registers = self._shown[row] = registers_of(self._values(row, now_s))
        return registers

    def _energies_wh(self, row: int, now_s: float) -> NDArray[np.int64]:
        """Registers (8,) as they are displayed: import and export in total, then per phase."""
        assert self._knots is not None
        digits: NDArray[np.int64] = self._display.digits(counted_wh(self._knots[[row]], now_s))[0]
        return digits

    def _values(self, row: int, now_s: float) -> dict[str, float]:
        assert self._physics is not None
        frame = self._physics.frame
        gain = self._metrology.gain(row)
        power_w, reactive_var = frame.active_power_w[row] * gain, frame.reactive_power_var[row] * gain
        voltage_v = frame.voltage_v[row]
        apparent_va = np.hypot(power_w, reactive_var)
        current_a = np.divide(apparent_va, voltage_v, out=np.zeros(3), where=voltage_v > 0)
        values = {
            "active_power_w": float(power_w.sum()),
            "reactive_power_var": float(reactive_var.sum()),
            "power_factor": _power_factor(float(power_w.sum()), float(reactive_var.sum())),
            "frequency_hz": self._facts.frequency_hz,
        }
        for phase in range(3):
            values[f"voltage_l{phase + 1}_v"] = float(voltage_v[phase])
            values[f"current_l{phase + 1}_a"] = float(current_a[phase])
            values[f"active_power_l{phase + 1}_w"] = float(power_w[phase])
        energy_kwh = (self._energies_wh(row, now_s) / 1000).tolist()
        names = ("import", "export", *(f"{way}_l{phase}" for way in ("import", "export") for phase in (1, 2, 3)))
        values |= {f"{name}_kwh": energy for name, energy in zip(names, energy_kwh, strict=True)}
        values["total_kwh"] = energy_kwh[0] + energy_kwh[1]
        for phase in (1, 2, 3):
            values[f"total_l{phase}_kwh"] = values[f"import_l{phase}_kwh"] + values[f"export_l{phase}_kwh"]
        return values


def _power_factor(active_w: float, reactive_var: float) -> float:
    apparent_va = math.hypot(active_w, reactive_var)
    return active_w / apparent_va if apparent_va else 1.0


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
