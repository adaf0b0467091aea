"""One Modbus TCP gateway: a connection that is made when it is needed, and one request on it at a time."""

import logging
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from headend.drivers import DecodeError
from headend.modbus.sdm630 import FIRST_REGISTER, REGISTERS, Registers, decode
from headend.registry import EndDevice

# It dumps every packet with each failure; failures are counted and told in our own words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a meter answered: its registers, or why they cannot be used, with the block as it came."""

    device: EndDevice
    registers: Registers | None
    fault: DecodeError | None = None
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Silence:
    """The request to a meter got no answer at all, so that nobody behind it was asked."""

    device: EndDevice


class GatewayLink:
    """The connection to `place`, `host:port`. Nothing but programming errors is raised."""

    def __init__(self, place: str, *, timeout_s: float) -> None:
        self.place = place
        self._host, _, self._port = place.rpartition(":")
        self._timeout_s = timeout_s
        self._client: AsyncModbusTcpClient | None = None

    async def poll(self, devices: Sequence[EndDevice], over: Callable[[], bool]) -> AsyncIterator[Answer | Silence]:
        """The answers of those that answer, one after the other; ends early once `over()`.

        A gateway that is away, or falls silent, is left alone until it is polled again.
        """
        if not await self._connect():
            return
        for device in devices:
            if over():
                return
            unit = int(device.address.rpartition("/")[2])
            client = self._client
            assert client is not None
            try:
                response = await client.read_input_registers(FIRST_REGISTER, count=REGISTERS, device_id=unit)
            except ModbusException:
                self.close()
                yield Silence(device)
                return
            if response.isError():
                # The meter behind the gateway does not answer; the others may.
                continue
            try:
                yield Answer(device, decode(response.registers))
            except DecodeError as error:
                raw = struct.pack(f">{len(response.registers)}H", *response.registers)
                yield Answer(device, None, error, raw)

    def close(self) -> None:
        """Drop the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _connect(self) -> bool:
        if self._client is not None and self._client.connected:
            return True
        self.close()
        client = AsyncModbusTcpClient(
            self._host, port=int(self._port), timeout=self._timeout_s, retries=0, reconnect_delay=0
        )
        if not await client.connect():
            client.close()
            return False
        self._client = client
        return True
