"""What any master finds and changes in an SDM630 behind its gateway, over real sockets, and what outlives a restart."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from pymodbus.client import AsyncModbusTcpClient

from grid.world import WorldFrame
from meters.fleet import bus
from meters.fleet.bus import MOST_WRITES_PER_S
from tests.meters.fleet.test_polled import FACTS, LENGTH_S, START_S, VOLTAGE_V, Street

PERIOD, SYSTEM, WIDTH, LOCK, NODE, PASSWORD, BAUD = 0x02, 0x0A, 0x0C, 0x0E, 0x14, 0x18, 0x1C
RESET, SERIAL = 0xF010, 0xFC00
VALUE, ADDRESS, BUSY, SILENT = 0x03, 0x02, 0x06, 0x0B


class Unbalanced(Street):
    """Three different phases, one that feeds in, all with reactive power."""

    power_w = (2300.0, 700.0, -400.0)
    reactive_var = (300.0, -150.0, 80.0)

    def frame(self, now_s: int) -> WorldFrame:
        frame = super().frame(now_s)
        lit = self.energised[:, np.newaxis]
        object.__setattr__(frame, "active_power_w", np.where(lit, self.power_w, 0.0))
        object.__setattr__(frame, "reactive_power_var", np.where(lit, self.reactive_var, 0.0))
        return frame


class OnePhase(Street):
    phases = ("L2",)


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Unbalanced]:
    street = Unbalanced(tmp_path)
    await street.begin()
    yield street
    await street.fleet.stop()
    street.port.close()


@pytest.fixture
async def client(street: Unbalanced) -> AsyncIterator[AsyncModbusTcpClient]:
    client = await street.connect()
    yield client
    client.close()


async def shown(client: AsyncModbusTcpClient, address: int, unit: int = 1) -> float:
    """A float32 of the input registers."""
    answer = await client.read_input_registers(address, count=2, device_id=unit)
    assert not answer.isError(), answer
    return float(struct.unpack(">f", struct.pack(">2H", *answer.registers))[0])


async def kept(client: AsyncModbusTcpClient, address: int, unit: int = 1) -> float | int:
    """A float32 of the holding registers, or the exception."""
    answer = await client.read_holding_registers(address, count=2, device_id=unit)
    if answer.isError():
        return int(answer.exception_code)
    return float(struct.unpack(">f", struct.pack(">2H", *answer.registers))[0])


async def write(client: AsyncModbusTcpClient, address: int, number: float, unit: int = 1) -> int:
    """The exception, or 0."""
    words = list(struct.unpack(">2H", struct.pack(">f", number)))
    answer = await client.write_registers(address, words, device_id=unit)
    return int(answer.exception_code) if answer.isError() else 0


async def test_every_input_register_that_the_document_names_has_a_value(
    client: AsyncModbusTcpClient, street: Unbalanced
) -> None:
    await street.fleet.advance(START_S + 4 * LENGTH_S, None)
    words: list[int] = []
    for first in range(0, 0x017E, 80):
        answer = await client.read_input_registers(first, count=min(80, 0x017E - first), device_id=1)
        words += answer.registers
    values = struct.unpack(f">{len(words) // 2}f", struct.pack(f">{len(words)}H", *words))
    named = [
        *range(0x00, 0x2C, 2),
        0x2E,
        0x30,
        0x34,
        0x38,
        0x3C,
        0x3E,
        0x42,
        *range(0x46, 0x60, 2),
        *range(0x64, 0x6C, 2),
    ]
    named += [*range(0xC8, 0xD0, 2), 0xE0, *range(0xEA, 0xF6, 2), 0xF8, 0xFA, 0xFE, *range(0x102, 0x10E, 2)]
    named += [*range(0x14E, 0x17E, 2)]
    # On balance it draws from the net, and only L3 feeds in.
    nothing = {0x5C, 0x5E, 0x160, 0x162}
    assert {address for address in named if values[address // 2] == 0.0} == nothing
    assert all(math.isfinite(value) for value in values)
    assert not any(values[address // 2] for address in range(0, 0x17E, 2) if address not in named)


async def test_powers_angles_and_the_neutral_follow_from_the_phases(client: AsyncModbusTcpClient) -> None:
    for phase in range(3):
        power_w, var = Unbalanced.power_w[phase], Unbalanced.reactive_var[phase]
        assert await shown(client, 0x12 + 2 * phase) == pytest.approx(math.hypot(power_w, var), rel=0.02)
        assert await shown(client, 0x18 + 2 * phase) == pytest.approx(var, rel=0.04)
        assert await shown(client, 0x1E + 2 * phase) == pytest.approx(power_w / math.hypot(power_w, var), rel=0.02)
        assert await shown(client, 0x24 + 2 * phase) == pytest.approx(math.degrees(math.atan2(var, power_w)), abs=2.0)
    assert await shown(client, 0x2A) == pytest.approx(sum(VOLTAGE_V) / 3, rel=0.005)
    assert await shown(client, 0xC8) == pytest.approx(math.sqrt(3) * sum(VOLTAGE_V[:2]) / 2, rel=0.01)
    currents = [
        abs(complex(power, -var)) / volts * np.exp(1j * (np.radians(degrees) - np.arctan2(var, power)))
        for power, var, volts, degrees in zip(
            Unbalanced.power_w, Unbalanced.reactive_var, VOLTAGE_V, (0, -120, 120), strict=True
        )
    ]
    assert await shown(client, 0xE0) == pytest.approx(abs(sum(currents)), rel=0.03)


async def test_the_phases_add_up_to_the_total_for_the_meters_life(
    client: AsyncModbusTcpClient, street: Unbalanced
) -> None:
    for after_s in (0, 4 * LENGTH_S):
        await street.fleet.advance(START_S + after_s, None)
        for total, first in ((0x48, 0x15A), (0x156, 0x166), (0x158, 0x178)):
            phases = sum([await shown(client, first + 2 * phase) for phase in range(3)])
            assert phases > 100, "not only what flowed in the run"
            if total == 0x48:
                # Four float32, each of steps of 7.8 Wh.
                assert phases == pytest.approx(await shown(client, total), abs=4 * 0.008)


async def test_a_meter_on_one_phase_shows_nothing_of_the_others(tmp_path: Path) -> None:
    street = OnePhase(tmp_path)
    await street.begin()
    client = await street.connect()
    for total, first in ((0x48, 0x15A), (0x156, 0x166), (0x158, 0x178)):
        phases = [await shown(client, first + 2 * phase) for phase in range(3)]
        assert phases == [0.0, pytest.approx(await shown(client, total), abs=2 * 0.008), 0.0]
        assert phases[1] > 100
    client.close()
    await street.fleet.stop()
    street.port.close()


async def test_demand_and_its_maximum_follow_the_period_and_a_reset(
    client: AsyncModbusTcpClient, street: Unbalanced
) -> None:
    assert await kept(client, PERIOD) == 60.0
    assert await write(client, PERIOD, 15.0) == 0
    await street.fleet.advance(START_S + LENGTH_S - 1, None)
    assert (await shown(client, 0x54), await shown(client, 0x56)) == (0.0, 0.0)
    assert await kept(client, 0x00) == 14.0, "minutes into the first demand"
    await street.fleet.advance(START_S + LENGTH_S, None)
    total_w = await shown(client, 0x34)
    assert await shown(client, 0x54) == await shown(client, 0x56) == pytest.approx(total_w)
    assert await kept(client, 0x00) == 15.0
    # Of the phases' currents, too.
    assert await shown(client, 0x102) == pytest.approx(await shown(client, 0x06))
    answer = await client.write_registers(RESET, [0], device_id=1)
    assert not answer.isError()
    assert await shown(client, 0x54) == pytest.approx(total_w)
    assert await shown(client, 0x56) == 0.0
    assert (await client.write_registers(RESET, [1], device_id=1)).exception_code == VALUE
    assert await write(client, PERIOD, 0.0) == 0
    assert await shown(client, 0x54) == pytest.approx(total_w)


@pytest.mark.parametrize(
    ("address", "good", "bad"),
    [
        (PERIOD, 8.0, (-1.0, 7.0, 61.0, math.nan, math.inf)),
        (WIDTH, 200.0, (0.0, 99.0, -60.0)),
        (BAUD, 4.0, (5.0, 0.5, -1.0)),
        (NODE, 77.0, (0.0, 248.0, -1.0, math.nan)),
        (0x12, 3.0, (4.0,)),
        (0x16, 5.0, (6.0,)),
        (0x56, 8.0, (3.0, 7.0)),
    ],
)
async def test_a_setting_takes_what_the_document_allows_and_keeps_it_over_a_restart(
    street: Unbalanced, address: int, good: float, bad: tuple[float, ...]
) -> None:
    client = await street.connect()
    before = await kept(client, address, unit=2)
    for number in bad:
        assert await write(client, address, number, unit=2) == VALUE
        assert await kept(client, address, unit=2) == before
    assert await write(client, address, good, unit=2) == 0
    assert await kept(client, address, unit=2) == good
    assert await kept(client, address, unit=3) != good
    client.close()
    await street.fleet.stop()
    street.fleet = street.make()
    await street.fleet.start()
    await street.fleet.advance(START_S + 60, street.frame(START_S))
    client = await street.connect()
    assert await kept(client, address, unit=2) == good, "and the meter itself was not restarted"
    assert await kept(client, address, unit=3) != good
    client.close()


async def test_the_lock_opens_with_the_password_for_a_minute(client: AsyncModbusTcpClient, street: Unbalanced) -> None:
    assert await kept(client, PASSWORD) == 0.0, "nobody reads it"
    assert await kept(client, LOCK) == 0.0
    assert await write(client, SYSTEM, 2.0) == VALUE
    assert await write(client, PASSWORD, 999.0) == VALUE
    assert await write(client, PASSWORD, 1000.0) == 0
    assert await kept(client, LOCK) == 1.0
    assert await kept(client, LOCK, unit=2) == 0.0
    await street.fleet.advance(START_S + 59, None)
    assert await write(client, SYSTEM, 2.0) == 0
    # To read the lock begins the minute anew.
    assert await kept(client, LOCK) == 1.0
    await street.fleet.advance(START_S + 118, None)
    assert await write(client, SYSTEM, 1.0) == 0
    await street.fleet.advance(START_S + 119, None)
    assert await write(client, SYSTEM, 3.0) == VALUE
    assert await kept(client, SYSTEM) == 1.0
    assert await write(client, PASSWORD, 1000.0) == 0
    assert await write(client, LOCK, 12345.0) == 0
    assert await write(client, SYSTEM, 3.0) == VALUE


async def test_a_restart_locks(client: AsyncModbusTcpClient, street: Unbalanced) -> None:
    assert await write(client, PASSWORD, 1000.0) == 0
    street.fleet.reboot(["AMI00000000"])
    await street.fleet.advance(START_S + int(FACTS.reboot_s), None)
    assert await kept(client, LOCK) == 0.0


async def test_what_is_no_parameter_of_its_own_is_refused(client: AsyncModbusTcpClient) -> None:
    for address, words in (
        (PERIOD, [0]),
        (PERIOD, [0, 0, 0, 0]),
        (PERIOD + 1, [0, 0]),
        (0x04, [0, 0]),
        (0x0100, [0, 0]),
    ):
        assert (await client.write_registers(address, words, device_id=1)).exception_code == ADDRESS
    for address in (0x00, SERIAL):
        assert await write(client, address, 1.0) == ADDRESS
    assert (await client.read_holding_registers(0x100, count=2, device_id=1)).exception_code == ADDRESS


async def test_a_meter_has_its_own_serial_number(client: AsyncModbusTcpClient) -> None:
    for unit in (1, 3):
        answer = await client.read_holding_registers(SERIAL, count=2, device_id=unit)
        assert answer.registers == [0, unit - 1], f"AMI{unit - 1:08d}"


async def test_a_new_address_holds_from_the_meters_next_restart_on(
    client: AsyncModbusTcpClient, street: Unbalanced
) -> None:
    assert await write(client, NODE, 77.0, unit=2) == 0
    assert await kept(client, NODE, unit=2) == 77.0
    assert await kept(client, NODE, unit=77) == SILENT
    street.fleet.reboot(["AMI00000001"])
    await street.fleet.advance(START_S + int(FACTS.reboot_s), None)
    assert await kept(client, NODE, unit=2) == SILENT
    assert await kept(client, NODE, unit=77) == 77.0
    answer = await client.read_holding_registers(SERIAL, count=2, device_id=77)
    assert answer.registers == [0, 1]
    # Its gateway and its process may end: it keeps the address.
    await street.fleet.stop()
    street.fleet = street.make()
    await street.fleet.start()
    await street.fleet.advance(START_S + 120, street.frame(START_S))
    again = await street.connect()
    assert await kept(again, NODE, unit=2) == SILENT
    assert await kept(again, NODE, unit=77) == 77.0
    again.close()


async def test_two_with_the_same_address_are_noise_until_one_is_off(
    client: AsyncModbusTcpClient, street: Unbalanced
) -> None:
    assert await write(client, NODE, 3.0, unit=2) == 0
    street.fleet.reboot(["AMI00000001"])
    await street.fleet.advance(START_S + int(FACTS.reboot_s), None)
    assert await kept(client, NODE, unit=2) == SILENT
    assert await kept(client, NODE, unit=3) == SILENT
    assert await write(client, NODE, 9.0, unit=3) == SILENT
    street.fleet.lose_uplink(["AMI00000002"])
    assert await kept(client, NODE, unit=3) == 3.0
    assert (await client.read_holding_registers(SERIAL, count=2, device_id=3)).registers == [0, 1]


async def test_who_writes_without_end_is_told_to_wait(
    client: AsyncModbusTcpClient, street: Unbalanced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the wall clock, which is the master's: simulated seconds may be thousands in one of those."""
    monkeypatch.setattr(bus, "wall_s", lambda: 1000.2)
    found = [await write(client, PERIOD, (15.0, 30.0)[number % 2]) for number in range(MOST_WRITES_PER_S + 5)]
    assert found == [0] * MOST_WRITES_PER_S + [BUSY] * 5
    assert await kept(client, PERIOD) == 30.0
    for second in range(1, 4):
        await street.fleet.advance(START_S + second, None)
        assert await write(client, PERIOD, 15.0) == BUSY
    monkeypatch.setattr(bus, "wall_s", lambda: 1001.2)
    assert await write(client, PERIOD, 15.0) == 0


