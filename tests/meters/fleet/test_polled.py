"""SDM630 meters behind gateways: what a client reads over a real socket, and what the journal makes of it."""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from grid.world import WorldFrame
from lab.services.ports import ReservedPort
from meters.device.curve import Curves, Display, knots_of
from meters.device.facts import PolledFacts
from meters.device.flow import Flow
from meters.device.quantities import PHASE_NAMES
from meters.errors import FleetError
from meters.fleet.fleet import BrokerAddress, Fleet
from meters.fleet.shipment import ShipmentEntry
from meters.vendors.registry import load_profile
from meters.vendors.wires import registers_of
from tests.frames import frame_of

START_S = 1_768_435_200
LENGTH_S = 900
UNITS = 4
POWER_W = (300.0, 400.0, 500.0)
VOLTAGE_V = (231.27, 229.04, 230.0)
PROFILE = load_profile("sdm630")
FACTS = cast(PolledFacts, PROFILE.facts)
MAP = registers_of(PROFILE)
ROLL_OVER_WH = FACTS.register_roll_over_wh
DISPLAY = Display(FACTS.counting_step_wh, ROLL_OVER_WH, 1000.0)


def entries(port: int, units: int = UNITS, profile: str = "sdm630") -> list[ShipmentEntry]:
    return [
        ShipmentEntry(f"AMI{n:08d}", profile, f"UP{n}", "g", "", "", bytes(range(32)), f"127.0.0.1:{port}/{n + 1}")
        for n in range(units)
    ]


ADDRESSES = {
    "voltage_l1_v": 0x0000, "voltage_l2_v": 0x0002, "voltage_l3_v": 0x0004,
    "current_l1_a": 0x0006, "current_l2_a": 0x0008, "current_l3_a": 0x000A,
    "active_power_l1_w": 0x000C, "active_power_l2_w": 0x000E, "active_power_l3_w": 0x0010,
    "active_power_w": 0x0034, "reactive_power_var": 0x003C, "power_factor": 0x003E, "frequency_hz": 0x0046,
    "import_kwh": 0x0048, "export_kwh": 0x004A,
}  # fmt: skip
"""docs/wire-sdm630.md, below 76."""


class Street:
    """A fleet on one gateway, and its physics: constant power, supply as the test says."""

    phases: tuple[str, ...] = PHASE_NAMES

    def __init__(self, directory: Path, units: int = UNITS, profile: str = "sdm630") -> None:
        self.profile = profile
        self.port = ReservedPort()
        self.directory = directory
        self.units = units
        self.energised = np.ones(units, dtype=bool)
        self.sequence = 0
        self.energy_wh = np.zeros((units, 3))
        self.frame_s = START_S
        self.fleet = self.make()

    def make(self) -> Fleet:
        return Fleet(
            meters=[replace(each, phases=self.phases) for each in entries(self.port.port, self.units, self.profile)],
            world_rows=range(self.units),
            memory_path=self.directory / "fleet-0.sqlite",
            broker=BrokerAddress("127.0.0.1", 1),
            seed=7,
            start_s=START_S,
        )

    def frame(self, now_s: int) -> WorldFrame:
        lit = self.energised[:, np.newaxis]
        return frame_of(
            self.sequence, now_s, self.energised, import_wh=self.energy_wh.copy(),
            active_power_w=np.where(lit, POWER_W, 0.0), voltage_v=np.where(lit, VOLTAGE_V, 0.0),
        )  # fmt: skip

    async def begin(self) -> None:
        await self.fleet.start()
        await self.fleet.advance(START_S, self.frame(START_S))

    async def switch(self, now_s: int, energised: list[bool]) -> None:
        lit = self.energised[:, np.newaxis]
        self.energy_wh = self.energy_wh + np.where(lit, POWER_W, 0.0) * (now_s - self.frame_s) / 3600
        self.frame_s, self.sequence = now_s, self.sequence + 1
        self.energised = np.array(energised)
        await self.fleet.advance(now_s, self.frame(now_s))

    async def connect(self) -> AsyncModbusTcpClient:
        client = AsyncModbusTcpClient("127.0.0.1", port=self.port.port, retries=0, reconnect_delay=0, timeout=5)
        await client.connect()
        return client

    def journal(self) -> list[dict[str, Any]]:
        self.fleet.export_journal(self.directory / "journal")
        rows: list[dict[str, Any]] = pq.read_table(self.directory / "journal" / "fleet-0-sdm630.parquet").to_pylist()
        return rows

    def curves(self) -> pa.Table:
        self.fleet.export_journal(self.directory / "journal")
        return pq.read_table(self.directory / "journal" / "registers" / "fleet-0-sdm630.parquet")


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    street = Street(tmp_path)
    await street.begin()
    yield street
    await street.fleet.stop()
    street.port.close()


