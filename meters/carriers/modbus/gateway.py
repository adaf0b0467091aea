"""A Modbus TCP gateway with meters on its line: pymodbus's server, whose registers are made when they are read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from meters.carriers.modbus.register_map import Image, RegisterMap
from meters.errors import FleetError

Read = Callable[[int], Image | None]
"""All registers of a meter at the present instant, or None if it does not answer."""

_ANY_UNIT = 0
_LISTEN_ATTEMPTS = 50
_LISTEN_PAUSE_S = 0.02


class Gateway:
    """Serves `units` (unit identifier → meter) at host:port while it is open. All have the same register map."""

    def __init__(self, host: str, port: int, units: Mapping[int, int], registers: RegisterMap, read: Read) -> None:
        self._address = (host, port)
        self._units = dict(units)
        self._registers = registers
        self._first = min(block.first for block in registers.block)
        self._end = max(block.end for block in registers.block)
        self._read = read
        self._server: ModbusTcpServer | None = None

    @property
    def is_open(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def open(self) -> None:
        """Listen. Raises FleetError if the port is taken."""
        if self._server is not None:
            return
        devices = [self._device(unit, partial(self._action, meter)) for unit, meter in self._units.items()]
        # pymodbus answers for a unit that it does not know with another exception than a gateway does.
        devices.append(self._device(_ANY_UNIT, _nobody))
        server = ModbusTcpServer(devices, address=self._address)
        for _ in range(_LISTEN_ATTEMPTS):
            if await server.listen():
                self._server = server
                return
            # The listener before may not be gone yet.
            await asyncio.sleep(_LISTEN_PAUSE_S)
        raise FleetError(f"a Modbus gateway cannot listen on {self._address[0]}:{self._address[1]}: is the port taken?")

    def close(self) -> None:
        """Drop all connections and accept no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _action(
        self,
        meter: int,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        _written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        refusal = self._registers.refusal(function, address, count)
        if refusal is not None:
            return ExcCodes(refusal)
        image = self._read(meter)
        if image is None:
            return ExcCodes.GATEWAY_NO_RESPONSE
        registers[address - start : address - start + count] = self._registers.answer(image, function, address, count)
        return None

    def _device(self, unit: int, action: Callable[..., object]) -> SimDevice:
        # One span: what lies between blocks is refused by the map.
        span = SimData(self._first, count=self._end - self._first, datatype=DataType.REGISTERS)
        return SimDevice(unit, [span], action=action)  # type: ignore[arg-type]  # a coroutine function behind partial


async def _nobody(
    _function: int,
    _start: int,
    _address: int,
    _count: int,
    _registers: list[int],
    _written: list[int] | list[bool] | None,
) -> ExcCodes:
    return ExcCodes.GATEWAY_NO_RESPONSE
