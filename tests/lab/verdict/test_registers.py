"""Polled meters: what is stored is what the meter showed to who read it, whoever else looked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.verdict.context import ClockFacts
from lab.verdict.read_run import read_registers
from lab.verdict.verdict import Verdict, judge
from meters.device.curve import DIGIT_COLUMNS, KNOT, Curves, Display, registers_table
from meters.device.metrology import power_factor
from meters.device.quantities import REGISTER_NAMES
from tests.lab.verdict.synthetic import START_S, STEP_S, make_run

INTERVALS = 8
METER = 2
FIRST, COUNT = 3, 3
"""The intervals between two polls in the middle of which boundaries were missed."""
ROLL_OVER_WH = 100_000_000
DISPLAY = Display(1, ROLL_OVER_WH, 1000)
DARK_S = np.inf
CHANNELS = ("import_wh", "export_wh", *(f"{way}_l{phase}_wh" for way in ("import", "export") for phase in (1, 2, 3)))
QUADRANTS = [f"reactive_q{number}_varh" for number in (1, 2, 3, 4)]
FIRST_QUADRANT = REGISTER_NAMES.index(QUADRANTS[0])
TOTALS = ("reactive_import_register_varh", "reactive_export_register_varh")
VOLTAGES = [f"voltage_l{phase}_v" for phase in (1, 2, 3)]
PHASES = {
    "voltage_v": VOLTAGES,
    "current_a": [f"current_l{phase}_a" for phase in (1, 2, 3)],
    "phase_power_w": [f"active_power_l{phase}_w" for phase in (1, 2, 3)],
    "phase_reactive_var": [f"reactive_power_l{phase}_var" for phase in (1, 2, 3)],
}
FACTORS = [f"power_factor_l{phase}" for phase in (1, 2, 3)]


class Polled:
    """A run whose meter `METER` is polled, and its curve, free to be changed."""

    def __init__(self, *, before_wh: int = 10_000_000) -> None:
        self.run = make_run(60, INTERVALS)
        self.digits_of: dict[str, float] = {}
        self.run.fleet["protocol"] = self.run.fleet["protocol"].astype(object)
        self.run.fleet["protocol"][METER] = "modbus"
        self.rows = slice(METER * INTERVALS, (METER + 1) * INTERVALS)
        deltas = np.column_stack([self.run.journal[name][self.rows] for name in CHANNELS])
        self.counted = before_wh + np.vstack([np.zeros(len(CHANNELS)), deltas.cumsum(axis=0)])
        self.knots = np.zeros(INTERVALS + 1, dtype=KNOT)
        self.knots["from_s"] = START_S + np.arange(INTERVALS + 1) * STEP_S
        self.knots["energised"] = True
        self.knots["answers_from_s"] = self.knots["from_s"]
        self.knots["counted_wh"][:, : len(CHANNELS)] = self.counted
        self.knots["wh_per_s"][:-1, : len(CHANNELS)] = deltas / STEP_S
        self.knots["wh_per_s"][-1, : len(CHANNELS)] = deltas[-1] / STEP_S
        # What a meter shows at the end of an interval is what begins there.
        for vector, names in PHASES.items():
            for name in names:
                self.run.stored[name] = self.run.stored[name].astype(np.float64)
            self.knots[vector][1:] = np.column_stack([self.run.journal[name][self.rows] for name in names])
        self.knots["active_power_w"] = self.knots["phase_power_w"].sum(axis=1)
        self._count_reactive()
        for table in (self.run.journal, self.run.stored):
            for channel, name in enumerate(("import_register_wh", "export_register_wh")):
                table[name][self.rows] = self.counted[1:, channel].astype(np.int64) % ROLL_OVER_WH

    def _count_reactive(self) -> None:
        """It has two registers of reactive energy, and who polls it stores what they show."""
        varh = np.column_stack([self.run.journal[name][self.rows] for name in QUADRANTS])
        counted = 2_000_000 + np.vstack([np.zeros(4), varh.cumsum(axis=0)])
        quadrants = slice(FIRST_QUADRANT, FIRST_QUADRANT + 4)
        self.knots["counted_wh"][:, quadrants] = counted
        self.knots["wh_per_s"][:-1, quadrants] = varh / STEP_S
        stored, factors = self.run.stored, power_factor(self.knots["phase_power_w"], self.knots["phase_reactive_var"])
        for name, values in zip(FACTORS, factors[1:].T, strict=True):
            stored[name][self.rows] = np.round(values, 3)
        for name in (*QUADRANTS, *(name.replace("_varh", "_register_varh") for name in QUADRANTS)):
            stored[name] = stored[name].astype(np.float64)
            stored[name][self.rows] = np.nan
        for name, registers in zip(TOTALS, (counted[1:, :2], counted[1:, 2:]), strict=True):
            stored[name] = np.full(len(stored["import_wh"]), np.nan)
            stored[name][self.rows] = registers.sum(axis=1)
        net_w = self.run.journal["active_power_w"]
        stored["import_power_w"], stored["export_power_w"] = np.maximum(net_w, 0.0), np.maximum(-net_w, 0.0)
        mine_w = self.knots["active_power_w"][1:]
        for name, way in (("import_power_w", mine_w), ("export_power_w", -mine_w)):
            stored[name][self.rows] = np.maximum(way, 0.0)

    def show_as_float32(self) -> None:
        """Registers, and the energies between them, as they are read from float32 kWh."""
        for channel, name in enumerate(CHANNELS):
            counted = self.counted[:, channel]
            for table in (self.run.journal, self.run.stored):
                table[name][self.rows] = np.diff(DISPLAY.unrolled(counted))
                if channel < 2:
                    table[name.replace("_wh", "_register_wh")][self.rows] = DISPLAY.shown(counted[1:])
        for name in TOTALS:
            self.run.stored[name][self.rows] = DISPLAY.shown(self.run.stored[name][self.rows])

    def judge(self, *, in_lockstep: bool = True) -> Verdict:
        curves = Curves(self.knots, replace(DISPLAY, digits_of=self.digits_of))
        self.run.registers = registers_table(curves, [f"AMI{METER:08d}"], [f"UP{METER:05d}"])
        clock = ClockFacts(START_S, INTERVALS * STEP_S, 48.0, in_lockstep)
        return judge(self.run.tables(), replace(self.run.context(), clock=clock))

    def shown(self, at_s: float, channel: int = 0) -> int:
        """Energy on the display, imported if not said otherwise, at an offset from the start."""
        number = min(int(at_s // STEP_S), INTERVALS)
        within_s = at_s - number * STEP_S
        return int(self.counted[number, channel] + self.knots["wh_per_s"][number, channel] * within_s)

    def read(self, number: int, opened_s: float, closed_s: float, *, stated: bool) -> None:
        """The head-end has read the registers of interval `number` so late at either end."""
        row = self.rows.start + number
        from_s, to_s = number * STEP_S + opened_s, (number + 1) * STEP_S + closed_s
        for channel, name in enumerate(CHANNELS):
            self.run.stored[name][row] = self.shown(to_s, channel) - self.shown(from_s, channel)
        for channel, name in enumerate(("import_register_wh", "export_register_wh")):
            self.run.stored[name][row] = self.shown(to_s, channel)
        self.measure(number + (closed_s >= 0), row)
        for first, name in zip((0, 2), TOTALS, strict=True):
            quadrants = range(FIRST_QUADRANT + first, FIRST_QUADRANT + first + 2)
            self.run.stored[name][row] = sum(self.reactive(to_s, quadrant) for quadrant in quadrants)
        if stated:
            self.state(number, opened_s, closed_s)

    def reactive(self, at_s: float, channel: int) -> int:
        number = min(int(at_s // STEP_S), INTERVALS)
        knot = self.knots[number]
        return int(knot["counted_wh"][channel] + knot["wh_per_s"][channel] * (at_s - number * STEP_S))

    def measure(self, number: int, row: int) -> None:
        """The head-end has stored in `row` what the meter measured from knot `number` on."""
        knot, stored = self.knots[number], self.run.stored
        for vector, names in PHASES.items():
            for phase, name in enumerate(names):
                stored[name][row] = knot[vector][phase]
        for name, value in zip(FACTORS, power_factor(knot["phase_power_w"], knot["phase_reactive_var"]), strict=True):
            stored[name][row] = round(value, 3)
        stored["import_power_w"][row] = max(knot["active_power_w"], 0.0)
        stored["export_power_w"][row] = max(-knot["active_power_w"], 0.0)

    def hold(self, number: int) -> None:
        """What it measures from knot `number` on it has measured since the knot before."""
        for vector in (*PHASES, "active_power_w"):
            self.knots[vector][number - 1] = self.knots[vector][number]
        self.measure(number, self.rows.start + number - 2)
        self.state(number - 1, 0, 0)

    def state(self, number: int, opened_s: float | None, closed_s: float | None) -> None:
        """It says that it has read them then; None: it says nothing."""
        for name, after in (("window_start", number), ("window_end", number + 1)):
            if name not in self.run.stored:
                self.run.stored[name] = np.full(len(self.run.stored["import_wh"]), "NaT", dtype="datetime64[us]")
            late_s = opened_s if name == "window_start" else closed_s
            if late_s is not None:
                instant_us = round((START_S + after * STEP_S + late_s) * 1e6)
                self.run.stored[name][self.rows.start + number] = np.datetime64(instant_us, "us")

    def estimate(self, first: int = FIRST, count: int = COUNT) -> None:
        """Nobody polled within these intervals."""
        rows = slice(self.rows.start + first, self.rows.start + first + count)
        for name in ("import_wh", "export_wh"):
            total = int(self.run.journal[name][rows].sum())
            self.run.stored[name][rows] = np.diff(np.arange(count + 1) * total // count)
        self.run.stored["quality"][rows] = "estimated"
        self.state(first, 0, None)
        self.state(first + count - 1, None, 0)


@pytest.fixture
def polled() -> Polled:
    return Polled()


def value(verdict: Verdict, criterion: str) -> float:
    return next(result.value for result in verdict.criteria if result.id == criterion)


def kinds(verdict: Verdict) -> list[str]:
    found: list[str] = verdict.comparison.discrepancies["kind"].to_pylist()
    return found


def test_what_was_read_at_the_boundaries_is_identical(polled: Polled) -> None:
    assert polled.judge().passed


@given(st.floats(-60, 60), st.floats(-60, 60), st.booleans(), st.booleans())
def test_what_was_read_at_any_instant_near_the_boundaries_is_identical(
    opened_s: float, closed_s: float, stated: bool, in_lockstep: bool
) -> None:
    polled = Polled()
    # An instant has microseconds.
    polled.read(4, round(opened_s, 6), round(closed_s, 6), stated=stated)
    verdict = polled.judge(in_lockstep=in_lockstep)
    assert value(verdict, "reads.altered") == 0, kinds(verdict)


def test_a_reading_of_another_instant_than_the_stated_one_is_seen(polled: Polled) -> None:
    polled.read(4, 0, 50, stated=False)
    polled.state(4, 0, 0)
    verdict = polled.judge()
    assert kinds(verdict) == ["altered"]
    (row,) = verdict.comparison.discrepancies.to_pylist()
    assert (row["channel"], row["stored"]) == ("import_register_wh", polled.shown(5 * STEP_S + 50))
    assert row["journal"] == polled.shown(5 * STEP_S)


def test_the_instant_that_is_stated_for_the_beginning_counts_as_well(polled: Polled) -> None:
    polled.read(4, 50, 0, stated=False)
    polled.state(4, 0, 0)
    verdict = polled.judge()
    assert kinds(verdict) == ["altered"]
    (row,) = verdict.comparison.discrepancies.to_pylist()
    assert (row["channel"], row["journal"]) == ("import_wh", polled.shown(5 * STEP_S) - polled.shown(4 * STEP_S))
    assert row["stored"] == polled.shown(5 * STEP_S) - polled.shown(4 * STEP_S + 50)


def test_on_the_wall_clock_a_stated_instant_may_be_off_by_a_little(polled: Polled) -> None:
    polled.read(4, 0, 4, stated=False)
    polled.state(4, 0, 0)
    assert polled.judge(in_lockstep=False).passed


@pytest.mark.parametrize(("channel", "off_wh"), [("import_wh", 1), ("import_wh", -1), ("import_register_wh", 1)])
def test_one_step_more_than_the_meter_ever_showed_is_seen(polled: Polled, channel: str, off_wh: int) -> None:
    """Whoever says nothing of instants may have read anything that was shown near the boundary, and nothing else."""
    late = 60 if off_wh > 0 else -60
    polled.read(4, -late, late, stated=False)
    assert polled.judge().passed
    row = polled.rows.start + 4
    polled.run.stored[channel][row] += off_wh
    if channel == "import_register_wh":
        polled.run.stored["import_wh"][row] += off_wh
    assert kinds(polled.judge()) == ["altered"]


def test_a_register_that_rolls_over_between_two_polls(polled: Polled) -> None:
    half_wh = int(polled.run.journal["import_wh"][polled.rows][:5].sum())
    polled = Polled(before_wh=ROLL_OVER_WH - half_wh + 1)
    polled.show_as_float32()
    assert polled.counted[4, 0] < ROLL_OVER_WH < polled.counted[6, 0]
    assert polled.judge().passed
    polled.run.stored["import_register_wh"][polled.rows.start + 5] += 16
    assert kinds(polled.judge()) == ["altered"]


def test_the_interval_of_a_roll_over_is_granted_the_steps_before_it() -> None:
    """Afterwards float32 is fine again; the reading at the interval's start was not."""
    polled = Polled(before_wh=ROLL_OVER_WH - int(Polled().run.journal["import_wh"][Polled().rows][:5].sum()) + 1)
    polled.show_as_float32()
    polled.run.fleet["register_step_wh"][METER] = 64
    polled.run.journal["import_wh"][polled.rows.start + 4] += 30
    assert value(polled.judge(), "accuracy.class_violations") == 0
    polled.run.journal["import_wh"][polled.rows.start + 7] += 60
    assert value(polled.judge(), "accuracy.class_violations") == 1