@pytest.fixture
async def client(street: Street) -> AsyncIterator[AsyncModbusTcpClient]:
    client = await street.connect()
    yield client
    client.close()


async def poll(client: AsyncModbusTcpClient, unit: int) -> dict[str, float] | int:
    """What a poller reads, by name, or the code of the exception."""
    response = await client.read_input_registers(0, count=76, device_id=unit)
    if response.isError():
        return int(response.exception_code)
    values = struct.unpack(">38f", struct.pack(">76H", *response.registers))
    return {name: values[address // 2] for name, address in ADDRESSES.items() if address < 76}


async def energy_kwh(client: AsyncModbusTcpClient, unit: int) -> float:
    found = await poll(client, unit)
    assert isinstance(found, dict)
    return found["import_kwh"]


@given(st.integers(0, ROLL_OVER_WH - 1))
@example(ROLL_OVER_WH - 1)
def test_a_reader_sees_the_energy_within_a_step_of_the_wire(energy_wh: int) -> None:
    (shown,) = DISPLAY.shown(np.array([float(energy_wh)]))
    assert 0 <= shown < ROLL_OVER_WH
    off_wh = abs(shown - energy_wh)
    assert min(off_wh, ROLL_OVER_WH - off_wh) <= FACTS.register_step_wh / 2


def test_just_before_the_roll_over_the_wire_says_what_a_reader_takes_for_nothing() -> None:
    assert struct.unpack(">f", MAP.answer({"import_wh": ROLL_OVER_WH - 1}, 4, 0x48, 2)) == (1_000_000.0,)
    before = np.array([ROLL_OVER_WH - 125.0, ROLL_OVER_WH - 1.0])
    assert DISPLAY.shown(before).tolist() == [ROLL_OVER_WH - 125, 0]
    # Without the roll-over they still rise.
    assert DISPLAY.unrolled(np.append(before, ROLL_OVER_WH + 9.7)).tolist() == [
        ROLL_OVER_WH - 125,
        ROLL_OVER_WH,
        ROLL_OVER_WH + 9,
    ]


async def test_what_is_read_is_what_flows(client: AsyncModbusTcpClient, street: Street) -> None:
    before = await energy_kwh(client, 3)
    await street.fleet.advance(START_S + LENGTH_S, None)
    found = await poll(client, 3)
    assert isinstance(found, dict)
    for phase, (power_w, voltage_v) in enumerate(zip(POWER_W, VOLTAGE_V, strict=True), start=1):
        assert found[f"active_power_l{phase}_w"] == pytest.approx(power_w, rel=0.01)
        assert found[f"voltage_l{phase}_v"] == pytest.approx(voltage_v, rel=0.005)
        assert found[f"current_l{phase}_a"] == pytest.approx(power_w / voltage_v, rel=0.01)
    assert found["active_power_w"] == pytest.approx(sum(POWER_W), rel=0.01)
    assert found["frequency_hz"] == 50.0
    assert (found["import_kwh"] - before) * 1000 == pytest.approx(300.0, rel=0.01, abs=2 * FACTS.register_step_wh)


async def test_the_exceptions_are_those_of_a_gateway(client: AsyncModbusTcpClient, street: Street) -> None:
    assert await poll(client, 99) == 0x0B
    assert (await client.read_input_registers(0, count=81, device_id=1)).exception_code == 0x03
    assert (await client.read_input_registers(0x017E, count=2, device_id=1)).exception_code == 0x02
    assert (await client.read_input_registers(1, count=2, device_id=1)).exception_code == 0x02
    assert (await client.read_input_registers(0, count=3, device_id=1)).exception_code == 0x02
    assert (await client.read_coils(0, count=2, device_id=1)).exception_code == 0x01
    assert (await client.write_register(0, 1, device_id=1)).exception_code == 0x01
    await street.switch(START_S + 60, [True, False, True, True])
    assert await poll(client, 2) == 0x0B
    assert isinstance(await poll(client, 3), dict)


async def test_a_meter_answers_again_after_its_start_up(client: AsyncModbusTcpClient, street: Street) -> None:
    await street.switch(START_S + 60, [True, False, True, True])
    await street.switch(START_S + 120, [True] * UNITS)
    assert await poll(client, 2) == 0x0B
    await street.fleet.advance(START_S + 120 + int(FACTS.start_up_s), None)
    assert isinstance(await poll(client, 2), dict)


async def test_a_broken_line_and_a_reboot_are_silence(client: AsyncModbusTcpClient, street: Street) -> None:
    street.fleet.lose_uplink(["AMI00000001"])
    street.fleet.reboot(["AMI00000002"])
    assert [await poll(client, unit) for unit in (2, 3)] == [0x0B, 0x0B]
    street.fleet.restore_uplink(["AMI00000001"])
    await street.fleet.advance(START_S + int(FACTS.reboot_s), None)
    assert all([isinstance(await poll(client, unit), dict) for unit in (2, 3)])


async def test_a_gateway_without_supply_is_not_there(client: AsyncModbusTcpClient, street: Street) -> None:
    assert (await street.fleet.settle()).connected == UNITS
    assert isinstance(await poll(client, 2), dict)
    await street.switch(START_S + 60, [False, True, True, True])
    assert (await street.fleet.settle()).connected == 0
    again = await street.connect()
    assert not again.connected
    again.close()
    await street.switch(START_S + 120, [True] * UNITS)
    await street.fleet.advance(START_S + 120 + int(FACTS.gateway_boot_s), None)
    assert (await street.fleet.settle()).connected == UNITS
    back = await street.connect()
    assert isinstance(await poll(back, 2), dict)
    back.close()


async def test_registers_are_those_of_the_instant_at_which_they_are_asked_for(
    client: AsyncModbusTcpClient, street: Street
) -> None:
    """Also between two grants, where time flows with the wall clock; but never beyond the next grant."""
    before = await energy_kwh(client, 1)
    # An hour in a millisecond.
    street.fleet.flow(Flow(START_S, time.time() - 1.0, 3600.0, START_S + 3600))
    after = await energy_kwh(client, 1)
    assert (after - before) * 1000 == pytest.approx(sum(POWER_W), rel=0.01, abs=2 * FACTS.register_step_wh)
    assert await energy_kwh(client, 1) == after, "the next grant has not come yet"
    await street.fleet.advance(START_S + 3600, None)
    assert await energy_kwh(client, 1) == after
    (hour, *_) = [
        row for row in street.journal() if row["serial"] == "AMI00000000" and row["window_end_s"] == START_S + 3600
    ]
    assert hour["import_register_wh"] == round(after * 1000)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 2 * LENGTH_S), max_size=8))
