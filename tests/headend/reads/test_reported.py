"""Meters that report registers and keep no load profile: from reports to intervals, without sockets."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from headend.drivers import Capabilities, DecodeError, Driver, MomentaryReport, RegisterReport
from headend.reads.reported import ReportedRegisters
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store.register_records import AcceptedRow, DerivedRow, RegisterRow

LENGTH_S = 900
START_S = 1_768_435_200
SELF_REPORTING = Capabilities(
    carrier="mqtt", reports_itself=True, keeps_load_profile=False, reports_outages=False, last_verifier="meter"
)
METER = EndDevice(
    0, 7, "A1", "UP1", "test", Driver("any", SELF_REPORTING, LENGTH_S, LENGTH_S, register_range_wh=10**9), START_S
)
SETTINGS = HeadEndSettings(
    database_url=SecretStr("postgresql://"),
    group="test",
    shipment=Path("s"),
    command_key=Path("k"),
    clock_tolerance_s=300,
)


@dataclass
class Rows:
    registers: list[RegisterRow] = field(default_factory=list)
    accepted: list[AcceptedRow] = field(default_factory=list)
    derived: list[DerivedRow] = field(default_factory=list)

    def intervals(self) -> list[tuple[int, int, bool]]:
        """(start, Wh, estimated)."""
        return [
            (row.interval.start_s - START_S, row.interval.import_wh, row.interval.estimated) for row in self.derived
        ]


class Meter:
    """Says what it shows to a head-end that began before it."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.head_end = ReportedRegisters(SETTINGS, [METER])

    def says(self, at_s: float, import_wh: int, *, export_wh: int = 0, moment: bool = True) -> None:
        now_s = START_S + at_s
        if moment:
            self.head_end.momentary(self.rows, METER, MomentaryReport(now_s, 400, (230.1, 229.9, math.nan)), now_s)
        self.head_end.registers(self.rows, METER, RegisterReport(now_s, import_wh, export_wh), now_s)


def test_reports_at_the_boundaries_make_actual_intervals() -> None:
    meter = Meter()
    for minute in range(31):
        meter.says(60 * minute, 1000 + 10 * minute)
    assert meter.rows.intervals() == [(0, 150, False), (900, 150, False)]
    assert [(row.reading.boundary_s - START_S, row.reading.at_s - START_S) for row in meter.rows.registers] == [
        (0, 0), (900, 900), (1800, 1800)
    ]  # fmt: skip
    end = meter.rows.derived[0].end
    assert end is not None
    assert (end.import_register_wh, end.active_power_w, end.voltages_v[0]) == (1150, 400, 230.1)


@pytest.mark.parametrize(
    ("before_s", "after_s", "taken"),
    [(880, 930, 880), (870, 920, 920), (820, 960, 960), (840, 961, 840), (839, 961, 900), (890, 5000, 890)],
)
def test_the_report_nearest_a_boundary_is_its_reading(before_s: int, after_s: int, taken: int) -> None:
    meter = Meter()
    meter.says(0, 0)
    meter.says(before_s, 100)
    meter.says(after_s, 200)
    read = {row.reading.boundary_s - START_S: row.reading.at_s - START_S for row in meter.rows.registers}
    assert read.get(900) == taken


def test_a_meter_with_a_rhythm_of_its_own_has_estimated_intervals_that_sum_to_its_registers() -> None:
    """It reports at :07:30 of each quarter of an hour, twice as much in one as in the next."""
    meter = Meter()
    shown_wh = 1000
    for number in range(7):
        meter.says(450 + 900 * number, shown_wh)
        shown_wh += 200 if number % 2 else 100
    assert meter.rows.intervals() == [(s, 150, True) for s in (900, 1800, 2700, 3600, 4500)]
    assert [(row.reading.boundary_s - START_S, row.reading.interpolated) for row in meter.rows.registers] == [
        (900 * number, True) for number in range(1, 7)
    ]
    assert all(row.end is None for row in meter.rows.derived), "no register was read at the end"