def test_the_interval_that_begins_at_a_0_of_rounding_is_granted_those_steps_too() -> None:
    """2 Wh below the end of its range float32 shows 0; the register stood at its coarsest there."""
    polled = Polled(before_wh=ROLL_OVER_WH - int(Polled().run.journal["import_wh"][Polled().rows][:5].sum()) - 2)
    polled.show_as_float32()
    assert polled.run.journal["import_register_wh"][polled.rows][4] == 0
    polled.run.fleet["register_step_wh"][METER] = 64
    for name in ("import_wh", "import_register_wh"):
        polled.run.journal[name][polled.rows.start + 5] -= 30
    assert value(polled.judge(), "accuracy.class_violations") == 0
    polled.run.journal["import_wh"][polled.rows.start + 6] -= 30
    assert value(polled.judge(), "accuracy.class_violations") == 1


def test_coarse_float32_steps_hide_no_difference(polled: Polled) -> None:
    """Near the top of the range a register moves in steps of 8 Wh; what was read of it is known to the Wh."""
    polled = Polled(before_wh=ROLL_OVER_WH - 50_000)
    polled.show_as_float32()
    polled.run.fleet["register_step_wh"][METER] = 64
    assert polled.judge().passed
    polled.run.stored["import_wh"][polled.rows.start + 5] += 8
    assert kinds(polled.judge()) == ["altered"]


