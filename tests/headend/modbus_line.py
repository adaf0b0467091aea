"""A gateway of the tests' own: pymodbus's server, whose meters show what the test says."""

from __future__ import annotations

import asyncio
import struct
from functools import partial

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

REGISTERS = 80
SERIAL = 0xFC00


class Line:
    """Units with imported energy in kWh (`energies`); None answers with exception 0x0B. Lists the units asked.

    Those `held` keep their answers until `released`, those in `held_serials` that about their serial number; those in
    `exceptions` answer with that one. `shown`: what else each shows, by address. `serials`: the serial number of each,
    from `first` on; `identified`: whose was asked for.
    """

    def __init__(self, port: int, units: int, *, first: int = 0) -> None:
        self.port = port
        self.serials = {unit: first + unit - 1 for unit in range(1, units + 1)}
        self.identified: list[int] = []
        self.energies: dict[int, float | None] = dict.fromkeys(range(1, units + 1), 1.0)
        self.shown: dict[int, float] = {}
        self.asked: list[int] = []
        self.held: set[int] = set()
        self.held_serials: set[int] = set()
        self.exceptions: dict[int, ExcCodes] = {}
        self.released = asyncio.Event()
        self._server: ModbusTcpServer | None = None

    async def open(self) -> None:
        devices = [
            SimDevice(
                unit,
                [SimData(0, count=SERIAL + 2, datatype=DataType.REGISTERS)],
                action=partial(self._answer, unit),
            )
            for unit in self.energies
        ]
        self._server = ModbusTcpServer(devices, address=("127.0.0.1", self.port))
        assert await self._server.listen()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _answer(
        self, unit: int, _function: int, _start: int, address: int, _count: int, registers: list[int], _set: object
    ) -> ExcCodes | None:
        if address == SERIAL and unit not in self.exceptions and self.energies[unit] is not None:
            self.identified.append(unit)
            if unit in self.held_serials:
                await self.released.wait()
            registers[SERIAL : SERIAL + 2] = divmod(self.serials[unit], 0x10000)
            return None
        self.asked.append(unit)
        if unit in self.held:
            await self.released.wait()
        if unit in self.exceptions:
            return self.exceptions[unit]
        energy = self.energies[unit]
        if energy is None:
            return ExcCodes.GATEWAY_NO_RESPONSE
        registers[:REGISTERS] = [0] * REGISTERS
        for address, shown in {**self.shown, 0x48: energy}.items():
            registers[address : address + 2] = struct.unpack(">2H", struct.pack(">f", shown))
        return None


class SilentLine:
    """Accepts connections and requests, and never answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._swallow, "127.0.0.1", self.port)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _swallow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            self.asked.set()
        writer.close()