async def test_a_write_costs_the_same_however_many_meters_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of them, each kept before it is answered: what they add to the shard's durable memory."""
    seconds = itertools.count()
    monkeypatch.setattr(bus, "wall_s", lambda: next(seconds))
    grown = []
    for units in (4, 240):
        directory = tmp_path / str(units)
        directory.mkdir()
        street = Unbalanced(directory, units=units)
        await street.begin()
        client = await street.connect()
        (log,) = directory.glob("*-wal")
        before = log.stat().st_size
        for number in range(1000):
            assert await write(client, PERIOD, (15.0, 30.0)[number % 2], unit=1 + number % 4) == 0
        grown.append(log.stat().st_size - before)
        client.close()
        await street.fleet.stop()
        street.port.close()
    few, many = grown
    assert 0 < many < 1.5 * few


async def test_nobody_who_writes_changes_what_was_counted(tmp_path: Path) -> None:
    journals = []
    for number, writes in enumerate((False, True)):
        (tmp_path / str(number)).mkdir()
        street = Unbalanced(tmp_path / str(number))
        await street.begin()
        client = await street.connect()
        for now_s in range(START_S, START_S + 3 * LENGTH_S, 700):
            await street.fleet.advance(now_s, None)
            if writes:
                assert await write(client, PERIOD, 5.0) == 0
                assert await write(client, NODE, 200.0, unit=4) == 0
        await street.fleet.advance(START_S + 4 * LENGTH_S, None)
        client.close()
        journals.append((street.journal(), street.curves()))
        await street.fleet.stop()
        street.port.close()
    assert journals[0] == journals[1]


