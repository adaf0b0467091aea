"""The gateway over real sockets: what any master may send it, and what it costs the others."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.services.ports import ReservedPort
from meters.carriers.modbus.entries import Refusal, Setting
from meters.carriers.modbus.frames import LONGEST_FRAME, FramingError, Request, Requests
from meters.carriers.modbus.gateway import MOST_CONNECTIONS, Gateway
from meters.carriers.modbus.line import Line
from meters.carriers.modbus.register_map import RegisterMap, parse_register_map

DEADLINE_S = 60.0
MAP = """
read_limit = 80
diagnostics = true
write = 16
block = [
  { functions = [4], first = 0, count = 0x100, multiple = 2 },
  { functions = [3], first = 0x10, count = 4, settings = true },
]
register = [{ address = 0, type = "float32", value = "voltage_l1_v" }]
setting = [{ name = "period", address = 0x12, type = "float32", default = 60.0, among = [15.0, 60.0] }]
"""
PRESENT, TWICE, ABSENT = 3, 4, 99


def frame(transaction: int, pdu: bytes, unit: int = PRESENT, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


def read_of(count: int, function: int = 4, address: int = 0) -> bytes:
    return struct.pack(">BHH", function, address, count)


def write_of(address: int, data: bytes) -> bytes:
    return struct.pack(">BHHB", 16, address, len(data) // 2, len(data)) + data


class Two:
    """A meter, and two others with the same address."""

    def __init__(self) -> None:
        self.period = 60.0

    def at(self, unit: int) -> Collection[int]:
        return {PRESENT: (0,), TWICE: (1, 2)}.get(unit, ())

    def shown(self, _meter: int) -> Mapping[str, float] | None:
        return {"voltage_l1_v": 230.0}

    def settings(self, _meter: int, *, of_lock: bool) -> Mapping[str, float]:
        return {"period": self.period}

    def write(self, _meter: int, setting: Setting, number: float) -> Refusal | None:
        if not setting.allows(number):
            return Refusal.ILLEGAL_VALUE
        self.period = number
        return None


class Stand:
    """A gateway with these meters. What goes wrong in the loop is in `faults`."""

    def __init__(self) -> None:
        self.port = ReservedPort()
        registers = parse_register_map(MAP, origin="mine")
        self.gateway = Gateway("127.0.0.1", self.port.port, Line(Two(), registers).answer)
        self.faults: list[dict[str, object]] = []

    async def open(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: self.faults.append(context))
        await self.gateway.open()

    async def connect(self, receive_bytes: int | None = None) -> Master:
        connection = socket.socket()
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port.port))
        return Master(*await asyncio.open_connection(sock=connection))

    def close(self) -> None:
        self.gateway.close()
        self.port.close()
        assert not self.faults


class Master:
    """A client that is as naive as a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, int, bytes]:
        """Transaction, unit and PDU of the next answer."""
        async with asyncio.timeout(DEADLINE_S):
            transaction, protocol, length, unit = struct.unpack(">HHHB", await self.reader.readexactly(7))
            assert protocol == 0
            return transaction, unit, await self.reader.readexactly(length - 1)

    async def ask(self, pdu: bytes, unit: int = PRESENT) -> bytes:
        self.send(frame(7, pdu, unit))
        transaction, answered_by, found = await self.answer()
        assert (transaction, answered_by) == (7, unit)
        return found

    async def is_dropped(self) -> bool:
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    await stand.open()
    yield stand
    stand.close()


@pytest.fixture
async def master(stand: Stand) -> AsyncIterator[Master]:
    master = await stand.connect()
    yield master
    master.close()


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


frames_sent = st.lists(
    st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.binary(max_size=253), st.sampled_from([0, 0, 0, 1])),
    max_size=20,
)


@given(frames_sent, st.lists(st.integers(0, 6000), max_size=30))
def test_requests_are_those_that_were_sent_whatever_pieces_they_come_in(
    sent: list[tuple[int, int, bytes, int]], cuts: list[int]
) -> None:
    requests, found = Requests(), []
    for piece in pieces(b"".join(frame(number, pdu, unit, other) for number, unit, pdu, other in sent), cuts):
        requests.feed(piece)
        while (request := requests.take()) is not None:
            found.append(request)
    assert found == [Request(number, unit, pdu) for number, unit, pdu, other in sent if not other]


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_any_stream_is_frames_or_none_and_never_held_beyond_one(parts: list[bytes]) -> None:
    requests = Requests()
    for part in parts:
        requests.feed(part)
        try:
            while requests.take() is not None:
                pass
        except FramingError:
            return
        assert len(requests._data) - requests._at < LONGEST_FRAME


