"""Commands to meters behind Modbus gateways, over real sockets: no envelope goes out, so the link verifies it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.constants import ExcCodes

from headend.clock import ManualClock
from headend.commands.envelope import CommandSigner
from headend.commands.outgoing import Outgoing
from headend.drivers import CommandAnswer, driver_for
from headend.links.modbus.gateway import GatewayLink
from headend.links.modbus.on_demand import OnDemand
from headend.registry import EndDevice
from headend.service import HeadEnd
from tests.headend.fleet import START_S, Shipment, serial
from tests.headend.modbus_line import Line
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, free_port, until

pytest_plugins = ["tests.headend.fixtures"]

POLLED, SHELLY = 3, 3
"""Meters behind the gateway; and the number of one that takes no commands."""


@pytest.fixture
def clock() -> ManualClock:
    # Between two boundaries: nobody is polled.
    return ManualClock(START_S + 100)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line(free_port(), POLLED)
    await line.open()
    yield line
    line.close()


@pytest.fixture
def shipment(tmp_path: Path, line: Line) -> Shipment:
    shipment = Shipment(tmp_path / "shipped", count=POLLED + 1)
    header, *lines = shipment.path.read_text().splitlines()
    for row in range(POLLED):
        lines[row] = lines[row].replace("rl-dsp", "sdm630") + f"127.0.0.1:{line.port}/{row + 1}"
    lines[SHELLY] = lines[SHELLY].replace("rl-dsp", "shelly-pro-3em")
    shipment.path.write_text("\n".join([header, *lines]) + "\n")
    return shipment


@pytest.fixture
async def head_end(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> AsyncIterator[HeadEnd]:
    head_end = HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port, poll_timeout_s=0.5), clock)
    await head_end.start()
    yield head_end
    await head_end.stop()


async def live(head_end: HeadEnd, clock: ManualClock, until_s: float) -> None:
    while (due_s := head_end.next_due()) is not None and due_s <= until_s:
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    clock.set(until_s)


def ends(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT serial, status, reason, attempts FROM command c JOIN end_device d ON d.id = c.meter_id ORDER BY serial"
    )


@pytest.mark.parametrize("purpose", ["ping", "register.read"])
async def test_an_answer_of_the_gateway_is_none_of_the_meter(
    head_end: HeadEnd, line: Line, clock: ManualClock, database: Reader, purpose: str
) -> None:
    line.energies[1] = 12.5
    line.shown = {0x06: 4.321, 0x0C: -980.4, 0x4C: 2.5, 0x4E: 0.125}
    # The gateway speaks for one that it does not reach; another is there, and cannot.
    line.energies[2] = None
    line.exceptions[3] = ExcCodes.ILLEGAL_ADDRESS
    serials = [serial(number) for number in range(POLLED + 1)]
    await head_end.commands.request(purpose, serials, by="me", within_s=60)
    await live(head_end, clock, START_S + 200)
    assert ends(database) == [
        (serial(0), "completed", None, 1),
        (serial(1), "expired", "gateway_target_failed", 2),
        (serial(2), "failed", "illegal_data_address", 1),
        (serial(SHELLY), "refused", "not_supported", 0),
    ]
    stored = database.rows("SELECT import_register_wh, extract(epoch FROM read_at)::int8 FROM on_demand_reading")
    assert stored == ([] if purpose == "ping" else [(12_500, START_S + 100)])
    more = database.rows(
        "SELECT reactive_import_register_varh, reactive_export_register_varh, active_power_l1_w,"
        " current_l1_a FROM on_demand_reading"
    )
    assert more == ([] if purpose == "ping" else [(2_500, 125, -980, 4.321)])
    assert database.value("SELECT count(*) FROM interval_reading") == 0
    assert database.value("SELECT count(*) FROM register_reading") == 0


async def test_a_silent_meter_costs_the_others_behind_its_gateway_no_command(
    head_end: HeadEnd, line: Line, clock: ManualClock, database: Reader
) -> None:
    line.held = {1}
    await head_end.commands.request("register.read", [serial(0), serial(1), serial(2)], by="me", within_s=30)
    await live(head_end, clock, START_S + 200)
    (silent, *others) = ends(database)
    assert silent[:3] == (serial(0), "expired", "no_answer")
    assert others == [(serial(1), "completed", None, 1), (serial(2), "completed", None, 1)]
    # Those who answered are asked first; and all in their order again once it answers.
    line.asked.clear()
    await head_end.commands.request("register.read", [serial(0), serial(1), serial(2)], by="me", within_s=30)
    await head_end.advance()
    await head_end.settle()
    assert list(dict.fromkeys(line.asked)) == [2, 3, 1]
    line.held.clear()
    line.released.set()
    await live(head_end, clock, START_S + 300)
    line.asked.clear()
    await head_end.commands.request("register.read", [serial(0), serial(1), serial(2)], by="me", within_s=30)
    await live(head_end, clock, START_S + 400)
    assert list(dict.fromkeys(line.asked)) == [1, 2, 3]


async def test_a_gateway_that_is_away_makes_its_commands_wait(
    head_end: HeadEnd, line: Line, clock: ManualClock, database: Reader
) -> None:
    line.close()
    await head_end.commands.request("ping", [serial(0), serial(1)], by="me", within_s=120)
    await live(head_end, clock, START_S + 110)
    assert {row[1] for row in ends(database)} == {"sent"}
    await line.open()
    await live(head_end, clock, START_S + 300)
    assert ends(database) == [(serial(0), "completed", None, 2), (serial(1), "completed", None, 2)]


class Told:
    """What became of commands, in their order."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def answered(self, _device: EndDevice, answer: CommandAnswer) -> None:
        self.said.append((answer.command_id, answer.state))

    def refused(self, _device: EndDevice, command_id: str, reason: str) -> None:
        self.said.append((command_id, reason))

    def unanswered(self, command_id: str, reason: str) -> None:
        self.said.append((command_id, reason))


