"""One Modbus TCP gateway: a connection that is made when it is needed, and one request on it at a time."""

import logging
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse

from headend.drivers import DecodeError
from headend.links.modbus.address import GatewayAddress, parse_address
from headend.links.modbus.sdm630 import FIRST_REGISTER, REGISTERS, Registers, decode
from headend.registry import EndDevice

# It dumps every packet with each failure; failures are counted and told in our own words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

READ_INPUT_REGISTERS = 4
NO_ANSWER, NO_CONNECTION, NOT_ASKED = "no_answer", "no_connection", "not_asked"

# Modbus application protocol V1.1b3, section 7. 5 and 6 are those of a meter that is busy.
_EXCEPTIONS = {
    1: "illegal_function",
    2: "illegal_data_address",
    3: "illegal_data_value",
    4: "device_failure",
    5: "acknowledge",
    6: "device_busy",
    8: "memory_parity_error",
    10: "gateway_path_unavailable",
    11: "gateway_target_failed",
}
_OF_THE_GATEWAY = frozenset((10, 11))
_PASSING = frozenset((5, 6))


@dataclass(frozen=True, slots=True)
class Answer:
    """A meter showed its registers."""

    device: EndDevice
    registers: Registers


@dataclass(frozen=True, slots=True)
class Unusable:
    """A meter answered what no such meter shows; `raw` is the block as it came."""

    device: EndDevice
    fault: DecodeError
    raw: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A Modbus exception came in place of the registers; `raw` is the answer's protocol data unit."""

    device: EndDevice
    code: int
    raw: bytes

    @property
    def outcome(self) -> str:
        """The exception's name, as the specification has it."""
        return _EXCEPTIONS.get(self.code, f"exception_{self.code}")

    @property
    def is_meters_own(self) -> bool:
        """The meter itself said it: it can be reached. A gateway speaks for those that it does not reach."""
        return self.code not in _OF_THE_GATEWAY

    @property
    def is_lasting(self) -> bool:
        """Asking again will not help: what is asked for is not what this meter has, or it is broken."""
        return self.is_meters_own and self.code not in _PASSING


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all came for a meter: READ_INPUT_REGISTERS = 4
    NO_ANSWER, NO_CONNECTION or NOT_ASKED."""

    device: EndDevice
    outcome: str


def address_of(device: EndDevice) -> GatewayAddress:
    """Where a polled meter is reached; the registry has seen to it that it is somewhere."""
    address = parse_address(device.address)
    assert address is not None
    return address


class GatewayLink:
    """The connection to the gateway at host:port. Nothing but programming errors is raised."""

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        self._host, self._port = host, port
        self._timeout_s = timeout_s
        self._client: AsyncModbusTcpClient | None = None
        #: Whose answer is being waited for.
        self.asking: EndDevice | None = None

    async def poll(
        self, devices: Sequence[EndDevice], over: Callable[[], bool]
    ) -> AsyncIterator[Answer | Unusable | Refusal | Silence]:
        """What came of each, one after the other; ends early once `over()`.

        A gateway that is away, or falls silent, is left alone until it is polled again.
        """
        if not await self._connect():
            for device in devices:
                yield Silence(device, NO_CONNECTION)
            return
        for number, device in enumerate(devices):
            if over():
                return
            unit = address_of(device).unit
            client = self._client
            assert client is not None
            self.asking = device
            try:
                response = await client.read_input_registers(FIRST_REGISTER, count=REGISTERS, device_id=unit)
            except ModbusException:
                self.asking = None
                self.close()
                yield Silence(device, NO_ANSWER)
                for other in devices[number + 1 :]:
                    yield Silence(other, NOT_ASKED)
                return
            self.asking = None
            if isinstance(response, ExceptionResponse):
                raw = bytes((response.function_code, response.exception_code))
                yield Refusal(device, response.exception_code, raw)
                continue
            try:
                if response.function_code != READ_INPUT_REGISTERS:
                    raise DecodeError("bad_structure", f"the answer is to function {response.function_code}")
                yield Answer(device, decode(response.registers))
            except DecodeError as error:
                raw = struct.pack(f">{len(response.registers)}H", *response.registers)
                yield Unusable(device, error, raw)

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
            self._host, port=self._port, timeout=self._timeout_s, retries=0, reconnect_delay=0
        )
        if not await client.connect():
            client.close()
            return False
        self._client = client
        return True