async def test_an_em340_is_set_a_register_at_a_time(tmp_path: Path) -> None:
    street = Unbalanced(tmp_path, profile="em340")
    await street.begin()
    client = await street.connect()

    async def kept_word(address: int, unit: int = 1) -> int:
        answer = await client.read_holding_registers(address, count=1, device_id=unit)
        return int(answer.exception_code) if answer.isError() else int(answer.registers[0])

    async def written(address: int, number: int) -> int:
        answer = await client.write_register(address, number, device_id=1)
        return int(answer.exception_code) if answer.isError() else 0

    assert [await kept_word(address) for address in (0x1000, 0x1002, 0x1103, 0x2000, 0x2001)] == [0, 0, 1, 1, 0]
    assert [await written(address, number) for address, number in ((0x1000, 10_000), (0x1002, 3), (0x2000, 0))] == [
        3
    ] * 3
    assert [await written(address, 1) for address in (0x0034, 0x000B, 0x1001, 0x3000)] == [ADDRESS] * 4
    assert (await client.write_registers(0x1002, [1], device_id=1)).exception_code == 0x01
    assert [await written(0x5000 + at, 65) for at in range(7)] == [ADDRESS] * 7, "who it is nobody changes"
    for unit in (1, 3):
        letters = (await client.read_input_registers(0x5000, count=7, device_id=unit)).registers
        assert "".join(map(chr, letters)) == f"000000{unit - 1}"
    assert [await written(0x1002, 1), await kept_word(0x1002)] == [0, 1]
    assert await written(0x2000, 50) == 0
    street.fleet.reboot(["AMI00000000"])
    await street.fleet.advance(START_S + int(FACTS.reboot_s), None)
    assert [await kept_word(0x000B, 1), await kept_word(0x000B, 50)] == [SILENT, 341]
    assert chr(await kept_word(0x5006, 50)) == "0", "it goes with the meter"
    words = (await client.read_input_registers(0x0012, count=6, device_id=50)).registers
    # Least significant word first.
    powers = struct.unpack(">3i", struct.pack(">6H", *(words[at ^ 1] for at in range(6))))
    assert powers == pytest.approx([10 * power_w for power_w in Unbalanced.power_w], rel=0.02)
    client.close()
    await street.fleet.stop()
    street.port.close()
