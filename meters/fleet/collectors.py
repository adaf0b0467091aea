"""The collectors of a shard as devices: which meters they have, their supply with its battery, and their uplink.

A collector hangs on the supply of its first meter's usage point. When that is lost it runs on from its battery; when
the battery is empty it is dead until the supply is back and it has started again. All instants are whole true seconds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from meters.carriers.sparkplug.session import FIRST_BD_SEQ_AFTER
from meters.device.draws import Purpose, meter_keys, uniform
from meters.device.facts import CollectedFacts
from meters.device.state import NEVER_S, Rows, ShardState
from meters.errors import FleetError
from meters.fleet.core import ShardSetup
from meters.fleet.shipment import ShipmentEntry
from meters.radio.setup import NetworkSetup, innermost

COLLECTOR_STATE = np.dtype(
    [
        # It runs, on supply or battery.
        ("powered", "?"),
        # It has supply.
        ("mains", "?"),
        # Its hardware is dead.
        ("failed", "?"),
        ("battery_due_s", "<f8"),
        ("boot_due_s", "<f8"),
        ("uplink_lost_at_s", "<f8"),
        # When the broker has missed the keep-alive.
        ("close_due_s", "<f8"),
        ("bd_seq", "<i8"),
    ]
)

_REPORT_OFFSET_S = (5, 60)


def by_collector(setup: ShardSetup) -> ShardSetup:
    """The same shard with its meters in the order of their addresses: those of a collector are neighbours.

    With a network the first of them is the one beside which the collector stands.
    """
    network, entries = setup.network, setup.entries
    first = _innermost(entries, network) if network is not None else set()
    order = sorted(range(len(entries)), key=lambda row: (entries[row].address, row not in first))
    return replace(
        setup,
        entries=tuple(entries[row] for row in order),
        world_rows=tuple(setup.world_rows[row] for row in order),
        network=None if network is None else network.of(order),
    )


def _innermost(entries: Sequence[ShipmentEntry], network: NetworkSetup) -> set[int]:
    """The meter of each collector beside which it stands, and whose supply it has."""
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, entry in enumerate(entries):
        rows_of[entry.address].append(row)
    positions_m = network.positions()
    return {rows[innermost(positions_m[rows])] for rows in rows_of.values()}


class Collectors:
    """Collector c is `names[c]` and has the rows `first[c]` to `end[c]`, exclusive, of the shard.

    The shard's entries must be in the order of their addresses.
    """

    def __init__(self, entries: Sequence[ShipmentEntry], seed: int, facts: CollectedFacts) -> None:
        """Raises FleetError if a meter has no collector, or a collector more than one user name."""
        addresses = [entry.address for entry in entries]
        if nameless := [entry.serial for entry in entries if not entry.address]:
            raise FleetError(f"no collector (column address) for {', '.join(nameless[:10])}")
        self.names: list[str] = list(dict.fromkeys(addresses))
        self.number_of = {name: number for number, name in enumerate(self.names)}
        self.of_row = np.array([self.number_of[address] for address in addresses], dtype=np.intp)
        self.first = np.searchsorted(self.of_row, np.arange(len(self.names)), side="left")
        self.end = np.searchsorted(self.of_row, np.arange(len(self.names)), side="right")
        for name, first, end in zip(self.names, self.first.tolist(), self.end.tolist(), strict=True):
            if len({(entry.group, entry.username, entry.password) for entry in entries[first:end]}) > 1:
                raise FleetError(f"the meters of collector {name} differ in group, username or password")
        self.keys = meter_keys(seed, self.names)
        self.report_offset_s = np.minimum(
            np.floor(uniform(self.keys, Purpose.REPORT_OFFSET, 0, *_REPORT_OFFSET_S)), facts.report_every_s - 1
        )
        self._facts = facts
        self.state: ShardState = np.zeros(len(self.names), dtype=COLLECTOR_STATE)
        self.state["uplink_lost_at_s"] = np.nan
        self.state["bd_seq"] = FIRST_BD_SEQ_AFTER
        for timer in ("battery_due_s", "boot_due_s", "close_due_s"):
            self.state[timer] = NEVER_S

    def resume(self, kept: bytes) -> None:
        """Go on from the state of a process before, whose sockets are closed."""
        self.state = np.frombuffer(kept, dtype=COLLECTOR_STATE).copy()
        self.state["close_due_s"] = NEVER_S

    def rows(self, number: int) -> Rows:
        """The meters of a collector."""
        return np.arange(self.first[number], self.end[number])

    def span(self, number: int) -> slice:
        """The same, as they lie beside each other."""
        return slice(int(self.first[number]), int(self.end[number]))

    def able(self, numbers: Rows) -> NDArray[np.bool_]:
        """Which of these run, and have an uplink."""
        state = self.state[numbers]
        able: NDArray[np.bool_] = state["powered"] & np.isnan(state["uplink_lost_at_s"])
        return able

    def begin(self, energised: NDArray[np.bool_]) -> None:
        """Supply of the meters (n,) at the start: as if it had been so for long."""
        self.state["powered"] = self.state["mains"] = energised[self.first]

    def supply_changed(self, lost: Rows, back: Rows, now_s: int) -> Rows:
        """Supply of these meters is lost, or back. Returns the collectors whose own it is."""
        without, again = (np.flatnonzero(np.isin(self.first, rows)) for rows in (lost, back))
        self.state["mains"][without] = False
        self.state["mains"][again] = True
        on_battery = without[self.state["powered"][without]]
        self.state["battery_due_s"][on_battery] = math.ceil(now_s + self._facts.collector_battery_s)
        # In a start the battery has nothing to give yet.
        self.state["boot_due_s"][without[~self.state["powered"][without]]] = NEVER_S
        self.state["battery_due_s"][again] = NEVER_S
        dead = again[~self.state["powered"][again] & ~self.state["failed"][again]]
        self.state["boot_due_s"][dead] = np.ceil(now_s + self._boot_delay_s(dead, now_s))
        return np.concatenate([without, again])

    def reboot(self, numbers: Rows, now_s: int) -> Rows:
        """Restart those of these that run; returns which."""
        running: Rows = numbers[self.state["powered"][numbers]]
        delay_s = self._boot_delay_s(running, now_s) + self._facts.reboot_extra_s
        self.state["powered"][running] = False
        self.state["battery_due_s"][running] = NEVER_S
        self.state["close_due_s"][running] = NEVER_S
        self.state["boot_due_s"][running] = np.ceil(now_s + delay_s)
        return running

    def fail(self, numbers: Rows, now_s: int) -> Rows:
        """The hardware of these dies; returns which ran. Those are silent from now on."""
        running: Rows = numbers[self.state["powered"][numbers]]
        self.state["failed"][numbers] = True
        self.state["powered"][numbers] = False
        self.state["battery_due_s"][numbers] = NEVER_S
        self.state["boot_due_s"][numbers] = NEVER_S
        self.state["close_due_s"][running] = math.ceil(now_s + self._facts.silence_limit_s)
        return running

    def mend(self, numbers: Rows, now_s: int) -> None:
        """These have new hardware; those with supply start."""
        dead: Rows = numbers[self.state["failed"][numbers]]
        self.state["failed"][dead] = False
        starting = dead[self.state["mains"][dead]]
        self.state["boot_due_s"][starting] = np.ceil(now_s + self._boot_delay_s(starting, now_s))

    def fire_batteries(self, now_s: int) -> Rows:
        """Which batteries are empty now: their collectors fall silent."""
        empty = np.flatnonzero(self.state["battery_due_s"] <= now_s)
        self.state["battery_due_s"][empty] = NEVER_S
        self.state["powered"][empty] = False
        self.state["close_due_s"][empty] = math.ceil(now_s + self._facts.silence_limit_s)
        return empty

    def fire_boots(self, now_s: int) -> Rows:
        """Which have started now."""
        started = np.flatnonzero(self.state["boot_due_s"] <= now_s)
        self.state["boot_due_s"][started] = NEVER_S
        self.state["close_due_s"][started] = NEVER_S
        self.state["powered"][started] = True
        return started

    def fire_closes(self, now_s: int) -> Rows:
        """Which the broker takes for gone now."""
        gone = np.flatnonzero(self.state["close_due_s"] <= now_s)
        self.state["close_due_s"][gone] = NEVER_S
        return gone

    def lose_uplink(self, numbers: Rows, now_s: int) -> Rows:
        """Those of these that had an uplink have none from now on; returns which."""
        had: Rows = numbers[np.isnan(self.state["uplink_lost_at_s"][numbers])]
        self.state["uplink_lost_at_s"][had] = now_s
        silent = had[self.state["powered"][had]]
        self.state["close_due_s"][silent] = math.ceil(now_s + self._facts.silence_limit_s)
        return had

    def restore_uplink(self, numbers: Rows, now_s: int) -> tuple[Rows, NDArray[np.float64]]:
        """Which of these had lost their uplink and have it back, and for how long they were without (m,)."""
        back: Rows = numbers[~np.isnan(self.state["uplink_lost_at_s"][numbers])]
        lost_for_s: NDArray[np.float64] = now_s - self.state["uplink_lost_at_s"][back]
        self.state["uplink_lost_at_s"][back] = np.nan
        self.state["close_due_s"][back[self.state["powered"][back]]] = NEVER_S
        return back, lost_for_s

    def timers(self) -> tuple[NDArray[np.float64], ...]:
        """Of all collectors."""
        return self.state["battery_due_s"], self.state["boot_due_s"], self.state["close_due_s"]

    def _boot_delay_s(self, numbers: Rows, now_s: int) -> NDArray[np.float64]:
        facts = self._facts
        return uniform(self.keys[numbers], Purpose.BOOT_DELAY, now_s, facts.boot_delay_min_s, facts.boot_delay_max_s)
