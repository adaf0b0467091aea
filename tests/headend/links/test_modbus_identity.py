"""A gateway's meters that state what they are, over real sockets: who is another kind of device is told as such."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from headend.clock import ManualClock
from headend.drivers import driver_for
from headend.links.modbus.gateway import Answer, GatewayLink, Refusal, Silence, Unusable
from headend.registry import EndDevice
from headend.service import HeadEnd
from tests.headend.fleet import LENGTH_S, START_S, Shipment, serial
from tests.headend.links.test_modbus_poller import live
from tests.headend.modbus_line import Line as SerialLine
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, free_port

pytest_plugins = ["tests.headend.fixtures"]

EM340, EM330 = 341, 331
MODEL, REGISTERS = 0x000B, 0x52
SERIAL, LETTERS = 0x5000, 7


class Line:
    """Units with a model, a serial number and imported energy in 0.1 kWh (docs/wire-em340.md).

    Those whose model is None answer with exception 0x0B.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.models: dict[int, int | None] = {1: EM340, 2: EM330}
        self.serials = {1: serial(0), 2: serial(1)}
        self.energies: dict[int, int] = {1: 70_000, 2: 5_000}
        self.asked: list[tuple[int, int, int]] = []

    async def open(self) -> None:
        devices = [
            SimDevice(
                unit,
                [SimData(0, count=SERIAL + LETTERS, datatype=DataType.REGISTERS)],
                action=partial(self._answer, unit),
            )
            for unit in self.models
        ]
        self._server = ModbusTcpServer(devices, address=("127.0.0.1", self.port))
        assert await self._server.listen()

    def close(self) -> None:
        self._server.close()

    async def _answer(
        self, unit: int, _function: int, _start: int, address: int, count: int, registers: list[int], _set: object
    ) -> ExcCodes | None:
        self.asked.append((unit, address, count))
        model = self.models[unit]
        if model is None:
            return ExcCodes.GATEWAY_NO_RESPONSE
        if (address, count) == (SERIAL, LETTERS):
            registers[SERIAL:] = [ord(each) for each in self.serials[unit][-LETTERS:]]
            return None
        registers[:REGISTERS] = [0] * REGISTERS
        if (address, count) == (MODEL, 1):
            registers[MODEL] = model
        registers[0x0000] = 2310
        registers[0x28:0x2A] = (0xEC78, 0xFFFF)
        energy = self.energies[unit]
        registers[0x34:0x36] = (energy & 0xFFFF, energy >> 16)
        return None


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line(free_port())
    await line.open()
    yield line
    line.close()


@pytest.fixture
async def link(line: Line) -> AsyncIterator[GatewayLink]:
    link = GatewayLink("127.0.0.1", line.port, timeout_s=5.0)
    yield link
    link.close()


def meter(line: Line, unit: int) -> EndDevice:
    address = f"127.0.0.1:{line.port}/{unit}"
    return EndDevice(unit, unit, serial(unit - 1), f"UP{unit}", "test", driver_for("em340"), START_S, address)


async def test_one_meter_is_read_now(line: Line, link: GatewayLink) -> None:
    found = await link.read(meter(line, 1))
    assert isinstance(found, Answer)
    assert found.registers[:4] == (7_000_000, 0, -500, (231.0, 0.0, 0.0))
    assert line.asked == [(1, MODEL, 1), (1, SERIAL, LETTERS), (1, 0x00, 50), (1, 0x34, 30)], (
        "who it is alone, and first"
    )


async def test_a_device_of_another_kind_is_never_read_as_right(line: Line, link: GatewayLink) -> None:
    for asked in (link.read, link.ping):
        found = await asked(meter(line, 2))
        assert isinstance(found, Unusable)
        assert found.fault.reason == "wrong_identity"
        assert found.raw == EM330.to_bytes(2, "big")
    assert line.asked == [(2, MODEL, 1)] * 2, "nothing else was asked for"


async def test_a_ping_is_answered_by_the_meter_and_not_by_its_gateway(line: Line, link: GatewayLink) -> None:
    assert await link.ping(meter(line, 1)) is None
    line.models[1] = None
    found = await link.ping(meter(line, 1))
    assert isinstance(found, Refusal)
    assert not found.is_meters_own
    line.close()
    link.close()
    assert isinstance(await link.ping(meter(line, 1)), Silence)


async def test_a_ping_without_an_identity_reads_the_first_block(line: Line, link: GatewayLink) -> None:
    driver = driver_for("em340")
    assert driver.modbus is not None
    anybody = replace(driver, modbus=driver.modbus.model_copy(update={"identity": ()}))
    assert await link.ping(replace(meter(line, 2), driver=anybody)) is None
    assert line.asked == [(2, 0x00, 50)]


