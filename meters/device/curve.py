"""What meters without a load profile have counted, as a function of time: the curve that they show, and their journal.

Between two changes a register advances with a constant rate, so its value at any instant is exact, whoever asks and
however often. A *knot* is where the curve of a meter changes: at each physical frame, and when the meter begins or
ceases to answer. Whoever has the knots knows what the meter showed, or would have shown, at every instant: `Curves`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from meters.device.metrology import power_factor
from meters.device.quantities import CHANNELS, LIMITED_NAMES, LIMITS, QUADRANT_NAMES, REGISTER_NAMES

Float = NDArray[np.float64]
Int = NDArray[np.int64]

KNOT = np.dtype(
    [
        ("meter", "<i4"),
        ("from_s", "<i8"),
        ("energised", "?"),
        # When it answers: from then on, if that lies before the next knot. NEVER_S: not at all.
        ("answers_from_s", "<f8"),
        # REGISTER_NAMES (meters/device/quantities.py), not yet cut to whole steps, before the roll-over.
        ("counted_wh", "<f8", (CHANNELS,)),
        ("wh_per_s", "<f8", (CHANNELS,)),
        # LIMITED_NAMES: by how much the class lets what was counted since the curve began be wrong.
        ("allowed_wh", "<f8", (LIMITS,)),
        ("allowed_wh_per_s", "<f8", (LIMITS,)),
        ("active_power_w", "<f8"),
        ("voltage_v", "<f8", (3,)),
        ("current_a", "<f8", (3,)),
        ("phase_power_w", "<f8", (3,)),
        ("phase_reactive_var", "<f8", (3,)),
    ]
)


def _named(names: Sequence[str], counted: str) -> tuple[str, ...]:
    """import_wh becomes import_<counted>_wh."""
    return tuple(f"{name.rpartition('_')[0]}_{counted}_{name.rpartition('_')[2]}" for name in names)


_VECTORS = {
    "counted_wh": _named(REGISTER_NAMES, "counted"),
    "wh_per_s": tuple(f"{name}_per_s" for name in REGISTER_NAMES),
    "allowed_wh": _named(LIMITED_NAMES, "allowed"),
    "allowed_wh_per_s": tuple(f"{name}_per_s" for name in _named(LIMITED_NAMES, "allowed")),
    "voltage_v": ("voltage_l1_v", "voltage_l2_v", "voltage_l3_v"),
    "current_a": ("current_l1_a", "current_l2_a", "current_l3_a"),
    "phase_power_w": ("active_power_l1_w", "active_power_l2_w", "active_power_l3_w"),
    "phase_reactive_var": ("reactive_power_l1_var", "reactive_power_l2_var", "reactive_power_l3_var"),
}
"""Fields of a knot with a value for each channel or phase, and their columns in REGISTERS."""
_LATER = ("reactive", "apparent", "current", "active_power_l")
_SCALARS = ("from_s", "energised", "answers_from_s", "active_power_w")

DIGIT_COLUMNS = {
    "active_power_step_w": ("active_power_w",),
    "voltage_step_v": _VECTORS["voltage_v"],
    "current_step_a": _VECTORS["current_a"],
    "active_power_phase_step_w": _VECTORS["phase_power_w"],
    "reactive_power_phase_step_var": _VECTORS["phase_reactive_var"],
    "power_factor_step": ("power_factor_l1", "power_factor_l2", "power_factor_l3"),
}
"""What a meter measures at an instant, by the column that has the worth of its last digit on the wire."""
MOMENTARY_NAMES = tuple(name for names in DIGIT_COLUMNS.values() for name in names)
"""In the order in which arrays have them: (…, MOMENTARY)."""
MOMENTARY = len(MOMENTARY_NAMES)

_SUMS = {"reactive_import_varh": QUADRANT_NAMES[:2], "reactive_export_varh": QUADRANT_NAMES[2:]}
SHOWN_REGISTERS = (*REGISTER_NAMES, *_SUMS)
"""What `Shown` has: the registers, and sums that meters with two registers of reactive energy show."""

REGISTERS = pa.schema(
    [
        ("serial", pa.string()),
        ("usage_point", pa.string()),
        ("from_s", pa.int64()),
        ("energised", pa.bool_()),
        ("answers_from_s", pa.float64()),
        ("active_power_w", pa.float64()),
        *((name, pa.float64()) for names in _VECTORS.values() for name in names),
        ("counting_step_wh", pa.float64()),
        ("roll_over_wh", pa.int64()),
        ("float32_unit_wh", pa.float64()),
        *((name, pa.float64()) for name in DIGIT_COLUMNS),
    ]
)
"""The knots of a journal, ordered by meter and time. Instants are true epoch seconds."""
CORE = frozenset(
    name
    for name in REGISTERS.names
    if not name.startswith(_LATER) and "allowed" not in name and name not in DIGIT_COLUMNS
)
"""The columns that journals of every release have; of others, earlier ones have none, and they read as 0."""


def counted_wh(knots: NDArray[np.void], at_s: Float | float) -> Float:
    """Registers (m, CHANNELS) that the curves of `knots` (m,) have at `at_s`: a scalar, or (m,)."""
    counted: Float = knots["counted_wh"] + knots["wh_per_s"] * _elapsed_s(knots, at_s)
    return counted


def allowed_wh(knots: NDArray[np.void], at_s: Float | float) -> Float:
    """By how much (m, LIMITS) the class lets them be wrong by then."""
    allowed: Float = knots["allowed_wh"] + knots["allowed_wh_per_s"] * _elapsed_s(knots, at_s)
    return allowed


def momentary(knots: NDArray[np.void]) -> Float:
    """What the meters of `knots` (m,) measure while these hold, (m, MOMENTARY)."""
    power_w, reactive_var = knots["phase_power_w"], knots["phase_reactive_var"]
    return np.column_stack(
        [
            knots["active_power_w"],
            knots["voltage_v"],
            knots["current_a"],
            power_w,
            reactive_var,
            power_factor(power_w, reactive_var),
        ]
    )


def _elapsed_s(knots: NDArray[np.void], at_s: Float | float) -> Float:
    elapsed_s: Float = np.broadcast_to(np.asarray(at_s, dtype=np.float64), knots.shape) - knots["from_s"]
    return elapsed_s[:, np.newaxis]


@dataclass(frozen=True, slots=True)
class Display:
    """How registers are shown: in whole steps, with so many digits, and on the wire perhaps as a float32.

    Each field is a scalar, or one value for each meter.
    """

    step_wh: Float | float
    roll_over_wh: Int | int
    float32_unit_wh: Float | float = 0.0
    """Where the wire has float32, how many Wh its unit is; 0 where it shows the steps as they are."""
    digits_of: Mapping[str, Float | float] = field(default_factory=dict)
    """Of MOMENTARY_NAMES, what the last digit on the wire is worth; none where it has float32."""

    def of(self, meters: Int) -> Display:
        """That of `meters` (m,), to be used on registers (m, k)."""
        if np.ndim(self.step_wh) == 0:
            return self
        step_wh, roll_over_wh, float32_unit_wh = (
            np.asarray(each)[meters][:, np.newaxis] for each in (self.step_wh, self.roll_over_wh, self.float32_unit_wh)
        )
        return Display(
            step_wh,
            roll_over_wh,
            float32_unit_wh,
            {name: np.asarray(each)[meters] for name, each in self.digits_of.items()},
        )

    def digit_of(self, name: str) -> Float | float:
        """What the last digit of one of MOMENTARY_NAMES is worth; 0 where there is none."""
        return self.digits_of.get(name, 0.0)

    def as_sent(self, name: str, values: Float) -> Float:
        """Values (m,) of one of MOMENTARY_NAMES as they go over the wire."""
        digit = np.asarray(self.digit_of(name))
        safe = np.where(digit > 0, digit, 1.0)
        sent: Float = np.where(digit > 0, np.rint(values / safe) * safe, values).astype(np.float32).astype(np.float64)
        return sent

    def digits(self, counted: Float) -> Float:
        """What the display has, in Wh."""
        digits: Float = self._steps(counted) % self._steps_in_all * np.float64(self.step_wh)
        return digits

    def with_sums(self, counted: Float) -> Float:
        """SHOWN_REGISTERS (m, k) of registers (m, CHANNELS): a sum is of whole steps."""
        steps = self._steps(counted)
        sums = [steps[:, [REGISTER_NAMES.index(name) for name in names]].sum(axis=1) for names in _SUMS.values()]
        # In the middle of the step, so that no rounding leaves it.
        return np.hstack([counted, (np.column_stack(sums) + 0.5) * self.step_wh])

    def shown(self, counted: Float) -> Int:
        """What a reader makes of registers, in whole Wh."""
        return self.unrolled(counted) % self.roll_over_wh

    def unrolled(self, counted: Float) -> Int:
        """The same as if there were no roll-over, so that values can be compared and subtracted."""
        steps = self._steps(counted)
        turns = steps // self._steps_in_all
        return turns * self.roll_over_wh + self._read_wh((steps - turns * self._steps_in_all) * self.step_wh)

    @property
    def _steps_in_all(self) -> Int | int:
        in_all: Int | int = np.rint(self.roll_over_wh / self.step_wh).astype(np.int64)
        return in_all

    def _steps(self, counted: Float) -> Int:
        return np.floor(counted / self.step_wh).astype(np.int64)

    def _read_wh(self, digits_wh: Float) -> Int:
        """A float32 rounds, the last Wh before the roll-over up to what a reader takes for 0."""
        unit_wh = self.float32_unit_wh
        safe = np.where(np.asarray(unit_wh) > 0, unit_wh, 1.0)
        as_float32 = (digits_wh / safe).astype(np.float32).astype(np.float64) * safe
        read: Int = np.rint(np.where(np.asarray(unit_wh) > 0, as_float32, digits_wh)).astype(np.int64)
        return read


@dataclass(frozen=True, slots=True)
class Shown:
    """What meters could have shown within windows of time: lowest and highest SHOWN_REGISTERS (m, k), and least and
    most of what they measure (m, MOMENTARY).

    `answers` (m,): whether they would have answered at all; where not, the values mean nothing.
    """

    answers: NDArray[np.bool_]
    lowest_wh: Int
    highest_wh: Int
    least: Float
    most: Float


class Curves:
    """The curves of meters 0 to n − 1, from their knots."""

    def __init__(self, knots: NDArray[np.void], display: Display) -> None:
        """`knots` of any order; those of one meter and second in the order in which they came about."""
        self.knots = knots[np.lexsort((np.arange(len(knots)), knots["from_s"], knots["meter"]))]
        self.display = display
        self._origin_s = int(knots["from_s"].min(initial=0)) if len(knots) else 0
        self._span_s = int(knots["from_s"].max(initial=0)) - self._origin_s + 2 if len(knots) else 2
        self._keys = self._key(self.knots["meter"].astype(np.int64), self.knots["from_s"])
        # At each knot, from the meter's first on.
        lengths_s = np.diff(self.knots["from_s"], append=0) * self.knots["energised"]
        before_s = np.concatenate([[0.0], np.cumsum(lengths_s)[:-1]])
        begins = np.append(True, self.knots["meter"][1:] != self.knots["meter"][:-1])[: len(self.knots)]
        self._supplied_s = before_s - before_s[np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))]

    def _key(self, meters: Int, at_s: NDArray[np.generic]) -> Int:
        offset_s = np.floor(at_s.astype(np.float64)).astype(np.int64) - self._origin_s
        return meters * self._span_s + np.clip(offset_s, -1, self._span_s - 2)

    def holding(self, meters: Int, at_s: Float) -> tuple[NDArray[np.bool_], Int]:
        """Whether the curves of `meters` (m,) have begun by `at_s` (m,), and their knots (m,) that hold then."""
        at, begun = self._first(meters, at_s, side="right")
        return begun, at

    def supplied_s(self, meters: Int, at_s: Float) -> Float:
        """For how long `meters` (m,) have had supply since their curves began, at `at_s` (m,) after that."""
        begun, at = self.holding(meters, at_s)
        knots = self.knots[at]
        since_s = np.where(knots["energised"], at_s - knots["from_s"], 0.0)
        return np.where(begun, self._supplied_s[at] + since_s, 0.0)

    def _first(self, meters: Int, at_s: Float, *, side: Literal["left", "right"]) -> tuple[Int, NDArray[np.bool_]]:
        """The knot (m,) that holds at `at_s` (m,), and whether there is one: else the meter's first knot, or another's.

        Of several that begin at that very second `left` takes the first, `right` the last.
        """
        count = len(self.knots)
        if not count:
            return np.zeros(len(meters), dtype=np.int64), np.zeros(len(meters), dtype=bool)
        after = np.searchsorted(self._keys, self._key(meters, at_s), side=side)
        here = np.minimum(after, count - 1)
        begun = (after < count) & (self.knots["meter"][here] == meters) & (self.knots["from_s"][here] <= at_s)
        before = np.maximum(after - 1, 0)
        has_before = (after > 0) & (self.knots["meter"][before] == meters) & (self.knots["from_s"][before] <= at_s)
        return np.where(begun, here, np.where(has_before, before, here)), begun | has_before

    def ends_s(self, at: Int) -> Float:
        """Until when the knots `at` (m,) hold."""
        after = np.minimum(at + 1, len(self.knots) - 1)
        same = (after > at) & (self.knots["meter"][after] == self.knots["meter"][at])
        return np.where(same, self.knots["from_s"][after], np.inf)

    def within(self, meters: Int, first_s: Float, last_s: Float) -> Shown:
        """What `meters` (m,) could have shown from `first_s` to `last_s` (m,), both included."""
        count = len(meters)
        lowest, highest = np.full((count, CHANNELS), np.inf), np.full((count, CHANNELS), -np.inf)
        least, most = np.full((count, MOMENTARY), np.inf), np.full((count, MOMENTARY), -np.inf)
        answers = np.zeros(count, dtype=bool)
        if len(self.knots):
            at, _ = self._first(meters, first_s, side="left")
            rows = np.arange(count)
            while len(rows):
                inside = (at < len(self.knots)) & (
                    self.knots["meter"][np.minimum(at, len(self.knots) - 1)] == meters[rows]
                )
                rows, at = rows[inside], at[inside]
                knots = self.knots[at]
                begins_s = np.maximum(np.maximum(first_s[rows], knots["from_s"]), knots["answers_from_s"])
                ends_s = np.minimum(last_s[rows], self.ends_s(at))
                lit = begins_s <= ends_s
                hit, held = rows[lit], knots[lit]
                answers[hit] = True
                lowest[hit] = np.minimum(lowest[hit], counted_wh(held, begins_s[lit]))
                highest[hit] = np.maximum(highest[hit], counted_wh(held, ends_s[lit]))
                measured = momentary(held)
                least[hit] = np.minimum(least[hit], measured)
                most[hit] = np.maximum(most[hit], measured)
                more = self.ends_s(at) <= last_s[rows]
                rows, at = rows[more], at[more] + 1
        lowest[~answers], highest[~answers] = 0.0, 0.0
        display = self.display.of(meters)
        lowest_wh, highest_wh = (display.unrolled(display.with_sums(each)) for each in (lowest, highest))
        return Shown(answers, lowest_wh, highest_wh, least, most)


def registers_table(curves: Curves, serials: list[str], usage_points: list[str]) -> pa.Table:
    """The knots as a table of `REGISTERS`; `serials` and `usage_points` by meter."""
    knots, display = curves.knots, curves.display.of(curves.knots["meter"])
    columns: dict[str, object] = {
        "serial": pa.array(serials, pa.string()).take(pa.array(knots["meter"])),
        "usage_point": pa.array(usage_points, pa.string()).take(pa.array(knots["meter"])),
        **{name: knots[name] for name in _SCALARS},
        **{
            name: values
            for vector, names in _VECTORS.items()
            for name, values in zip(names, knots[vector].T, strict=True)
        },
        "counting_step_wh": np.broadcast_to(np.ravel(display.step_wh), len(knots)),
        "roll_over_wh": np.broadcast_to(np.ravel(display.roll_over_wh), len(knots)),
        "float32_unit_wh": np.broadcast_to(np.ravel(display.float32_unit_wh), len(knots)),
        **{
            column: np.broadcast_to(np.ravel(display.digit_of(names[0])), len(knots))
            for column, names in DIGIT_COLUMNS.items()
        },
    }
    return pa.table([pa.array(columns[name]) for name in REGISTERS.names], schema=REGISTERS)


def knots_of(table: pa.Table, meters: Int) -> NDArray[np.void]:
    """The knots in a table of `REGISTERS`, whose rows belong to `meters` (m,)."""
    knots = np.zeros(len(table), dtype=KNOT)
    knots["meter"] = meters
    for name in _SCALARS:
        knots[name] = table[name].to_numpy()
    absent = np.zeros(len(table))
    for name, columns in _VECTORS.items():
        knots[name] = np.column_stack(
            [table[column].to_numpy() if column in table.column_names else absent for column in columns]
        )
    return knots
