"""Gap recovery over a real broker, against a meter that is a plain paho client and checks the envelope by itself."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests.headend.fleet import (
    COLUMNS,
    GROUP,
    LENGTH_S,
    START_S,
    Publisher,
    Shipment,
    event,
    iso,
    opened,
    reading,
    serial,
    state,
    values,
)
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, until
from tests.meters.meter_broker import Broker, on_both_brokers

pytest_plugins = ["tests.headend.fixtures"]

MakeHeadEnd = Callable[[], HeadEnd]


class ScriptedMeter:
    """Meter 0: verifies each command and answers it, from the intervals it `has`, when `answers` is true."""

    def __init__(self, port: int, shipment: Shipment, clock: ManualClock) -> None:
        self._shipment = shipment
        self._clock = clock
        self.has: set[int] = set()
        self.answers = True
        self.remembers_from_s = 0
        self.commands: list[dict[str, Any]] = []
        self.fences: list[bytes] = []
        self._link = Publisher(port, f"{GROUP}-{serial(0)}", subscribe=f"+/{GROUP}/{serial(0)}")
        self._link.on_message = self._command

    @property
    def heard(self) -> list[str]:
        """The topics of all that has reached it, from the moment on at which it was there."""
        return [topic for topic, _ in self._link.received]

    def send(self, kind: str, payload: bytes) -> None:
        self._link.send(f"dt/{GROUP}/{serial(0)}/{kind}", payload)

    def push(self, start_s: int) -> None:
        self.has.add(start_s)
        self.send("ds", reading(0, start_s + LENGTH_S))

    def close(self) -> None:
        self._link.close()

    def _command(self, topic: str, payload: bytes) -> None:
        if topic.startswith("lab/"):
            self.fences.append(payload)
            return
        claims: dict[str, Any] = opened(payload, self._shipment.public_key)
        assert claims["sub"] == serial(0)
        self.commands.append(claims)
        if self.answers:
            self.answer(claims)

    def answer(self, claims: dict[str, Any]) -> None:
        from_s = max(claims["params"]["from"], self.remembers_from_s)
        to_s = max(claims["params"]["to"], from_s)
        rows = [
            [iso(start_s + LENGTH_S), *values(0, start_s + LENGTH_S).values()]
            for start_s in sorted(self.has)
            if from_s <= start_s < to_s
        ]
        chunks = [rows[first : first + 48] for first in range(0, len(rows), 48)] or [[]]
        for part, chunk in enumerate(chunks, start=1):
            profile = {"command": claims["jti"], "ts": iso(self._clock.now()), "from": iso(from_s), "to": iso(to_s)}
            profile |= {"part": part, "parts": len(chunks), "interval_s": LENGTH_S, "columns": COLUMNS, "rows": chunk}
            # Not waited for: this runs in the thread that would receive the PUBACK.
            self._link.publish(f"dt/{GROUP}/{serial(0)}/lp", json.dumps({"profile": profile}).encode())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 60)


@pytest.fixture
def shipment(tmp_path: Any) -> Shipment:
    return Shipment(tmp_path / "shipped", count=1)


@pytest.fixture
def make(postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock) -> MakeHeadEnd:
    return lambda: HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), clock)


@pytest.fixture
def meter(mosquitto: Mosquitto, shipment: Shipment, clock: ManualClock) -> Iterator[ScriptedMeter]:
    meter = ScriptedMeter(mosquitto.port, shipment, clock)
    yield meter
    meter.close()


async def live(head_end: HeadEnd, clock: ManualClock, until_s: float) -> list[float]:
    """Grant every instant that the head-end wants, up to `until_s`. Returns those at which it commanded."""
    commanded = []
    while (due_s := head_end.next_due()) is not None and due_s <= until_s:
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        if (await head_end.settle()).commanded:
            commanded.append(clock.now())
    clock.set(until_s)
    await head_end.settle()
    return commanded


def statuses(database: Reader) -> list[object]:
    return [row[0] for row in database.rows("SELECT status FROM command ORDER BY counter")]


async def test_nothing_is_asked_of_a_meter_that_reports(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock
) -> None:
    for number in range(4):
        meter.push(START_S + number * LENGTH_S)
        await head_end.settle()
        assert await live(head_end, clock, START_S + (number + 1) * LENGTH_S + 600) == []


async def test_a_gap_is_asked_for_after_its_grace_and_filled(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.has = {START_S + LENGTH_S, START_S + 2 * LENGTH_S}
    meter.push(START_S)
    await head_end.settle()
    clock.set(START_S + 4 * LENGTH_S)
    meter.push(START_S + 3 * LENGTH_S)
    await head_end.settle()
    assert await live(head_end, clock, START_S + 4 * LENGTH_S + 20) == [START_S + 4 * LENGTH_S]
    await until(lambda: statuses(database) == ["completed"], "the answer")
    (command,) = meter.commands
    assert command["purpose"] == "load_profile.read"
    assert command["params"] == {"from": START_S + LENGTH_S, "to": START_S + 3 * LENGTH_S}
    await head_end.settle()
    assert database.rows("SELECT origin FROM stored_reading ORDER BY interval_start") == [
        ("reported",),
        ("recovered",),
        ("recovered",),
        ("reported",),
    ]


async def test_the_first_request_comes_120_s_after_the_end_of_the_interval(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.has = {START_S}
    assert await live(head_end, clock, START_S + LENGTH_S + 150) == [START_S + LENGTH_S + 120]
    await until(lambda: statuses(database) == ["completed"], "the answer")
    assert database.rows("SELECT extract(epoch FROM interval_start)::int8, origin, quality FROM stored_reading") == [
        (START_S, "recovered", "actual")
    ]
    assert await live(head_end, clock, START_S + 2 * LENGTH_S) == []


async def test_a_meter_that_reports_and_does_not_answer_is_asked_with_growing_pauses_and_counters(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.answers = False
    commanded: list[float] = []
    while clock.now() < START_S + LENGTH_S + 7200:
        # Each half minute it says something, so that it can be reached.
        meter.send("ev", event("tamper", clock.now(), int(clock.now())))
        await head_end.settle()
        commanded += await live(head_end, clock, clock.now() + 30)
    pauses = [later - earlier for earlier, later in itertools.pairwise(commanded)]
    # 60, 120, 240, 480 and then 900 s, each ± 25 % and up to 60 s more for the grid and the next word of the meter.
    for pause, nominal in zip(pauses, [60, 120, 240, 480, *[900] * 20], strict=False):
        assert nominal * 0.75 <= pause <= nominal * 1.25 + 60
    assert len(commanded) > 8
    await until(lambda: len(meter.commands) == len(commanded), "all commands")
    counters = [command["ctr"] for command in meter.commands]
    assert counters == sorted(set(counters))
    assert counters[0] >= 1
    assert all(command["exp"] - command["iat"] == 600 for command in meter.commands)
    await live(head_end, clock, clock.now() + 3600)
    assert set(statuses(database)) == {"expired"}


async def test_a_meter_that_is_not_heard_of_has_one_request_and_hours_later_another(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.answers = False
    commanded = await live(head_end, clock, START_S + LENGTH_S + 8 * 3600)
    pauses = [later - earlier for earlier, later in itertools.pairwise(commanded)]
    assert 2 <= len(commanded) <= 3
    assert all(3 * 3600 <= pause <= 5 * 3600 + 300 for pause in pauses)
    await until(lambda: len(meter.commands) == len(commanded), "all commands, of which none is answered")
    # It is heard of, and answers: what was missed is there at once.
    meter.answers, meter.has = True, {START_S + number * LENGTH_S for number in range(33)}
    meter.push(START_S + 32 * LENGTH_S)
    await head_end.settle()
    assert len(await live(head_end, clock, clock.now() + 600)) == 1
    await until(lambda: statuses(database).count("completed") == 1, "the answer")
    await head_end.settle()
    assert database.value("SELECT count(*) FROM stored_reading") == 33


@on_both_brokers
async def test_a_meter_that_was_away_for_hours_finds_no_old_command_and_is_asked_once(
    broker: Broker, postgres: Postgres, schema: str, shipment: Shipment, clock: ManualClock, database: Reader
) -> None:
    head_end = HeadEnd(shipment.settings(postgres.url(), schema, broker.port), clock)
    await head_end.start()
    meter = ScriptedMeter(broker.port, shipment, clock)
    meter.push(START_S)
    await head_end.settle()
    # Its session stays with the broker.
    meter.send("st", state("offline"))
    meter.close()
    await head_end.settle()
    hours = 6 * 4
    assert await live(head_end, clock, START_S + hours * LENGTH_S + 300) == []
    assert statuses(database) == []
    back = ScriptedMeter(broker.port, shipment, clock)
    assert back.heard == []
    back.has = {START_S + number * LENGTH_S for number in range(hours)}
    back.send("st", state("online", clock.now()))
    await head_end.settle()
    assert len(await live(head_end, clock, clock.now() + 60)) == 1
    await until(lambda: statuses(database) == ["completed"], "the answer")
    await head_end.settle()
    assert await live(head_end, clock, clock.now() + 3600) != [], "new intervals, which it does not push"
    assert [command["params"]["from"] for command in back.commands][:1] == [START_S + LENGTH_S]
    assert all(command["exp"] > command["iat"] for command in back.commands)
    assert database.value("SELECT count(*) FROM stored_reading") == hours
    await head_end.stop()
    back.close()


async def test_what_was_asked_just_before_a_meter_went_is_not_kept_for_it(
    head_end: HeadEnd, meter: ScriptedMeter, mosquitto: Mosquitto, shipment: Shipment, clock: ManualClock
) -> None:
    meter.close()
    assert await live(head_end, clock, START_S + LENGTH_S + 150) == [START_S + LENGTH_S + 120], "nobody knows it yet"
    back = ScriptedMeter(mosquitto.port, shipment, clock)
    back.send("ev", event("tamper", clock.now(), 1))
    await head_end.fence_devices([serial(0)], "7")
    await until(lambda: b"7" in back.fences, "what lies behind all that was kept")
    # What the broker has kept comes at once, when nobody looks at what it says yet.
    assert [topic for topic in back.heard if topic.startswith("cmd/")] == []
    back.close()


async def test_what_the_meter_has_no_record_of_is_not_asked_for_again(
    make: MakeHeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    head_end = make()
    await head_end.start()
    meter.has = {START_S + LENGTH_S}
    clock.set(START_S + 3 * LENGTH_S + 120)
    await head_end.advance()
    await head_end.settle()
    await until(lambda: len(meter.commands) == 1, "the command")
    await live(head_end, clock, START_S + 3 * LENGTH_S + 130)
    await until(lambda: statuses(database) == ["completed"], "the answer")
    assert database.rows(
        "SELECT extract(epoch FROM interval_start)::int8, reason FROM interval_gap ORDER BY interval_start"
    ) == [(START_S, "no_record"), (START_S + 2 * LENGTH_S, "no_record")]
    assert await live(head_end, clock, START_S + 4 * LENGTH_S) == []
    await head_end.stop()

    again = make()
    await again.start()
    assert await live(again, clock, START_S + 4 * LENGTH_S + 119) == []
    await again.stop()


async def test_what_lies_before_the_meters_memory_is_not_asked_for_again(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.has = {START_S + LENGTH_S}
    meter.remembers_from_s = START_S + LENGTH_S
    clock.set(START_S + 2 * LENGTH_S + 120)
    await head_end.advance()
    await head_end.settle()
    await until(lambda: statuses(database) == ["completed"], "the answer")
    assert database.rows("SELECT extract(epoch FROM interval_start)::int8, reason FROM interval_gap") == [
        (START_S, "beyond_memory")
    ]
    assert await live(head_end, clock, START_S + 3 * LENGTH_S) == []


async def test_an_interval_that_is_not_over_by_the_meters_clock_stays_wanted(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.answers = False
    clock.set(START_S + LENGTH_S + 120)
    await head_end.advance()
    await head_end.settle()
    await until(lambda: len(meter.commands) == 1, "the command")
    slow = ManualClock(START_S + LENGTH_S - 1)
    meter._clock = slow
    meter.answer(meter.commands[0])
    await until(lambda: statuses(database) == ["completed"], "the answer")
    assert database.value("SELECT count(*) FROM interval_gap") == 0
    meter._clock, meter.answers, meter.has = clock, True, {START_S}
    await live(head_end, clock, START_S + 2 * LENGTH_S)
    await until(lambda: database.value("SELECT count(*) FROM stored_reading") == 1, "the reading")


async def test_a_long_gap_is_asked_for_96_intervals_at_a_time(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.has = {START_S + number * LENGTH_S for number in range(200)}
    clock.set(START_S + 200 * LENGTH_S + 120)
    for asked in (1, 2, 3):
        await head_end.advance()
        await head_end.settle()
        await until(lambda asked=asked: statuses(database) == ["completed"] * asked, "the answer")  # type: ignore[misc]  # bound early
        await head_end.settle()
        clock.set(clock.now() + 30)
    assert [(command["params"]["to"] - command["params"]["from"]) // LENGTH_S for command in meter.commands] == [
        96,
        96,
        8,
    ]
    assert database.value("SELECT count(*) FROM stored_reading WHERE origin = 'recovered'") == 200


@pytest.mark.parametrize("sign", ["online", "power_restore"])
async def test_a_meter_that_returns_is_asked_at_once_and_not_while_it_is_away(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader, sign: str
) -> None:
    meter.answers = False
    meter.send("st", state("offline"))
    await head_end.settle()
    commanded = await live(head_end, clock, START_S + LENGTH_S + 160)
    assert commanded == []
    back_s = START_S + LENGTH_S + 160
    if sign == "online":
        meter.send("st", state("online", back_s))
    else:
        meter.send("ev", event("power_restore", back_s, 1, down_at=iso(START_S), up_at=iso(back_s)))
    await head_end.settle()
    commanded = await live(head_end, clock, back_s + 60)
    # 10 s for the meter's own push, then the next instant of the 30 s grid.
    assert commanded == [START_S + LENGTH_S + 180]


async def test_a_returning_meter_that_pushes_by_itself_is_not_asked(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock
) -> None:
    meter.send("st", state("offline"))
    await head_end.settle()
    await live(head_end, clock, START_S + LENGTH_S + 130)
    meter.send("st", state("online", clock.now()))
    meter.push(START_S)
    await head_end.settle()
    assert await live(head_end, clock, START_S + 2 * LENGTH_S) == []


async def test_a_refusal_is_noted_and_the_back_off_goes_on(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.answers = False
    await live(head_end, clock, START_S + LENGTH_S + 120)
    await until(lambda: len(meter.commands) == 1, "the command")
    command = meter.commands[0]["jti"]
    meter.send("ev", event("command_refused", clock.now(), 1, command=command, reason="expired"))
    await head_end.settle()
    assert database.rows("SELECT status, reason FROM command") == [("refused", "expired")]
    assert len(await live(head_end, clock, START_S + LENGTH_S + 250)) == 1, "its refusal shows that it is there"


@pytest.mark.parametrize("reason", ["replayed", "bad_signature", "unknown_key", "malformed"])
async def test_an_answer_is_stored_whole_whatever_anybody_sends_the_meter_meanwhile(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader, reason: str
) -> None:
    meter.answers = False
    await live(head_end, clock, START_S + LENGTH_S + 120)
    await until(lambda: len(meter.commands) == 1, "the command")
    claims = meter.commands[0]

    def part(number: int, rows: list[list[object]]) -> bytes:
        asked = {name: iso(claims["params"][name]) for name in ("from", "to")}
        told = {"command": claims["jti"], "ts": iso(clock.now()), **asked, "part": number, "parts": 2}
        return json.dumps({"profile": {**told, "interval_s": LENGTH_S, "columns": COLUMNS, "rows": rows}}).encode()

    end_s = START_S + LENGTH_S
    meter.send("lp", part(1, []))
    meter.send("ev", event("command_refused", clock.now(), 1, command=claims["jti"], reason=reason))
    meter.send("lp", part(2, [[iso(end_s), *values(0, end_s).values()]]))
    await head_end.settle()
    assert database.rows("SELECT status, reason FROM command") == [("completed", None)]
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    assert database.value("SELECT count(*) FROM dead_letter") == 0


async def test_a_request_that_only_forgeries_were_refused_of_says_so_when_it_ends(
    head_end: HeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.answers = False
    await live(head_end, clock, START_S + LENGTH_S + 120)
    await until(lambda: len(meter.commands) == 1, "the command")
    command = meter.commands[0]["jti"]
    meter.send("ev", event("command_refused", clock.now(), 1, command=command, reason="unknown_key"))
    meter.send("st", state("offline"))
    await head_end.settle()
    await live(head_end, clock, START_S + 2 * LENGTH_S + 200)
    assert database.rows("SELECT status, reason FROM command") == [("expired", "unknown_key")]


async def test_counters_and_open_requests_survive_a_restart(
    make: MakeHeadEnd, meter: ScriptedMeter, clock: ManualClock, database: Reader
) -> None:
    meter.answers = False
    first = make()
    await first.start()
    await live(first, clock, START_S + LENGTH_S + 120)
    await until(lambda: len(meter.commands) == 1, "the command")
    await first.stop()
    meter.has = {START_S}
    meter.answer(meter.commands[0])
    second = make()
    await second.start()
    await until(lambda: statuses(database) == ["completed"], "the answer to the command of the first life")
    clock.set(clock.now() + LENGTH_S)
    await live(second, clock, clock.now() + 30)
    await second.stop()
    await until(lambda: len(meter.commands) == 2, "the next command")
    assert meter.commands[1]["ctr"] > meter.commands[0]["ctr"]
