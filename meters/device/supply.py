"""From the loss of supply to its return: a small automaton per meter, over the arrays of a shard.

    ON --lost--> QUALIFYING --delay + offset--> GASPED --super-capacitor empty--> DEAD --back--> BOOTING --> ON
                     |  back: momentary            |  back: power_restore, no boot            |  lost: DEAD again
                     +--------> ON                 +--------> ON                              +--> (as before)

The super-capacitor carries the communication processor only; the measuring element starts and stops with the supply.
It is taken as charged again as soon as the supply is back. A meter without one is DEAD at once. All instants are whole
true seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto, unique

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.device.facts import ConnectedFacts, Facts, PolledFacts
from meters.device.state import NEVER_S, Rows, ShardState, field


@unique
class Phase(IntEnum):
    """Where a meter stands. Values are kept in durable memory."""

    ON = 0
    QUALIFYING = 1
    GASPED = 2
    DEAD = 3
    BOOTING = 4
    REBOOTING = 5


class Change(Enum):
    """What the rest of the meter has to act on."""

    LAST_GASP = auto()
    MOMENTARY = auto()
    RESTORED = auto()
    """Supply is back before the super-capacitor was empty."""
    DIED = auto()
    FORGOTTEN = auto()
    """So long dead that the broker takes the connection for gone."""
    BOOTED = auto()
    REBOOTED = auto()


@dataclass(frozen=True, slots=True)
class Changed:
    """One meter's change at the instant that was handled."""

    row: int
    change: Change