def test_a_meter_is_granted_the_steps_that_its_register_has_at_its_height(polled: Polled) -> None:
    polled.run.fleet["register_step_wh"][METER] = 64
    assert polled.judge().passed
    polled.run.journal["import_wh"][polled.rows.start + 5] += 30
    polled.run.stored["import_wh"][polled.rows.start + 5] += 30
    assert value(polled.judge(), "accuracy.class_violations") == 1


def test_reactive_energy_has_the_steps_of_its_own_register(polled: Polled) -> None:
    """float32 kvarh have steps of 16 varh at 184 Mvarh, whatever the register of active energy shows."""

    def violations(height_varh: int) -> float:
        off_varh = np.zeros(len(polled.run.journal["import_wh"]), dtype=np.int64)
        off_varh[polled.rows] = height_varh
        polled.run.journal["reactive_q1_register_varh"] = off_varh
        return value(polled.judge(), "accuracy.class_violations")

    polled.run.fleet["register_step_wh"][METER] = 64
    polled.run.journal["reactive_q1_varh"][polled.rows.start + 5] += 25
    polled.run.stored["reactive_q1_varh"][polled.rows.start + 5] += 25
    assert violations(10_000_000) == 1
    assert violations(184_000_000) == 0


def test_who_reads_a_meter_that_answers_nobody_has_made_it_up(polled: Polled) -> None:
    polled.knots["answers_from_s"][4:6] = DARK_S
    # What is read just before it falls silent is still of the voltage before.
    polled.measure(3, polled.rows.start + 3)
    verdict = polled.judge()
    assert kinds(verdict) == ["fabricated", "fabricated"]
    assert value(verdict, "reads.altered") == 2
    assert value(verdict, "reads.unrecorded") == 0