async def test_requests_in_one_segment_are_answered_in_their_order(master: Master) -> None:
    asked = [(number, PRESENT if number % 3 else ABSENT, 2 * (1 + number % 40)) for number in range(200)]
    master.send(b"".join(frame(number, read_of(count), unit) for number, unit, count in asked))
    for number, unit, count in asked:
        transaction, answered_by, pdu = await master.answer()
        assert (transaction, answered_by) == (number, unit)
        assert pdu == b"\x84\x0b" if unit == ABSENT else pdu[:2] == bytes((4, 2 * count))


async def test_any_split_of_a_stream_gets_the_same_answers(master: Master) -> None:
    stream = b"".join(
        frame(number, pdu) for number, pdu in enumerate((read_of(2), read_of(0), b"\x08\x00\x00ab", b"\x07"))
    )
    expected = [
        (0, read_of(2)[:1] + b"\x04\x43\x66\x00\x00"),
        (1, b"\x84\x03"),
        (2, b"\x08\x00\x00ab"),
        (3, b"\x87\x01"),
    ]
    for cut in range(1, len(stream)):
        master.send(stream[:cut])
        await master.writer.drain()
        await asyncio.sleep(0)
        master.send(stream[cut:])
        assert [(number, pdu) for number, _, pdu in [await master.answer() for _ in expected]] == expected


async def test_a_byte_at_a_time_is_a_request_too(master: Master) -> None:
    for byte in frame(5, read_of(2)):
        master.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await master.answer())[2] == b"\x04\x04\x43\x66\x00\x00"


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        (read_of(0), b"\x84\x03"),
        (read_of(126), b"\x84\x03"),
        (read_of(82), b"\x84\x03"),
        (read_of(0xFFFF), b"\x84\x03"),
        (b"\x04", b"\x84\x03"),
        (b"\x04\x00", b"\x84\x03"),
        (b"\x04\x00\x00\x00", b"\x84\x03"),
        (read_of(2) + b"\x00", b"\x84\x03"),
        (read_of(2, address=1), b"\x84\x02"),
        (read_of(3), b"\x84\x02"),
        (read_of(2, address=0x100), b"\x84\x02"),
        (read_of(2, address=0xFFFE), b"\x84\x02"),
        (read_of(1, function=3, address=0x11), b"\x03\x02\x00\x00"),
        (read_of(2, function=3), b"\x83\x02"),
        (b"\x08\x00\x00\x12\x34", b"\x08\x00\x00\x12\x34"),
        (b"\x08\x00\x00", b"\x08\x00\x00"),
        (b"\x08\x00\x0b\x00\x00", b"\x88\x01"),
        (b"\x08\x00", b"\x88\x03"),
        (b"\x01\x00\x00\x00\x01", b"\x81\x01"),
        (read_of(2, function=3, address=0x12), b"\x03\x04" + struct.pack(">f", 60.0)),
        (write_of(0x12, struct.pack(">f", 15.0)), b"\x10\x00\x12\x00\x02"),
        (write_of(0x12, struct.pack(">f", 16.0)), b"\x90\x03"),
        (write_of(0x12, struct.pack(">f", float("nan"))), b"\x90\x03"),
        (write_of(0x12, b"\x00\x01"), b"\x90\x02"),
        (write_of(0x10, struct.pack(">f", 15.0)), b"\x90\x02"),
        (write_of(0x12, struct.pack(">2f", 15.0, 15.0)), b"\x90\x02"),
        (write_of(0x12, struct.pack(">f", 15.0))[:-1], b"\x90\x03"),
        (write_of(0x12, struct.pack(">f", 15.0)) + b"\x00", b"\x90\x03"),
        (write_of(0x12, b""), b"\x90\x03"),
        (b"\x10", b"\x90\x03"),
        (b"\x06\x00\x12\x00\x01", b"\x86\x01"),
        (b"\x07", b"\x87\x01"),
        (b"\x0b", b"\x8b\x01"),
        (b"\x11", b"\x91\x01"),
        (b"\x18\x00\x00", b"\x98\x01"),
        (b"\x2b\x0e\x01\x00", b"\xab\x01"),
        (b"\x7f", b"\xff\x01"),
    ],
    ids=lambda pdu: pdu.hex(" "),
)
async def test_a_meter_answers_as_the_protocol_names_it(master: Master, pdu: bytes, answer: bytes) -> None:
    assert await master.ask(pdu) == answer


