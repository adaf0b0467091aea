"""Polled meters: is what is stored what the meter showed to who read it? Pure.

Their journal has the curve of each meter's registers, so what a meter showed, or would have shown, is known for every
instant, whoever asked. Who polls says when it read the registers at either end of an interval (`window_start`,
`window_end` of `stored`); of who does not say it, any reading near the boundary will do. Registers only grow, so what
is possible is a range, between what the meter showed first and last.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.discrepancies import Finding, finding_at
from lab.verdict.identity import CHANNELS, by_way, resolution
from lab.verdict.keys import Int, codes_of, integers, micros, numbers
from lab.verdict.sides import Side, is_actual
from lab.verdict.tables import POWERS_BY_WAY, RunTables, capability
from meters.device.curve import (
    DIGIT_COLUMNS,
    MOMENTARY_NAMES,
    SHOWN_REGISTERS,
    Curves,
    Display,
    Shown,
    knots_of,
)

Float = NDArray[np.float64]
_ADVANCES = {name: at for at, name in enumerate(SHOWN_REGISTERS)}
_REGISTERS = {"_register_".join(name.rsplit("_", 1)): at for name, at in _ADVANCES.items()}
"""Channels that a register advances by, and channels that are a register: which of SHOWN_REGISTERS."""
NEAR_S = 60
"""So far from a boundary a reading is still the boundary's, but no further than the next (docs/wire-sdm630.md)."""
STATED_WITHIN_S = 5.0
"""On the wall clock, how far a stated instant may be from the meter's: clocks, and the time that an answer takes."""
_HALF_A_WH = 0.5
_ROUNDING = 1.001
"""Values are stored rounded, and float32 on the wire."""


@dataclass(frozen=True, slots=True)
class Registers:
    """The curves of meters without a load profile, by usage point code; `polled` (codes,): which these are, whoever
    asks or tells; and the length of their intervals."""

    curves: Curves
    polled: NDArray[np.bool_]
    length_s: Int
    stated_within_s: float

    @classmethod
    def of(cls, tables: RunTables, known: dict[str, int], *, in_lockstep: bool) -> Self:
        """`known`: codes of usage points, of which the fleet has the first, in its order."""
        count = len(known)
        polled, length_s = np.zeros(count, dtype=bool), np.ones(count, dtype=np.int64)
        polled[: len(tables.fleet)] = ~capability(tables.fleet, "keeps_load_profile")
        length_s[: len(tables.fleet)] = integers(tables.fleet["interval_length_s"])
        table = tables.registers
        knots = knots_of(table, codes_of(table["usage_point"], known))
        return cls(
            Curves(knots, _displays(table, knots["meter"], count)),
            polled,
            length_s,
            0.0 if in_lockstep else STATED_WITHIN_S,
        )

    def near(self, points: Int, boundaries_us: Int, stated_s: Float) -> Shown:
        """What could be read of `points` (m,) for boundaries (m,): at stated instants (m,) or, where NaN, near them."""
        boundaries_s = boundaries_us / 1e6
        near_s = np.minimum(NEAR_S, self.length_s[points])
        stated = ~np.isnan(stated_s)
        first_s = np.where(
            stated, np.maximum(stated_s - self.stated_within_s, boundaries_s - near_s), boundaries_s - near_s
        )
        last_s = np.where(
            stated, np.minimum(stated_s + self.stated_within_s, boundaries_s + near_s), boundaries_s + near_s
        )
        return self.curves.within(points, first_s, last_s)

    def steps_wh(self, points: Int, register_wh: Float) -> Float:
        """In which steps registers of `points` (m,) are read that stand at `register_wh` (m,): whole Wh at least;
        float32 has coarser ones the higher it counts."""
        display = self.curves.display.of(points)
        step_wh, unit_wh = np.maximum(np.ravel(display.step_wh), 1.0), np.ravel(display.float32_unit_wh)
        unit = np.where(unit_wh > 0, unit_wh, 1.0)
        spacing_wh = np.spacing((np.nan_to_num(register_wh) / unit).astype(np.float32)).astype(np.float64) * unit
        return np.asarray(np.where(unit_wh > 0, np.maximum(step_wh, spacing_wh), step_wh), dtype=np.float64)

    def nearest(self, points: Int, shown: Shown, register: int, read_wh: Float) -> Float:
        """Registers of `points` (m,) as they were read (m,), without the roll-over, next to what was shown."""
        roll_over_wh = np.ravel(self.curves.display.of(points).roll_over_wh)
        least = shown.lowest_wh[:, register]
        nearest: Float = least + (read_wh - least + roll_over_wh / 2) % roll_over_wh - roll_over_wh / 2
        return nearest