async def test_nobody_who_asks_changes_the_journal(
    tmp_path_factory: pytest.TempPathFactory, pauses_s: list[int]
) -> None:
    asked, unasked = (Street(tmp_path_factory.mktemp("street"), units=1) for _ in range(2))
    for street, asks in ((asked, True), (unasked, False)):
        await street.begin()
        client = await street.connect()
        now_s = START_S
        for pause_s in pauses_s:
            now_s += pause_s
            await street.fleet.advance(now_s, None)
            if asks:
                assert isinstance(await poll(client, 1), dict)
        await street.switch(now_s + 60, [False])
        await street.switch(now_s + 200, [True])
        await street.fleet.advance(now_s + 3 * LENGTH_S, None)
        client.close()
    assert asked.journal() == unasked.journal()
    assert asked.curves() == unasked.curves()
    for street in (asked, unasked):
        await street.fleet.stop()
        street.port.close()


async def test_the_journal_has_each_interval_with_supply_and_what_was_shown_at_any_instant(
    client: AsyncModbusTcpClient, street: Street
) -> None:
    shown = {}
    for late_s in (0, 7, 3 * LENGTH_S + 20):
        await street.fleet.advance(START_S + late_s, None)
        shown[START_S + late_s] = round(await energy_kwh(client, 1) * 1000)
    await street.switch(START_S + 4 * LENGTH_S + 10, [False, True, True, True])
    await street.switch(START_S + 7 * LENGTH_S - 1, [True] * UNITS)
    await street.fleet.advance(START_S + 8 * LENGTH_S + 5, None)
    rows = [row for row in street.journal() if row["serial"] == "AMI00000000"]
    starts = [(row["window_start_s"] - START_S) // LENGTH_S for row in rows]
    assert starts == [0, 1, 2, 3, 4, 6, 7], "of the sixth interval it has seen nothing"
    assert all(row["interval_length_s"] == row["window_end_s"] - row["window_start_s"] == LENGTH_S for row in rows)
    for before, after in itertools.pairwise(rows):
        assert before["import_register_wh"] + after["import_wh"] == after["import_register_wh"]
    table = street.curves()
    curves = Curves(knots_of(table, np.array([int(serial[3:]) for serial in table["serial"].to_pylist()])), DISPLAY)
    at_s = np.array(list(shown), dtype=np.float64)
    found = curves.within(np.zeros(len(at_s), dtype=np.int64), at_s, at_s)
    assert found.answers.all()
    assert found.lowest_wh[:, 0].tolist() == found.highest_wh[:, 0].tolist() == list(shown.values())
    # Dark; back, but not yet up, and with it the gateway; up.
    dark_s = START_S + np.array([5 * LENGTH_S, 7 * LENGTH_S, 8 * LENGTH_S], dtype=np.float64)
    answers = [curves.within(np.full(3, meter), dark_s, dark_s).answers.tolist() for meter in (0, 1)]
    assert answers == [[False, False, True], [False, False, True]]


async def test_registers_and_journal_outlive_the_process(street: Street) -> None:
    client = await street.connect()
    before = await energy_kwh(client, 1)
    client.close()
    await street.fleet.stop()
    street.fleet = street.make()
    await street.fleet.start()
    street.energy_wh = street.energy_wh + np.array(POWER_W) * LENGTH_S / 3600
    street.sequence += 1
    await street.fleet.advance(START_S + LENGTH_S, street.frame(START_S + LENGTH_S))
    client = await street.connect()
    after = await energy_kwh(client, 1)
    client.close()
    (row,) = [row for row in street.journal() if row["serial"] == "AMI00000000"]
    assert row["import_wh"] == round(after * 1000) - round(before * 1000) > 250


async def test_a_whole_line_of_units_on_one_port(tmp_path: Path) -> None:
    street = Street(tmp_path, units=247)
    await street.begin()
    client = await street.connect()
    assert (await street.fleet.settle()).connected == 247
    assert isinstance(await poll(client, 247), dict)
    client.close()
    await street.fleet.stop()
    street.port.close()


def test_addresses_that_are_none_are_all_named(tmp_path: Path) -> None:
    wrong = entries(1502)
    wrong[1] = ShipmentEntry("AMI00000001", "sdm630", "UP1", "g", "", "", bytes(range(32)), "nowhere")
    wrong[2] = ShipmentEntry("AMI00000002", "sdm630", "UP2", "g", "", "", bytes(range(32)), "127.0.0.1:1502/1")
    with pytest.raises(FleetError) as error:
        Fleet(
            meters=wrong,
            world_rows=range(UNITS),
            memory_path=tmp_path / "fleet-0.sqlite",
            broker=BrokerAddress("127.0.0.1", 1),
            seed=7,
            start_s=START_S,
        )
    assert "AMI00000001: address 'nowhere'" in str(error.value)
    assert "AMI00000002: unit 1 of 127.0.0.1:1502 is already taken" in str(error.value)
