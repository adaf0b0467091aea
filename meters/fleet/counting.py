"""Meters that count, and show their registers: they keep no intervals and no events.

The clock of whoever reads makes the intervals. What the durable memory keeps is the curve of each meter's registers
(meters/device/curve.py), from which everything that it shows is made, for the instant at which it is shown; so it is
the journal, whoever reads and however often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.device.circuit import circuit, distortions, drawn_distortions, neutral_current, registers
from meters.device.curve import KNOT, Curves, Display, allowed_wh, counted_wh
from meters.device.curve_journal import write_curves
from meters.device.demand import demanded
from meters.device.facts import CountingFacts
from meters.device.metrology import Metrology
from meters.device.physics import Physics
from meters.device.records import Event, IntervalRecord
from meters.device.relay import Cause
from meters.device.state import NO_ROWS, Rows
from meters.device.supply import Changed
from meters.fleet.core import Core
from meters.fleet.demands import Demands
from meters.fleet.parts import Carrier, Timers

Float = NDArray[np.float64]


class Counting:
    """The curves of all meters of a shard."""

    def __init__(
        self,
        core: Core,
        answers_from_s: Callable[[Rows], NDArray[np.float64]],
        *,
        float32_unit_wh: float = 0.0,
        digits_of: Mapping[str, float] | None = None,
        demands: Demands | None = None,
    ) -> None:
        """`answers_from_s`: from when (m,) meters show their registers to anybody; NEVER_S: they do not.

        `float32_unit_wh`: what a unit of energy is worth where the wire has float32. `digits_of`: what the last digit
        of a quantity is worth, where the wire has digits. `demands`: of meters that show them.
        """
        facts = cast(CountingFacts, core.profile.facts)
        self._core = core
        self._facts = facts
        self._answers_from_s = answers_from_s
        self._metrology = Metrology(
            core.keys, facts, step_wh=facts.counting_step_wh, rated_a=core.rated_a, connected=core.connected
        )
        self._demands = demands
        self._distortions = drawn_distortions(core.keys)
        self._display = Display(
            facts.counting_step_wh, facts.register_roll_over_wh, float32_unit_wh, dict(digits_of or {})
        )
        self._knots = _last_of(_kept(core))
        core.knots = self._changed

    def timers(self) -> Timers:
        return ()

    def first_frame(self, energised: NDArray[np.bool_], _now_s: int) -> None:
        self._core.state["energised"] = energised

    def supply_changed(self, lost: Rows, back: Rows, _now_s: int) -> None:
        self._core.state["energised"][lost] = False
        self._core.state["energised"][back] = True

    def phases_changed(self, _lit: NDArray[np.bool_], _now_s: int) -> Rows:
        """There is no log: a phase without voltage shows 0 V."""
        return NO_ROWS

    def adopt(self, _physics: Physics) -> Rows:
        """The knots of the commit that follows say it."""
        return NO_ROWS

    def run(self, _now_s: int, _carrier: Carrier) -> tuple[Rows, list[IntervalRecord]]:
        return NO_ROWS, []

    def note(self, _changes: Sequence[Changed]) -> None:
        """There is no log."""

    def note_relays(self, _rows: Rows, *, closed: bool, cause: Cause) -> None:
        """There is no log."""

    def take(self) -> list[Event]:
        return []

    def export(self, directory: Path, shard: str) -> None:
        core = self._core
        write_curves(
            Curves(_kept(core), self._display),
            core.serials,
            core.usage_points,
            directory,
            shard,
            interval_length_s=self._facts.interval_length_s,
            until_s=core.now_s,
        )

    def answers(self, row: int, now_s: float) -> bool:
        """Whether the meter shows its registers to anybody."""
        return self._knots is not None and bool(self._knots[row]["answers_from_s"] <= now_s)

    def shown(self, rows: Rows, now_s: float) -> list[Mapping[str, float]]:
        """What these meters show at `now_s`, after the first frame: QUANTITIES by name, of each."""
        physics, knots = self._core.physics, self._knots
        assert physics is not None
        assert knots is not None
        held = knots[rows]
        digits = self._display.digits(counted_wh(held, now_s))
        columns = registers(digits, self._facts.register_roll_over_wh)
        power_w, reactive_var, voltage_v, current_a = _phases(held)
        columns |= circuit(power_w, reactive_var, voltage_v, current_a, physics.frame.voltage_angle_rad[rows])
        columns["frequency_hz"] = np.full(len(rows), self._facts.frequency_hz)
        if self._demands is not None:
            columns |= distortions(self._distortions[rows], voltage_v, current_a)
            columns |= self._demands.shown(rows, now_s)
        values = zip(*(each.tolist() for each in columns.values()), strict=True)
        return [dict(zip(columns, each, strict=True)) for each in values]

    def _changed(self, touched: Rows, frame: WorldFrame | None) -> bytes | None:
        """For a commit: the knots of the meters whose curves change, which hold from then on."""
        if frame is not None:
            knots = self._under(frame)
        elif self._knots is None or not len(touched):
            return None
        else:
            knots = self._knots[touched]
            knots["counted_wh"], knots["allowed_wh"] = (
                each(knots, self._core.now_s) for each in (counted_wh, allowed_wh)
            )
            knots["from_s"] = self._core.now_s
        knots["energised"] = self._core.state["energised"][knots["meter"]]
        knots["answers_from_s"] = self._answers_from_s(knots["meter"])
        if self._knots is None:
            self._knots = knots
        else:
            self._knots[knots["meter"]] = knots
        if frame is not None and self._demands is not None:
            power_w, reactive_var, _, current_a = _phases(knots)
            neutral_a = neutral_current(power_w, reactive_var, current_a, frame.voltage_angle_rad)
            self._demands.follow(frame.time_s, demanded(power_w, reactive_var, current_a, neutral_a))
        return knots.tobytes()

    def _under(self, frame: WorldFrame) -> NDArray[np.void]:
        physics, rows, before = self._core.physics, self._core.everybody, self._knots
        assert physics is not None
        knots = np.zeros(len(rows), dtype=KNOT)
        knots["meter"] = rows
        knots["from_s"] = frame.time_s
        if before is None:
            knots["counted_wh"] = self._metrology.initial
        else:
            knots["counted_wh"], knots["allowed_wh"] = (each(before, frame.time_s) for each in (counted_wh, allowed_wh))
        rates, measured = self._metrology.rates(physics), self._metrology.measured(frame)
        knots["wh_per_s"], knots["allowed_wh_per_s"] = rates.counted_per_s, rates.allowed_per_s
        knots["active_power_w"] = measured.active_power_w.sum(axis=1)
        knots["voltage_v"], knots["current_a"] = measured.voltage_v, measured.current_a
        knots["phase_power_w"], knots["phase_reactive_var"] = measured.active_power_w, measured.reactive_power_var
        return knots


def _phases(knots: NDArray[np.void]) -> tuple[Float, Float, Float, Float]:
    """Active and reactive power, voltage and current of each phase (m, 3)."""
    return knots["phase_power_w"], knots["phase_reactive_var"], knots["voltage_v"], knots["current_a"]


def _kept(core: Core) -> NDArray[np.void]:
    return np.frombuffer(core.memory.all_knots(), dtype=KNOT)


def _last_of(knots: NDArray[np.void]) -> NDArray[np.void] | None:
    """Each meter's last one, if there are any: each frame has a knot of every meter."""
    if not len(knots):
        return None
    _, last = np.unique(knots["meter"][::-1], return_index=True)
    return knots[len(knots) - 1 - last]