def altered_registers(tables: RunTables, stored: Side, registers: Registers) -> tuple[int, list[Finding]]:
    """Actual rows of polled meters that nobody can have read: the count, and findings.

    The curves round as the wire does, so what was read is known to a step of the count, however coarse float32 is.
    """
    rows = np.flatnonzero(is_actual(tables.stored) & registers.polled[stored.points])
    points = stored.points[rows]
    starts_us, ends_us, length_us = stored.starts_us[rows], stored.ends_us[rows], registers.length_s[points] * 1_000_000
    opened = registers.near(points, starts_us, _stated_s(tables, "window_start")[rows])
    closed = registers.near(points, ends_us, _stated_s(tables, "window_end")[rows])
    whole = (starts_us % length_us == 0) & (ends_us % length_us == 0) & (ends_us > starts_us)
    readable = whole & opened.answers & closed.answers
    seen = _Seen(tables, registers, points, rows, opened, closed)
    channel, nearest, found = np.full(len(rows), -1), np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for code, name in enumerate(CHANNELS):
        if name not in tables.stored.column_names or not seen.knows(name):
            continue
        values = seen.as_read(name)
        least, most = seen.possible(name)
        closest = np.clip(values, least, most)
        news = (np.abs(values - closest) >= seen.tolerance(name, closest)) & (channel < 0)
        if name == "import_wh":
            news |= np.isnan(values)
        channel[news], nearest[news], found[news] = code, closest[news], values[news]
    hit = readable & (channel >= 0)
    differing = finding_at(
        stored,
        "altered",
        rows[hit],
        journal=nearest[hit],
        stored=found[hit],
        by=np.abs(found - nearest)[hit],
        channels=channel[hit],
    )
    made_up = rows[~readable]
    fabricated = finding_at(stored, "fabricated", made_up, stored=numbers(tables.stored["import_wh"])[made_up])
    return int(hit.sum()) + len(made_up), [differing, fabricated]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What could be read of polled meters' `rows` of `stored` (m,), at either end of their intervals."""

    tables: RunTables
    registers: Registers
    points: Int
    rows: Int
    opened: Shown
    closed: Shown

    def knows(self, name: str) -> bool:
        """Whether the curves say anything of a channel. They have neither maximum demand nor status."""
        if name in POWERS_BY_WAY.split():
            return True
        if name in MOMENTARY_NAMES:
            # Curves of earlier releases have fewer. A power factor is made of both powers.
            phase = name[-1]
            source = f"reactive_power_l{phase}_var" if name.startswith("power_factor") else name
            return source in self.tables.registers.column_names
        return name in _REGISTERS or name in _ADVANCES

    def as_read(self, name: str) -> Float:
        """Stored values (m,) of a channel; those of registers without the roll-over, next to what was shown."""
        values = numbers(self.tables.stored[name])[self.rows]
        if name not in _REGISTERS:
            return values
        return self.registers.nearest(self.points, self.closed, _REGISTERS[name], values)

    def possible(self, name: str) -> tuple[Float, Float]:
        """Least and most (m,) that could be read of a channel."""
        if name in POWERS_BY_WAY.split():
            net = MOMENTARY_NAMES.index("active_power_w")
            ends = by_way(name, self.closed.least[:, net]), by_way(name, self.closed.most[:, net])
            return np.minimum(*ends), np.maximum(*ends)
        if name in MOMENTARY_NAMES:
            at = MOMENTARY_NAMES.index(name)
            return self.closed.least[:, at], self.closed.most[:, at]
        if name in _REGISTERS:
            lowest_wh, highest_wh = (
                each[:, _REGISTERS[name]] for each in (self.closed.lowest_wh, self.closed.highest_wh)
            )
            return lowest_wh.astype(np.float64), highest_wh.astype(np.float64)
        least, most = _advance(self.opened, self.closed, _ADVANCES[name])
        register = "_register_".join(name.rsplit("_", 1))
        if register in self.tables.stored.column_names:
            # Then one end of the difference is known.
            read_wh = self.as_read(register)
            least = np.fmax(least, read_wh - self.opened.highest_wh[:, _ADVANCES[name]])
            most = np.fmax(least, np.fmin(most, read_wh - self.opened.lowest_wh[:, _ADVANCES[name]]))
        return least, most

    def tolerance(self, name: str, closest: Float) -> Float:
        """From which difference (m,) on a value is another one: both the wire and who reads it have rounded."""
        display = self.registers.curves.display.of(self.points)
        half = resolution(name, np.maximum(np.ravel(display.step_wh), 1.0)) / 2 * _ROUNDING
        if name in _REGISTERS or name in _ADVANCES:
            return half
        digit = np.ravel(display.digit_of("active_power_w" if name in POWERS_BY_WAY.split() else name))
        return half + digit / 2 + 2 * np.spacing(np.abs(closest).astype(np.float32)).astype(np.float64)