@pytest.mark.parametrize("unit", [0, TWICE, ABSENT, 247, 248, 255])
async def test_whoever_does_not_answer_does_not_answer_any_function(master: Master, unit: int) -> None:
    for function in range(1, 0x80):
        for data in (b"", b"\x00", b"\x00\x00\x00\x02", b"\x0e\x01\x00"):
            assert await master.ask(bytes((function,)) + data, unit) == bytes((function | 0x80, 0x0B))


@pytest.mark.parametrize("pdu", [b"", b"\x00\x00\x00\x00\x02", b"\x80", b"\x84\x02", b"\xff"])
async def test_what_has_no_exception_of_its_own_is_passed_over(master: Master, pdu: bytes) -> None:
    master.send(frame(1, pdu) + frame(2, read_of(2)))
    assert (await master.answer())[0] == 2


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00" + b"\xfc" * 6, frame(1, b"x" * 300), bytes(6)]
)
async def test_who_speaks_another_protocol_is_dropped_and_the_answers_before_are_his(
    master: Master, data: bytes, stand: Stand
) -> None:
    master.send(frame(1, read_of(2)) + data)
    assert (await master.answer())[0] == 1
    assert await master.is_dropped()
    other = await stand.connect()
    assert (await other.ask(read_of(2)))[0] == 4
    other.close()


async def test_who_floods_and_does_not_read_holds_up_nobody_and_loses_nothing(stand: Stand) -> None:
    count = 60_000
    flooder = await stand.connect(receive_bytes=4096)
    flooder.send(b"".join(frame(number & 0xFFFF, read_of(80)) for number in range(count)))
    other = await stand.connect()
    async with asyncio.timeout(DEADLINE_S):
        # Until it is read from no more: the rest of its requests waits on its own side.
        while not (blocked := [each for each in stand.gateway._connections if each._blocked]):
            assert len(await other.ask(read_of(2))) == 6
        (server,) = blocked
        assert server._transport.get_write_buffer_size() < 100_000
        assert len(server._requests._data) < 1_000_000
        assert len(await other.ask(read_of(2))) == 6
        for number in range(count):
            assert (await flooder.answer())[0] == number & 0xFFFF
    for each in (flooder, other):
        each.close()


async def test_nobody_keeps_the_others_out_by_holding_connections(stand: Stand) -> None:
    masters = [await stand.connect() for _ in range(MOST_CONNECTIONS)]
    for each in masters:
        assert (await each.ask(read_of(2)))[0] == 4
    # The second has been silent for longest when one more comes.
    assert (await masters[0].ask(read_of(2)))[0] == 4
    one_more = await stand.connect()
    assert (await one_more.ask(read_of(2)))[0] == 4
    assert await masters[1].is_dropped()
    for each in (masters[0], *masters[2:]):
        assert (await each.ask(read_of(2)))[0] == 4
    for each in (*masters, one_more):
        each.close()


async def test_a_gateway_that_closes_drops_everybody_and_opens_again(stand: Stand, master: Master) -> None:
    assert (await master.ask(read_of(2)))[0] == 4
    stand.gateway.close()
    assert await master.is_dropped()
    await stand.gateway.open()
    again = await stand.connect()
    assert (await again.ask(read_of(2)))[0] == 4
    again.close()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.binary(max_size=300), st.builds(frame, st.just(1), st.binary(max_size=260))), max_size=8))
def test_no_stream_of_bytes_ends_the_gateway(parts: list[bytes]) -> None:
    async def fuzz() -> None:
        stand = Stand()
        await stand.open()
        attacker = await stand.connect()
        try:
            for part in parts:
                attacker.send(part)
                await attacker.writer.drain()
        except ConnectionError:
            # Dropped for what it sent.
            pass
        other = await stand.connect()
        assert await other.ask(read_of(2)) == b"\x04\x04\x43\x66\x00\x00"
        attacker.close()
        other.close()
        stand.close()

    asyncio.run(fuzz())


@given(st.integers(0, 255), st.binary(max_size=260))
def test_every_request_gets_one_answer_that_is_its_own(unit: int, pdu: bytes) -> None:
    registers: RegisterMap = parse_register_map(MAP, origin="mine")
    line = Line(Two(), registers)
    found = line.answer(unit, pdu)
    if not pdu or pdu[0] == 0 or pdu[0] >= 0x80:
        assert found is None
        return
    assert found is not None
    assert found[0] & 0x7F == pdu[0]
    assert len(found) <= 253 or found == pdu
    if found[0] & 0x80:
        assert found[1] in ((0x0B,) if unit != PRESENT else (1, 2, 3))
