"""One Modbus TCP gateway: a connection that is made when it is needed, and one request on it at a time."""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from headend.drivers import DecodeError, Registers
from headend.drivers.address import GatewayAddress, parse_address
from headend.drivers.register_map import Block, RegisterMap
from headend.registry import EndDevice

# It dumps every packet with each failure; failures are counted and told in our own words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

READ_HOLDING_REGISTERS = 3
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
    """A meter answered what no such meter shows, or is one of another kind; `raw` is the block as it came."""

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
    """No answer at all came for a meter: NO_ANSWER, NO_CONNECTION or NOT_ASKED."""

    device: EndDevice
    outcome: str


Failure = Unusable | Refusal | Silence
"""What came of a meter that did not show its registers."""


def address_of(device: EndDevice) -> GatewayAddress:
    """Where a polled meter is reached; the registry has seen to it that it is somewhere."""
    address = parse_address(device.address)
    assert address is not None
    return address


def map_of(device: EndDevice) -> RegisterMap:
    """The registers of a polled meter."""
    registers = device.driver.modbus
    assert registers is not None, "whoever needs a gateway has a map"
    return registers


class GatewayLink:
    """The connection to the gateway at host:port. Nothing but programming errors is raised."""

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        self._host, self._port = host, port
        self._timeout_s = timeout_s
        self._client: AsyncModbusTcpClient | None = None
        self._free = asyncio.Lock()
        #: Whose answer is being waited for.
        self.asking: EndDevice | None = None

    async def poll(self, devices: Sequence[EndDevice], over: Callable[[], bool]) -> AsyncIterator[Answer | Failure]:
        """What came of each, one after the other; ends early once `over()`.

        A gateway that is away, or falls silent, is left alone until it is polled again.
        """
        for number, device in enumerate(devices):
            if over():
                return
            found = await self.read(device)
            yield found
            if isinstance(found, Silence):
                rest = NO_CONNECTION if found.outcome == NO_CONNECTION else NOT_ASKED
                for other in devices[number + 1 :]:
                    yield Silence(other, rest)
                return

    async def read(self, device: EndDevice) -> Answer | Failure:
        """The registers of one meter, now. Where its map states an identity, only of a meter that has it."""
        registers = map_of(device)
        async with self._free:
            # Ahead of each read: whoever reaches the line can give a meter another's address between two of them.
            unknown = await self._identify(device, registers)
            if unknown is not None:
                return unknown
            answers = []
            for block in registers.blocks:
                answer = await self._request(device, block)
                if not isinstance(answer, list):
                    return answer
                answers.append(answer)
        try:
            return Answer(device, registers.decode(answers))
        except DecodeError as error:
            return Unusable(device, error, _raw(answers))

    async def ping(self, device: EndDevice) -> Failure | None:
        """Whether the meter itself answers, now; None if it does. It shows its identity, or its first block."""
        registers = map_of(device)
        async with self._free:
            if registers.identity:
                return await self._identify(device, registers)
            answer = await self._request(device, registers.blocks[0])
        return None if isinstance(answer, list) else answer

    def close(self) -> None:
        """Drop the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _identify(self, device: EndDevice, registers: RegisterMap) -> Failure | None:
        """None for a meter of the map's kind and with its own serial number, as far as it shows them."""
        for identity in registers.identity:
            answer = await self._request(device, identity.block)
            if not isinstance(answer, list):
                return answer
            try:
                registers.identify(identity, answer, device.serial)
            except DecodeError as error:
                return Unusable(device, error, _raw([answer]))
        return None

    async def _request(self, device: EndDevice, block: Block) -> list[int] | Failure:
        """The registers of a block, or why there are none. One that is not answered costs the connection."""
        if not await self._connect():
            return Silence(device, NO_CONNECTION)
        self.asking = device
        try:
            response = await self._read(block, address_of(device).unit)
        except ModbusException:
            self.close()
            return Silence(device, NO_ANSWER)
        finally:
            self.asking = None
        if isinstance(response, ExceptionResponse):
            raw = bytes((response.function_code, response.exception_code))
            return Refusal(device, response.exception_code, raw)
        if response.function_code != block.function:
            error = DecodeError("bad_structure", f"the answer is to function {response.function_code}")
            return Unusable(device, error, _raw([response.registers]))
        return list(response.registers)

    async def _read(self, block: Block, unit: int) -> ModbusPDU:
        assert self._client is not None
        if block.function == READ_HOLDING_REGISTERS:
            return await self._client.read_holding_registers(block.first, count=block.count, device_id=unit)
        return await self._client.read_input_registers(block.first, count=block.count, device_id=unit)

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


def _raw(answers: Sequence[Sequence[int]]) -> bytes:
    """Blocks as they came, one after the other."""
    return b"".join(struct.pack(f">{len(registers)}H", *registers) for registers in answers)
