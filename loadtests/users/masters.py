"""A Modbus master that polls all meters behind a gateway, as a utility's second reader would (docs/wire-sdm630.md)."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from loadtests import duties
from loadtests.duties import Duty
from loadtests.users.base import Scheduled
from meters.carriers.modbus.sdm630 import ADDRESSES, READ_LIMIT

TIMEOUT_S = 3.0
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
        try:
            answer = self._client.read_input_registers(
                ADDRESSES["voltage_l1_v"], count=READ_LIMIT, device_id=duty.first
            )
        except ModbusException as error:
            self.failed("poll", error, "Modbus")
            return
        if answer.isError():
            self.failed("poll", ValueError(f"unit {duty.first} answers exception {answer.exception_code}"), "Modbus")
        else:
            self.done(duty, place, 2 * len(answer.registers))

    def leave(self) -> None:
        if hasattr(self, "_number"):
            if hasattr(self, "_client"):
                self._client.close()
            self.desk.leases.give_back(f"gateway-{self._number}")