def _displays(table: pa.Table, meters: Int, count: int) -> Display:
    """How each of `count` meters shows its registers; `meters`: whose the rows of `table` are."""
    # Whoever has no curve shows nothing.
    step_wh, roll_over_wh, float32_unit_wh = np.ones(count), np.ones(count, dtype=np.int64), np.zeros(count)
    step_wh[meters] = numbers(table["counting_step_wh"])
    roll_over_wh[meters] = integers(table["roll_over_wh"])
    float32_unit_wh[meters] = numbers(table["float32_unit_wh"])
    digits_of: dict[str, Float] = {}
    for column, names in DIGIT_COLUMNS.items():
        if column in table.column_names:
            digit = np.zeros(count)
            digit[meters] = np.nan_to_num(numbers(table[column]))
            digits_of |= dict.fromkeys(names, digit)
    return Display(step_wh, roll_over_wh, float32_unit_wh, digits_of)


def _advance(opened: Shown, closed: Shown, register: int) -> tuple[Float, Float]:
    """By how much (m,) a register could be seen to advance, at least and at most."""
    least = closed.lowest_wh[:, register] - opened.highest_wh[:, register]
    most = closed.highest_wh[:, register] - opened.lowest_wh[:, register]
    return least.astype(np.float64), most.astype(np.float64)


def estimates_off(
    tables: RunTables, stored: Side, registers: Registers, *, start_s: float, end_s: float
) -> tuple[int, list[Finding]]:
    """How many runs of estimates of a polled meter do not sum to what it showed at the polls on either side.

    A run is as many estimated intervals as follow one another, up to the next poll that is stated. What is stored
    beyond the judged window is not known: a run that no stated poll ends at its edge is not judged.
    """
    picked = np.flatnonzero(~is_actual(tables.stored) & registers.polled[stored.points])
    picked = picked[np.lexsort((stored.starts_us[picked], stored.points[picked]))]
    if not len(picked):
        return 0, []
    points, starts_us, ends_us = stored.points[picked], stored.starts_us[picked], stored.ends_us[picked]
    opened_s, closed_s = (_stated_s(tables, name)[picked] for name in ("window_start", "window_end"))
    follows = (points[1:] == points[:-1]) & (starts_us[1:] == ends_us[:-1]) & np.isnan(opened_s[1:])
    first = np.flatnonzero(np.append(True, ~follows))
    last = np.append(first[1:], len(picked)) - 1
    opened = registers.near(points[first], starts_us[first], opened_s[first])
    closed = registers.near(points[first], ends_us[last], closed_s[last])
    cut = (np.isnan(opened_s[first]) & (starts_us[first] == round(start_s * 1e6))) | (
        np.isnan(closed_s[last]) & (ends_us[last] == round(end_s * 1e6))
    )
    off = ~(opened.answers & closed.answers)
    sums = {}
    for channel, name in enumerate(("import_wh", "export_wh")):
        if name in tables.stored.column_names:
            sums[name] = np.add.reduceat(numbers(tables.stored[name])[picked], first)
            least, most = _advance(opened, closed, channel)
            off |= ~((sums[name] > least - _HALF_A_WH) & (sums[name] < most + _HALF_A_WH))
    off &= ~cut
    shown_wh = np.clip(sums["import_wh"], *_advance(opened, closed, 0))
    finding = Finding(
        "estimate_off",
        points[first][off],
        starts_us[first][off],
        ((ends_us[last] - starts_us[first]) // 1_000_000)[off],
        journal=shown_wh[off],
        stored=sums["import_wh"][off],
        by=(sums["import_wh"] - shown_wh)[off],
    )
    return int(off.sum()), [finding]


def _stated_s(tables: RunTables, name: str) -> Float:
    """An instant of each stored row in epoch seconds, NaN where it is not stated."""
    if name not in tables.stored.column_names:
        return np.full(len(tables.stored), np.nan)
    times_us = micros(tables.stored[name])
    return np.where(times_us == np.iinfo(np.int64).min, np.nan, times_us / 1e6)