def test_voltage_and_phases_are_compared_too(polled: Polled) -> None:
    polled.run.stored["voltage_l2_v"][polled.rows.start + 4] += 5
    polled.run.stored["export_l1_wh"][polled.rows.start + 6] += 5
    verdict = polled.judge()
    found = {row["channel"] for row in verdict.comparison.discrepancies.to_pylist()}
    assert found == {"voltage_l2_v", "export_l1_wh"}


@pytest.mark.parametrize(
    ("channel", "by"),
    [
        ("import_power_w", 1),
        ("export_power_w", 1),
        ("active_power_l2_w", -1),
        ("reactive_power_l3_var", 1),
        ("current_l1_a", 0.001),
        ("power_factor_l2", -0.001),
        ("reactive_import_register_varh", 1),
        ("reactive_export_register_varh", -1),
        ("reactive_import_register_varh", 1_000_000),
    ],
)
def test_each_quantity_is_compared_at_its_resolution(polled: Polled, channel: str, by: float) -> None:
    polled.hold(5)
    polled.run.stored[channel] = polled.run.stored[channel].astype(np.float64)
    assert polled.judge().passed
    polled.run.stored[channel][polled.rows.start + 4] += by
    verdict = polled.judge()
    (row,) = verdict.comparison.discrepancies.to_pylist()
    assert (row["kind"], row["channel"]) == ("altered", channel)
    assert {result.id for result in verdict.criteria if not result.passed} <= {"reads.altered", "reads.identical_rate"}


