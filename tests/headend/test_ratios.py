"""Instrument transformers: the ratios of the shipment file, applied once to what a meter says."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.clock import ManualClock
from headend.drivers import ABSENT, READING_COUNTERS, READING_MEASURES
from headend.errors import ShipmentError
from headend.ratios import NO_TRANSFORMERS, Ratios
from headend.registry import read_shipment
from headend.service import HeadEnd
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, reading, serial
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres

pytest_plugins = ["tests.headend.fixtures"]


def with_columns(shipment: Shipment, **own: str) -> None:
    """The first meter has these; the others nothing there."""
    with shipment.path.open(newline="") as file:
        header, *lines = list(csv.reader(file))
    with shipment.path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*header, *own])
        writer.writerow([*lines[0], *own.values()])
        writer.writerows([*line, *("" for _ in own)] for line in lines[1:])


async def test_energies_are_of_the_primary_and_registers_as_shown(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, tmp_path: Path, database: Reader
) -> None:
    shipment = Shipment(tmp_path / "shipped", count=2)
    with_columns(shipment, max_current_a="200", current_ratio="40", voltage_ratio="2")
    head_end = HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), ManualClock(START_S + LENGTH_S + 5))
    await head_end.start()
    street = Publisher(mosquitto.port, "street")
    try:
        for meter in range(2):
            street.send(f"dt/{GROUP}/{serial(meter)}/ds", reading(meter, START_S + LENGTH_S))
        await head_end.settle()
    finally:
        street.close()
        await head_end.stop()
    rows = database.rows(
        "SELECT import_register_wh, import_wh, import_power_w, voltage_l1_v, current_l1_a"
        " FROM interval_reading ORDER BY meter_id"
    )
    (behind, direct) = ([float(str(value)) for value in row] for row in rows)
    assert behind[0] == direct[0], "the register is the meter's own"
    # The two meters' energies differ by 1 Wh.
    assert behind[1:3] == [80 * (direct[1] - 1), 80 * (direct[2] - 4)]
    assert behind[3:] == pytest.approx([2 * direct[3], 40 * direct[4]], rel=1e-6)


async def test_what_the_transformers_cannot_pass_is_not_believed(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, tmp_path: Path, database: Reader
) -> None:
    """5 A in three phases are 862 Wh in a quarter of an hour; a direct meter of 100 A may count more."""
    shipment = Shipment(tmp_path / "shipped", count=2)
    with_columns(shipment, max_current_a="200", current_ratio="40")
    head_end = HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), ManualClock(START_S + LENGTH_S + 5))
    await head_end.start()
    street = Publisher(mosquitto.port, "street")
    try:
        for meter in range(2):
            street.send(f"dt/{GROUP}/{serial(meter)}/ds", reading(meter, START_S + LENGTH_S, **{"1.29.0": 3000}))
        await head_end.settle()
    finally:
        street.close()
        await head_end.stop()
    assert database.rows("SELECT import_wh FROM interval_reading") == [(3000,)]
    assert database.rows("SELECT reason FROM implausible_interval") == [("energy_beyond_rating",)]


@pytest.mark.parametrize("ratio", ["0", "-40", "nan", "inf", "0.5", "200/5", "1e9"])
def test_a_ratio_that_none_can_be_is_named(tmp_path: Path, ratio: str) -> None:
    shipment = Shipment(tmp_path / "shipped")
    with_columns(shipment, current_ratio=ratio)
    with pytest.raises(ShipmentError, match="line 2: current_ratio"):
        read_shipment(shipment.path)


@given(st.integers(0, 10**9), st.integers(1, 400), st.integers(1, 200))
def test_whole_ratios_are_exact_and_what_is_absent_stays_so(value: int, current: int, voltage: int) -> None:
    ratios = Ratios(float(current), float(voltage))
    counters = dict(zip(READING_COUNTERS, ratios.counters([value] * len(READING_COUNTERS)), strict=True))
    assert (
        counters["import_wh"] == counters["reactive_q1_varh"] == counters["import_power_w"] == value * current * voltage
    )
    assert counters["import_register_wh"] == counters["status"] == counters["max_demand_at_s"] == value
    assert set(ratios.counters([ABSENT] * len(READING_COUNTERS))) == {ABSENT}
    assert all(map(math.isnan, ratios.measures([math.nan] * len(READING_MEASURES))))
    assert NO_TRANSFORMERS.counters([value] * len(READING_COUNTERS)) == (value,) * len(READING_COUNTERS)