class Supplies:
    """The automata behind the fields `phase`, `down_at_s`, `up_at_s`, `supply_due_s` and `boots` of a shard's state."""

    def __init__(self, state: ShardState, keys: NDArray[np.uint64], facts: ConnectedFacts) -> None:
        self._keys = keys
        self._facts = facts
        self._reserve = facts if isinstance(facts, Facts) else None
        self._phase = field(state, "phase")
        self._down_at_s = field(state, "down_at_s")
        self._up_at_s = field(state, "up_at_s")
        self._due_s = field(state, "supply_due_s")
        self._boots = field(state, "boots")

    def begin(self, energised: NDArray[np.bool_], now_s: int) -> None:
        """How all meters stand at the start: as if they had been on, or dead, for long."""
        self._phase[:] = np.where(energised, Phase.ON, Phase.DEAD)
        self._down_at_s[:] = now_s
        self._up_at_s[:] = now_s
        self._due_s[:] = NEVER_S
        self._boots[:] = energised

    def alive(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of `rows` have a running communication processor, on supply or on the super-capacitor."""
        running: NDArray[np.bool_] = self._phase[rows] <= Phase.GASPED
        return running

    def lose(self, rows: Rows, now_s: int) -> list[Changed]:
        """Supply of `rows` is lost at `now_s`."""
        was_on = rows[self._phase[rows] == Phase.ON]
        self._down_at_s[was_on] = now_s
        if self._reserve is None:
            self._phase[was_on] = Phase.DEAD
            self._due_s[was_on] = np.ceil(now_s + self._facts.silence_limit_s)
            changed = [Changed(row, Change.DIED) for row in was_on.tolist()]
        else:
            limit_s = self._reserve.qualifying_offset_s
            offset_s = uniform(self._keys[was_on], Purpose.QUALIFYING_OFFSET, now_s, 0.0, limit_s)
            self._phase[was_on] = Phase.QUALIFYING
            self._due_s[was_on] = np.ceil(now_s + self._reserve.qualifying_delay_s + offset_s)
            changed = []
        # In a boot the super-capacitor has nothing to give yet. The outage that the boot would have ended goes on.
        booting = rows[self._phase[rows] == Phase.BOOTING]
        rebooting = rows[self._phase[rows] == Phase.REBOOTING]
        self._down_at_s[rebooting] = now_s
        for again in (booting, rebooting):
            self._phase[again] = Phase.DEAD
            self._due_s[again] = np.ceil(now_s + self._facts.silence_limit_s)
        return changed

    def restore(self, rows: Rows, now_s: int) -> list[Changed]:
        """Supply of `rows` is back at `now_s`."""
        self._up_at_s[rows] = now_s
        changed = [Changed(int(row), Change.MOMENTARY) for row in rows[self._phase[rows] == Phase.QUALIFYING]]
        changed += [Changed(int(row), Change.RESTORED) for row in rows[self._phase[rows] == Phase.GASPED]]
        on = rows[self.alive(rows)]
        dead = rows[self._phase[rows] == Phase.DEAD]
        self._phase[on] = Phase.ON
        self._due_s[on] = NEVER_S
        self._phase[dead] = Phase.BOOTING
        self._due_s[dead] = np.ceil(now_s + self._boot_delay_s(dead, now_s))
        return changed

    def reboot(self, rows: Rows, now_s: int) -> Rows:
        """Restart the communication processors of those `rows` that are on supply and running; returns which."""
        running: Rows = rows[self._phase[rows] == Phase.ON]
        self._phase[running] = Phase.REBOOTING
        delay_s = self._boot_delay_s(running, now_s) + self._facts.reboot_extra_s
        self._due_s[running] = np.ceil(now_s + delay_s)
        return running

    def fire(self, now_s: int) -> list[Changed]:
        """Run every timer due at `now_s`, one step of each automaton, by row."""
        changed = []
        for row in np.flatnonzero(self._due_s <= now_s):
            match Phase(self._phase[row]):
                case Phase.QUALIFYING:
                    assert self._reserve is not None, "without a super-capacitor nothing qualifies"
                    self._phase[row] = Phase.GASPED
                    self._due_s[row] = np.ceil(self._down_at_s[row] + self._reserve.hold_up_s)
                    change = Change.LAST_GASP
                case Phase.GASPED:
                    self._phase[row] = Phase.DEAD
                    self._due_s[row] = np.ceil(now_s + self._facts.silence_limit_s)
                    change = Change.DIED
                case Phase.DEAD:
                    self._due_s[row] = NEVER_S
                    change = Change.FORGOTTEN
                case (Phase.BOOTING | Phase.REBOOTING) as phase:
                    self._phase[row] = Phase.ON
                    self._due_s[row] = NEVER_S
                    self._boots[row] += 1
                    change = Change.BOOTED if phase is Phase.BOOTING else Change.REBOOTED
                case Phase.ON:
                    raise AssertionError(f"meter {row} is on supply, yet has a supply timer")
            changed.append(Changed(int(row), change))
        return changed

    def _boot_delay_s(self, rows: Rows, now_s: int) -> NDArray[np.float64]:
        return uniform(
            self._keys[rows], Purpose.BOOT_DELAY, now_s, self._facts.boot_delay_min_s, self._facts.boot_delay_max_s
        )


class PlainSupply:
    """Of meters that answer a while after their supply is back, and never before: the field `up_at_s`. No timers."""

    def __init__(self, state: ShardState, facts: PolledFacts) -> None:
        self._facts = facts
        self._up_at_s = field(state, "up_at_s")

    def begin(self, _energised: NDArray[np.bool_], now_s: int) -> None:
        """As if they had been on, or dead, for long."""
        self._up_at_s[:] = now_s

    def lose(self, _rows: Rows, _now_s: int) -> list[Changed]:
        """Nothing runs on."""
        return []

    def restore(self, rows: Rows, now_s: int) -> list[Changed]:
        """Supply of `rows` is back at `now_s`."""
        self._up_at_s[rows] = now_s + self._facts.start_up_s
        return []

    def reboot(self, rows: Rows, now_s: int) -> Rows:
        """Restart `rows`; returns which."""
        self._up_at_s[rows] = now_s + self._facts.reboot_s
        return rows

    def fire(self, _now_s: int) -> list[Changed]:
        return []