@given(
    watts=st.floats(-20_000, 20_000),
    amperes=st.floats(0, 200),
    digit=st.sampled_from([0.0, 0.1, 1.0, 0.01]),
    data=st.data(),
)
@settings(max_examples=25)
def test_what_wire_and_reader_round_is_not_altered(
    watts: float, amperes: float, digit: float, data: st.DataObject
) -> None:
    """A wire shows a digit more or less than is stored, or a float32, and a database may keep a float32."""
    polled = Polled()
    polled.digits_of = {"active_power_l1_w": digit, "current_l1_a": digit / 100}
    number, row = 5, polled.rows.start + 4
    polled.knots["phase_power_w"][number, 0], polled.knots["current_a"][number, 0] = watts, amperes
    polled.hold(number)
    polled.measure(number, row)
    shown_w = round(watts / digit) * digit if digit else float(np.float32(watts))
    shown_a = round(amperes / digit * 100) * digit / 100 if digit else float(np.float32(amperes))
    polled.run.stored["active_power_l1_w"][row] = round(shown_w)
    polled.run.stored["current_l1_a"][row] = float(np.float32(round(shown_a, 3)))
    assert not kinds(polled.judge())
    more = data.draw(st.sampled_from(["active_power_l1_w", "current_l1_a"]))
    polled.run.stored[more][row] += 3.0 if more.endswith("_w") else 0.03
    assert kinds(polled.judge()) == ["altered"]


def test_an_interval_that_nobody_polled_is_lost_and_was_recorded(polled: Polled) -> None:
    polled.run.drop("stored", [polled.rows.start + 4])
    verdict = polled.judge()
    assert kinds(verdict) == ["lost"]
    assert verdict.comparison.reads.unrecorded == 0


def test_estimates_that_sum_to_the_register_difference_pass(polled: Polled) -> None:
    polled.estimate()
    verdict = polled.judge()
    assert verdict.passed
    assert verdict.comparison.reads.estimated == COUNT
    assert not kinds(verdict)


