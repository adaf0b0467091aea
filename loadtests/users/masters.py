"""A Modbus master that polls all meters behind a gateway, as a utility's second reader would."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from loadtests import duties
from loadtests.duties import Duty
from loadtests.users.base import Scheduled

TIMEOUT_S = 3.0
INPUT = 4
"""The function code that reads input registers."""
# It dumps each packet of a failed request; failures are counted by Locust.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class ModbusMaster(Scheduled):
    """One connection to one gateway, one request at a time."""

    def join(self) -> None:
        gateways = self.desk.plan.gateways
        self._number = self.desk.leases.take([f"gateway-{number}" for number in range(len(gateways))])
        self._gateway = gateways[self._number]
        self._client = ModbusTcpClient(self._gateway.host, port=self._gateway.port, timeout=TIMEOUT_S, retries=0)
        if not self._client.connect():
            raise ConnectionError(f"the gateway at {self._gateway.host}:{self._gateway.port} does not answer")

    def duties(self, from_s: float) -> Iterator[Duty]:
        return duties.of_master(self._number, self._gateway.units, self.desk.plan.rhythm, from_s)

    def do(self, duty: Duty) -> None:
        place = self.desk.enter(duty)
        registers = 0
        for function, first, count in self._gateway.blocks:
            read = self._client.read_input_registers if function == INPUT else self._client.read_holding_registers
            try:
                answer = read(first, count=count, device_id=duty.first)
            except ModbusException as error:
                self.failed("poll", error, "Modbus")
                return
            if answer.isError():
                refused = ValueError(f"unit {duty.first} answers exception {answer.exception_code}")
                self.failed("poll", refused, "Modbus")
                return
            registers += len(answer.registers)
        self.done(duty, place, 2 * registers)

    def leave(self) -> None:
        if hasattr(self, "_number"):
            if hasattr(self, "_client"):
                self._client.close()
            self.desk.leases.give_back(f"gateway-{self._number}")