def test_only_between_registers_that_were_read_an_interval_is_actual() -> None:
    meter = Meter()
    for at_s, shown_wh in ((0, 1000), (900, 1090), (1500, 1150), (2400, 1240), (2700, 1270), (3600, 1400)):
        meter.says(at_s, shown_wh)
    assert meter.rows.intervals() == [(0, 90, False), (900, 90, True), (1800, 90, True), (2700, 130, False)]


def test_a_register_that_goes_back_between_reports_is_not_interpolated() -> None:
    meter = Meter()
    meter.says(890, 5000)
    meter.says(2000, 10)
    assert [row.reading.boundary_s - START_S for row in meter.rows.registers] == [900]


def test_missed_boundaries_are_estimated_and_sum_to_the_register_difference() -> None:
    meter = Meter()
    meter.says(0, 1000)
    meter.says(60, 1007)
    meter.says(2700, 1100)
    assert meter.rows.intervals() == [(0, 33, True), (900, 33, True), (1800, 34, True)]


def test_a_register_that_cannot_have_come_there_is_doubted_and_kept() -> None:
    meter = Meter()
    meter.says(0, 500_000)
    with pytest.raises(DecodeError, match="register_backwards"):
        meter.says(900, 3)
    meter.says(1800, 500_090)
    assert [row.doubt for row in meter.rows.registers] == [None, "register_backwards", None]
    assert meter.rows.intervals() == [(0, 45, True), (900, 45, True)]


def test_what_was_said_before_changes_nothing() -> None:
    meter = Meter()
    for at_s in (0, 900, 900, 0, 1800):
        meter.says(at_s, 1000 + at_s // 90)
    assert meter.rows.intervals() == [(0, 10, False), (900, 10, False)]


def test_registers_without_power_and_voltages_are_of_no_boundary() -> None:
    meter = Meter()
    meter.says(0, 10)
    meter.says(61, 11, moment=False)
    meter.says(900, 20, moment=False)
    assert [row.reading.boundary_s - START_S for row in meter.rows.registers] == [0]


@pytest.mark.parametrize("at_s", [301.0, -41 * 86_400.0, math.inf, math.nan])
def test_an_instant_that_cannot_be_is_refused(at_s: float) -> None:
    rows, head_end = Rows(), ReportedRegisters(SETTINGS, [METER])
    with pytest.raises(DecodeError, match="implausible_time"):
        head_end.registers(rows, METER, RegisterReport(START_S + at_s, 1, 0), START_S)
    with pytest.raises(DecodeError, match="implausible_time"):
        head_end.momentary(rows, METER, MomentaryReport(START_S + at_s, 1, (230.0, 230.0, 230.0)), START_S)
    assert rows == Rows()


@pytest.mark.parametrize(
    ("power_w", "voltage_v", "reason"), [(-200_000, 230.0, "power_beyond_rating"), (0, 1001.0, "beyond_voltage")]
)
def test_what_a_meter_cannot_measure_is_refused(power_w: int, voltage_v: float, reason: str) -> None:
    head_end = ReportedRegisters(SETTINGS, [METER])
    with pytest.raises(DecodeError, match=reason):
        head_end.momentary(Rows(), METER, MomentaryReport(START_S, power_w, (voltage_v, 230.0, 230.0)), START_S)


def test_a_register_beyond_its_range_is_refused() -> None:
    meter = Meter()
    with pytest.raises(DecodeError, match="beyond_register"):
        meter.says(0, 10**9)


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 500)), min_size=1, max_size=60))
def test_whatever_is_missed_the_intervals_sum_to_the_registers(steps: list[tuple[int, int]]) -> None:
    meter, at_s, shown_wh = Meter(), 0, 0
    for elapsed_s, used_wh in steps:
        at_s, shown_wh = at_s + elapsed_s, shown_wh + used_wh
        meter.says(at_s, shown_wh)
    read = [row.reading for row in meter.rows.registers]
    starts_s = [row.interval.start_s for row in meter.rows.derived]
    assert all(abs(one.at_s - one.boundary_s) <= 60 for one in read)
    if read:
        last, first = read[-1].registers.import_register_wh, read[0].registers.import_register_wh
        assert sum(row.interval.import_wh for row in meter.rows.derived) == last - first
        assert starts_s == list(range(read[0].boundary_s, read[-1].boundary_s, LENGTH_S)), "each interval, once"