def test_one_watt_hour_too_much_fails(polled: Polled) -> None:
    polled.estimate()
    polled.run.stored["import_wh"][polled.rows.start + FIRST + 1] += 1
    verdict = polled.judge()
    assert value(verdict, "reads.estimates_conserve") == 1
    (row,) = verdict.comparison.discrepancies.to_pylist()
    assert (row["kind"], row["interval_length_s"], row["by"]) == ("estimate_off", COUNT * STEP_S, 1.0)


def test_export_is_conserved_too(polled: Polled) -> None:
    polled.estimate()
    polled.run.stored["export_wh"][polled.rows.start + FIRST] += 5
    assert value(polled.judge(), "reads.estimates_conserve") == 1


def test_what_one_run_has_too_much_the_next_cannot_make_up_for(polled: Polled) -> None:
    """A poll between them is stated."""
    polled.estimate(1, 2)
    polled.estimate(3, 2)
    assert polled.judge().passed
    polled.run.stored["import_wh"][polled.rows.start + 2] += 3
    polled.run.stored["import_wh"][polled.rows.start + 3] -= 3
    assert value(polled.judge(), "reads.estimates_conserve") == 2


def test_estimates_of_who_states_no_instants_lie_between_what_could_be_read(polled: Polled) -> None:
    polled.estimate()
    for name in ("window_start", "window_end"):
        del polled.run.stored[name]
    late_wh = polled.shown((FIRST + COUNT) * STEP_S + 60) - polled.shown((FIRST + COUNT) * STEP_S)
    early_wh = polled.shown(FIRST * STEP_S) - polled.shown(FIRST * STEP_S - 60)
    polled.run.stored["import_wh"][polled.rows.start + FIRST] += late_wh + early_wh
    assert polled.judge().passed
    polled.run.stored["import_wh"][polled.rows.start + FIRST] += 1
    assert value(polled.judge(), "reads.estimates_conserve") == 1


def test_an_estimate_from_a_poll_that_nobody_answered_fails(polled: Polled) -> None:
    polled.estimate()
    polled.knots["answers_from_s"][FIRST + COUNT] = DARK_S
    assert "estimate_off" in kinds(polled.judge())


def test_a_run_of_estimates_across_the_end_of_the_judged_window_is_not_judged(polled: Polled) -> None:
    row = polled.rows.stop - 1
    polled.run.stored["quality"][row] = "estimated"
    polled.run.stored["import_wh"][row] += 7
    polled.state(INTERVALS - 1, 0, None)
    assert value(polled.judge(), "reads.estimates_conserve") == 0
    polled.state(INTERVALS - 1, None, 0)
    assert value(polled.judge(), "reads.estimates_conserve") == 1


def test_a_meter_with_a_load_profile_may_be_estimated(polled: Polled) -> None:
    polled.run.stored["quality"][0] = "estimated"
    assert value(polled.judge(), "reads.estimates_conserve") == 0


def test_estimates_of_dark_intervals_are_not_extra(polled: Polled) -> None:
    """Who polls cannot know that the meter was dark."""
    polled.estimate()
    inner = polled.rows.start + FIRST + 1
    polled.run.truth["energised_s"][inner] = 0
    polled.run.drop("journal", [inner])
    verdict = polled.judge()
    assert verdict.comparison.reads.extra == 0
    assert (verdict.comparison.reads.unrecorded, verdict.comparison.reads.lost) == (0, 0)


def test_registers_of_an_earlier_release_are_read_without_what_came_later(polled: Polled, tmp_path: Path) -> None:
    table = registers_table(Curves(polled.knots, DISPLAY), [f"AMI{METER:08d}"], [f"UP{METER:05d}"])
    later = ("reactive", "apparent", "current", "active_power_l", "active_power_phase")
    earlier = [name for name in table.column_names if not name.startswith(later) and "allowed" not in name]
    earlier = [name for name in earlier if name not in DIGIT_COLUMNS]
    (tmp_path / "registers").mkdir()
    pq.write_table(table.select(earlier), tmp_path / "registers" / "0.parquet")
    assert read_registers(tmp_path).column_names == earlier