async def test_what_waits_is_done_once_and_not_when_it_is_over(line: Line, clock: ManualClock) -> None:
    told, signer = Told(), CommandSigner(KEY)
    gateway = GatewayLink("127.0.0.1", line.port, timeout_s=300)

    def fail(error: Exception) -> None:
        raise error

    on_demand = OnDemand(clock, signer.verifier(), told, gateway_of=lambda _device: gateway, on_failure=fail)
    counters = itertools.count(1)

    def take(command_id: str, unit: int, within_s: int) -> None:
        driver = driver_for("sdm630")
        address = f"127.0.0.1:{line.port}/{unit}"
        device = EndDevice(unit, unit, f"AMI{unit - 1}", f"UP{unit}", "test", driver, START_S, address)
        now_s, ends_s = int(clock.now()), START_S + 100 + within_s
        envelope = CommandSigner(KEY).sign(
            command_id=command_id, serial=device.serial, purpose="ping", issued_s=now_s, not_before_s=START_S,
            expires_s=ends_s, counter=next(counters), params={},
        )  # fmt: skip
        on_demand.take(Outgoing(command_id, device, "ping", {}, ends_s, envelope))

    line.held_serials = {1}
    take("held", 1, 600)
    await until(lambda: line.identified == [1], "the first request")
    take("over", 2, 60)
    take("twice", 3, 600)
    # The gateway is slow: meanwhile one is over, and the others are sent again.
    clock.set(clock.now() + 60)
    take("held", 1, 600)
    take("twice", 3, 600)
    line.released.set()
    await on_demand.settle()
    gateway.close()
    assert line.identified == [1, 3]
    assert told.said == [("held", "completed"), ("over", "expired"), ("twice", "completed")]


KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def signed(counter: int = 1, key: Ed25519PrivateKey = KEY, **changed: int) -> bytes:
    times = {"issued_s": START_S, "not_before_s": START_S - 300, "expires_s": START_S + 60, **changed}
    return CommandSigner(key).sign(command_id="c", serial="AMI1", purpose="ping", counter=counter, params={}, **times)


def test_the_link_refuses_what_a_meter_would() -> None:
    verifier = CommandSigner(KEY).verifier()

    def look(envelope: bytes, serial: str = "AMI1") -> object:
        found = verifier.claims_of(envelope, serial=serial, now_s=START_S)
        return found if isinstance(found, str) else found["purpose"]

    header, body, signature = signed().split(b".")
    assert look(signed(key=Ed25519PrivateKey.generate())) == "unknown_key"
    assert look(b".".join([header, body[:-4] + b"AAAA", signature])) == "bad_signature"
    assert look(signed(), serial="AMI2") == "wrong_device"
    assert look(signed(expires_s=START_S)) == "expired"
    assert look(signed(not_before_s=START_S + 1)) == "not_yet_valid"
    assert look(signed(counter=5)) == "ping"
    assert look(signed(counter=5)) == "replayed"
    assert look(signed(counter=4)) == "replayed"
    assert look(signed(counter=6)) == "ping"


@given(st.binary(max_size=300))
def test_no_bytes_pass_the_link(envelope: bytes) -> None:
    assert isinstance(CommandSigner(KEY).verifier().claims_of(envelope, serial="AMI1", now_s=START_S), str)