async def test_a_meter_that_has_anothers_address_is_told_by_its_serial_number() -> None:
    line = SerialLine(free_port(), 2)
    await line.open()
    link = GatewayLink("127.0.0.1", line.port, timeout_s=5.0)
    first = EndDevice(1, 1, serial(0), "UP0", "test", driver_for("sdm630"), START_S, f"127.0.0.1:{line.port}/1")

    async def found() -> str:
        answer = await link.read(first)
        return answer.fault.reason if isinstance(answer, Unusable) else type(answer).__name__

    assert [await found(), await found()] == ["Answer", "Answer"]
    # Two meters have changed their addresses between two polls.
    line.serials[1], line.serials[2] = line.serials[2], line.serials[1]
    assert [await found(), await found()] == ["wrong_identity", "wrong_identity"]
    assert len(line.asked) == 2, "nothing of another meter is read"
    line.serials[1] = 0
    assert await found() == "Answer"
    link.close()
    line.close()


async def test_who_reads_while_others_are_polled_waits_for_its_turn(line: Line, link: GatewayLink) -> None:
    async def poll() -> list[type]:
        return [type(found) async for found in link.poll([meter(line, 1)] * 5, lambda: False)]

    polled, *read = await asyncio.gather(poll(), *(link.read(meter(line, 1)) for _ in range(5)))
    assert polled == [Answer] * 5
    assert all(isinstance(found, Answer) for found in read)


@pytest.fixture
def make(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, tmp_path: Path, line: Line
) -> Callable[[ManualClock], HeadEnd]:
    shipment = Shipment(tmp_path / "shipped", count=2)
    header, *rows = shipment.path.read_text().splitlines()
    rows = [row.replace("rl-dsp", "em340") + f"127.0.0.1:{line.port}/{unit}" for unit, row in enumerate(rows, 1)]
    shipment.path.write_text("\n".join([header, *rows]) + "\n")
    settings = shipment.settings(postgres.url(), schema, mosquitto.port)
    return lambda clock: HeadEnd(settings, clock)


async def test_a_wrong_device_is_there_and_has_no_intervals(
    make: Callable[[ManualClock], HeadEnd], line: Line, database: Reader
) -> None:
    clock = ManualClock(START_S)
    head_end = make(clock)
    await head_end.start()
    await live(head_end, clock, START_S + 10)
    line.energies = {1: 70_003, 2: 5_003}
    await live(head_end, clock, START_S + LENGTH_S + 100)
    await head_end.stop()
    assert database.rows("SELECT serial, import_wh, quality FROM stored_reading") == [(serial(0), 300, "actual")]
    assert database.rows(
        "SELECT d.serial, p.outcome, count(*) FROM poll_outcome p JOIN end_device d ON d.id = p.meter_id"
        " GROUP BY 1, 2 ORDER BY 1"
    ) == [(serial(0), "answered", 2), (serial(1), "wrong_identity", 2)]
    told = database.rows("SELECT reason, payload, detail FROM dead_letter")
    assert told == [
        ("wrong_identity", EM330.to_bytes(2, "big"), f"{serial(1)}: the device says 331 at 0x000B, not 341")
    ], "once for as long as it lasts"
    assert database.rows("SELECT DISTINCT online FROM device_state") == [(True,)], "it is no dead meter"


async def test_two_meters_that_changed_places_are_stored_under_neither_name(
    make: Callable[[ManualClock], HeadEnd], line: Line, database: Reader
) -> None:
    """Their registers are so near that each could have passed what the other shows."""
    line.models[2] = EM340
    line.energies = {1: 70_000, 2: 70_010}
    clock = ManualClock(START_S)
    head_end = make(clock)
    await head_end.start()
    await live(head_end, clock, START_S + 10)
    line.serials = {1: serial(1), 2: serial(0)}
    line.energies = {1: 70_012, 2: 70_013}
    await live(head_end, clock, START_S + LENGTH_S + 100)
    assert database.rows("SELECT serial FROM stored_reading") == []
    assert sorted(database.rows("SELECT reason, detail FROM dead_letter")) == [
        ("wrong_identity", f"{serial(0)}: the device says '0000001' at 0x5000, not 0000000"),
        ("wrong_identity", f"{serial(1)}: the device says '0000000' at 0x5000, not 0000001"),
    ]
    # Somebody puts them right: what was missed is estimated from the meter's own registers.
    line.serials = {1: serial(0), 2: serial(1)}
    line.energies = {1: 70_016, 2: 70_014}
    await live(head_end, clock, START_S + 2 * LENGTH_S + 100)
    await head_end.stop()
    assert database.rows("SELECT serial, import_wh, quality FROM stored_reading ORDER BY serial, interval_start") == [
        (serial(0), 800, "estimated"), (serial(0), 800, "estimated"),
        (serial(1), 200, "estimated"), (serial(1), 200, "estimated"),
    ]  # fmt: skip
