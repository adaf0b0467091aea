"""Commands of a head-end over a real broker and into a real database; the meter is a plain paho client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headend.clock import ManualClock
from headend.commands.envelope import CommandSigner
from headend.commands.outgoing import Outgoing
from headend.commands.purposes import PURPOSES, Answer, Purpose, Verification
from headend.commands.service import MOST_AT_ONCE, CommandService
from headend.errors import CommandError, DatabaseUnavailable
from headend.metrics import Metrics
from headend.registry import read_shipment, register
from headend.service import HeadEnd
from headend.store import commands as store
from headend.store import writer
from headend.store.database import Database
from tests.headend.fleet import GROUP, START_S, Publisher, Shipment, event, iso, opened, serial, state
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, until

pytest_plugins = ["tests.headend.fixtures"]

MakeHeadEnd = Callable[[], HeadEnd]
METERS = 3
SHOWN = {"1.8.0": 48_211_345, "2.8.0": 12, "1.7.0": 524, "2.7.0": 0, "32.7.0": 231.4, "52.7.0": 230.9, "72.7.0": 0.0}


class Meter:
    """One meter that checks each command by itself, and answers when `answers`."""

    def __init__(self, port: int, number: int, shipment: Shipment, clock: ManualClock) -> None:
        self.serial = serial(number)
        self.commands: list[dict[str, Any]] = []
        self.answers = True
        self._key, self._clock = shipment.public_key, clock
        self._link = Publisher(port, f"{GROUP}-{self.serial}", subscribe=f"cmd/{GROUP}/{self.serial}")
        self._link.on_message = self._command

    def send(self, kind: str, payload: bytes) -> None:
        self._link.send(f"dt/{GROUP}/{self.serial}/{kind}", payload)

    def say(self, command_id: str, **said: object) -> bytes:
        body = {"command": command_id, "ts": iso(int(self._clock.now())), "state": "completed", **said}
        return json.dumps({"answer": body}).encode()

    def refuse(self, command_id: str, reason: str, sequence: int = 1) -> None:
        self.send("ev", event("command_refused", int(self._clock.now()), sequence, command=command_id, reason=reason))

    def close(self) -> None:
        self._link.close()

    def _command(self, topic: str, payload: bytes) -> None:
        if payload.startswith(b"{"):
            return
        claims: dict[str, Any] = opened(payload, self._key)
        assert claims["sub"] == self.serial
        assert claims["nbf"] <= claims["iat"] < claims["exp"]
        self.commands.append(claims)
        # The lab's clock may have gone on since it was sent: too late, and a meter says nothing good to it.
        if self.answers and claims["nbf"] <= self._clock.now() < claims["exp"]:
            said = {"values": SHOWN} if claims["purpose"] == "register.read" else {}
            # Not waited for: this runs in the thread that would receive the PUBACK.
            self._link.publish(f"dt/{GROUP}/{self.serial}/an", self.say(claims["jti"], **said))


@pytest.fixture
def clock() -> ManualClock:
    # Shortly after a boundary: gap recovery has nothing to ask for.
    return ManualClock(START_S + 60)


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    return Shipment(tmp_path / "shipped", count=METERS)


@pytest.fixture
def make(postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock) -> MakeHeadEnd:
    return lambda: HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), clock)


@pytest.fixture
def meters(mosquitto: Mosquitto, shipment: Shipment, clock: ManualClock) -> Iterator[list[Meter]]:
    meters = [Meter(mosquitto.port, number, shipment, clock) for number in range(METERS)]
    yield meters
    for meter in meters:
        meter.close()


async def live(head_end: HeadEnd, clock: ManualClock, until_s: float) -> None:
    """Grant every instant that the head-end wants, up to `until_s`."""
    while (due_s := head_end.next_due()) is not None and due_s <= until_s:
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    clock.set(until_s)


def ends(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT serial, purpose, status, reason, attempts FROM command c JOIN end_device d ON d.id = c.meter_id"
        " WHERE purpose <> 'load_profile.read' ORDER BY serial, purpose"
    )


def life(database: Reader, command_id: str) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT attempt, state, extract(epoch FROM at)::float8 - %s FROM command_step WHERE command_id = %s"
        " ORDER BY attempt,"
        " array_position(ARRAY['requested', 'approved', 'queued', 'sent', 'acknowledged', 'executing'], state)",
        START_S + 60,
        command_id,
    )


async def test_a_ping_goes_through_its_life(
    head_end: HeadEnd, meters: list[Meter], clock: ManualClock, database: Reader
) -> None:
    made = await head_end.commands.request("ping", [serial(0), serial(1), serial(0)], by="me", within_s=60)
    assert [each.serial for each in made] == [serial(0), serial(1)]
    assert head_end.next_due() == clock.now()
    await head_end.advance()
    assert set((await head_end.settle()).commanded) == {serial(0), serial(1)}
    await until(lambda: {row[2] for row in ends(database)} == {"completed"}, "both answers")
    assert life(database, made[0].command_id) == [
        (0, "requested", 0), (0, "approved", 0), (1, "queued", 0), (1, "sent", 0), (1, "acknowledged", 0),
        (1, "completed", 0),
    ]  # fmt: skip
    (claims,) = meters[0].commands
    assert (claims["purpose"], claims["params"], claims["jti"]) == ("ping", {}, made[0].command_id)
    assert database.value("SELECT count(*) FROM command WHERE round_trip_s BETWEEN 0 AND 60") == 2
    assert database.value("SELECT count(*) FROM on_demand_reading") == 0
    assert meters[2].commands == []


async def test_registers_are_stored_beside_the_intervals(
    head_end: HeadEnd, meters: list[Meter], clock: ManualClock, database: Reader
) -> None:
    await head_end.commands.request("register.read", [serial(0)], by="me", within_s=60)
    await head_end.advance()
    await until(lambda: [row[2] for row in ends(database)] == ["completed"], "the answer")
    assert database.rows(
        "SELECT meter_id, extract(epoch FROM read_at)::int8, import_register_wh, export_register_wh, active_power_w,"
        " voltage_l1_v, voltage_l2_v, voltage_l3_v, implausible FROM on_demand_reading"
    ) == [(1, START_S + 60, 48_211_345, 12, 524, 231.4, 230.9, 0.0, None)]
    assert database.value("SELECT count(*) FROM interval_reading") == 0


async def test_all_that_a_meter_shows_is_stored(head_end: HeadEnd, meters: list[Meter], database: Reader) -> None:
    meters[0].answers = False
    (made,) = await head_end.commands.request("register.read", [serial(0)], by="me", within_s=60)
    await head_end.advance()
    await until(lambda: bool(meters[0].commands), "the command")
    more = {
        "5.8.0": 9_120, "6.8.0": 1, "7.8.0": 2, "8.8.0": 340, "21.7.0": 0, "22.7.0": 980, "63.7.0": 0, "64.7.0": 212,
        "31.7.0": 4.321, "33.7.0": -0.977, "1.6.0": 5_310, "1.6.0.5": iso(START_S - 900),
    }  # fmt: skip
    meters[0].send("an", meters[0].say(made.command_id, values={**SHOWN, **more}))
    await head_end.settle()
    (row,) = database.rows(
        "SELECT reactive_q1_register_varh, reactive_q2_register_varh, reactive_q3_register_varh,"
        " reactive_q4_register_varh, active_power_l1_w, reactive_power_l3_var, current_l1_a, power_factor_l1,"
        " max_demand_import_w, extract(epoch FROM max_demand_at)::int8, current_l2_a, active_power_l2_w,"
        " reactive_import_register_varh, implausible FROM on_demand_reading"
    )
    assert row == (9_120, 1, 2, 340, -980, -212, 4.321, -0.977, 5_310, START_S - 900, None, None, None, None)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"7.8.0": 1_000_000_000}, "beyond_register"),
        ({"41.7.0": 10_000_000}, "power_beyond_rating"),
        ({"1.6.0": 10_000_000}, "power_beyond_rating"),
        ({"51.7.0": 9_000.0}, "current_beyond_rating"),
        ({"1.8.0": 1_000_000_000}, "beyond_register"),
        ({"1.7.0": 10_000_000}, "power_beyond_rating"),
        ({"32.7.0": 4_000.0}, "beyond_voltage"),
    ],
)
async def test_registers_that_cannot_be_true_are_kept_and_marked(
    head_end: HeadEnd, meters: list[Meter], database: Reader, values: dict[str, float], reason: str
) -> None:
    meters[0].answers = False
    (made,) = await head_end.commands.request("register.read", [serial(0)], by="me", within_s=60)
    await head_end.advance()
    await until(lambda: bool(meters[0].commands), "the command")
    meters[0].send("an", meters[0].say(made.command_id, values={**SHOWN, **values}))
    await head_end.settle()
    assert database.rows("SELECT implausible FROM on_demand_reading") == [(reason,)]
    assert [row[2] for row in ends(database)] == ["completed"]


async def test_a_retry_keeps_the_id_and_takes_a_new_counter(
    head_end: HeadEnd, meters: list[Meter], clock: ManualClock, database: Reader
) -> None:
    meters[0].answers = False
    (made,) = await head_end.commands.request("ping", [serial(0)], by="me", within_s=120)
    await live(head_end, clock, START_S + 60 + 25)
    await until(lambda: len(meters[0].commands) == 2, "the second attempt")
    first, second = meters[0].commands
    assert second["ctr"] > first["ctr"]
    assert second["iat"] > first["iat"]
    assert {name: second[name] for name in ("jti", "sub", "purpose", "nbf", "exp", "params")} == {
        name: first[name] for name in ("jti", "sub", "purpose", "nbf", "exp", "params")
    }
    meters[0].send("an", meters[0].say(made.command_id))
    await head_end.settle()
    assert ends(database) == [(serial(0), "ping", "completed", None, 2)]
    assert [row[:2] for row in life(database, made.command_id)] == [
        (0, "requested"), (0, "approved"), (1, "queued"), (1, "sent"), (2, "queued"), (2, "sent"), (2, "acknowledged"),
        (2, "completed"),
    ]  # fmt: skip
    await live(head_end, clock, START_S + 600)
    assert len(meters[0].commands) == 2, "what has ended is not sent"


async def test_a_meter_that_does_not_answer_makes_the_command_expire(
    head_end: HeadEnd, meters: list[Meter], clock: ManualClock, database: Reader
) -> None:
    meters[0].answers = False
    (made,) = await head_end.commands.request("ping", [serial(0)], by="me", within_s=60)
    await live(head_end, clock, START_S + 200)
    assert ends(database) == [(serial(0), "ping", "expired", "no_answer", 2)]
    assert life(database, made.command_id)[-1] == (2, "expired", 60)


async def test_who_is_away_is_commanded_when_it_is_back(
    head_end: HeadEnd, meters: list[Meter], clock: ManualClock, database: Reader
) -> None:
    for meter in meters[:2]:
        meter.send("st", state("offline"))
    await head_end.settle()
    await head_end.commands.request("ping", [serial(0), serial(1)], by="me", within_s=60)
    await live(head_end, clock, START_S + 90)
    assert meters[0].commands == []
    meters[0].send("st", state("online", clock.now()))
    await head_end.settle()
    await live(head_end, clock, START_S + 200)
    await until(lambda: None not in {row[2] for row in ends(database)}, "the ends")
    await head_end.settle()
    assert ends(database) == [
        (serial(0), "ping", "completed", None, 1),
        (serial(1), "ping", "expired", "unreachable", 0),
    ]


@pytest.mark.parametrize("reason", ["replayed", "bad_signature", "unknown_key", "malformed"])
async def test_what_a_meter_refuses_is_refused_and_what_anybody_can_have_sent_ends_nothing(
    head_end: HeadEnd, meters: list[Meter], clock: ManualClock, database: Reader, reason: str
) -> None:
    for meter in meters:
        meter.answers = False
    made = await head_end.commands.request("ping", [serial(0), serial(1)], by="me", within_s=60)
    await head_end.advance()
    await until(lambda: bool(meters[0].commands and meters[1].commands), "the commands")
    meters[0].refuse(made[0].command_id, "not_supported")
    # Somebody sends the meter what was on the wire before, or a twin that they have made of it.
    meters[1].refuse(made[1].command_id, reason)
    # And a meter speaks of what is another's.
    meters[2].refuse(made[1].command_id, "not_supported")
    await head_end.settle()
    meters[1].send("an", meters[1].say(made[1].command_id))
    await head_end.settle()
    assert ends(database) == [
        (serial(0), "ping", "refused", "not_supported", 1),
        (serial(1), "ping", "completed", None, 1),
    ]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("of another", "unsolicited_answer"), ("of nothing", "unsolicited_answer"), ("with registers", "bad_structure"),
        ("of no state", "bad_value"), ("late", "unsolicited_answer"), ("at it, with registers", "bad_structure"),
        ("failed, with registers", "bad_structure"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_none_is_kept_raw(
    head_end: HeadEnd, meters: list[Meter], clock: ManualClock, database: Reader, kind: str, reason: str
) -> None:
    meters[0].answers = False
    (made,) = await head_end.commands.request("ping", [serial(0)], by="me", within_s=60)
    await head_end.advance()
    await until(lambda: bool(meters[0].commands), "the command")
    if kind == "late":
        await live(head_end, clock, START_S + 200)
    said: dict[str, tuple[Meter, dict[str, object]]] = {
        "of another": (meters[1], {}),
        "of nothing": (meters[0], {"command": "c"}),
        "with registers": (meters[0], {"values": SHOWN}),
        "at it, with registers": (meters[0], {"values": SHOWN, "state": "executing"}),
        "failed, with registers": (meters[0], {"values": SHOWN, "state": "failed"}),
        "of no state": (meters[0], {"state": "perhaps"}),
        "late": (meters[0], {}),
    }
    meter, more = said[kind]
    meter.send("an", meter.say(made.command_id, **more))
    await head_end.settle()
    assert database.rows("SELECT topic, reason FROM dead_letter") == [(f"dt/{GROUP}/{meter.serial}/an", reason)]
    assert [row[2] for row in ends(database)] == ["expired" if kind == "late" else "sent"]
    assert database.value("SELECT count(*) FROM on_demand_reading") == 0


async def test_a_meter_may_say_that_it_is_at_it_and_that_it_failed(
    head_end: HeadEnd, meters: list[Meter], database: Reader
) -> None:
    meters[0].answers = False
    (made,) = await head_end.commands.request("ping", [serial(0)], by="me", within_s=60)
    await head_end.advance()
    await until(lambda: bool(meters[0].commands), "the command")
    meters[0].send("an", meters[0].say(made.command_id, state="executing"))
    await head_end.settle()
    assert [row[2] for row in ends(database)] == ["executing"]
    meters[0].send("an", meters[0].say(made.command_id, state="failed", reason="relay_stuck"))
    await head_end.settle()
    assert ends(database) == [(serial(0), "ping", "failed", "relay_stuck", 1)]
    assert [row[1] for row in life(database, made.command_id)[4:]] == ["acknowledged", "executing", "failed"]


async def test_a_head_end_that_comes_back_goes_on_with_what_was_under_way(
    make: MakeHeadEnd, meters: list[Meter], clock: ManualClock, database: Reader
) -> None:
    meters[0].answers = False
    first = make()
    await first.start()
    (made,) = await first.commands.request("ping", [serial(0)], by="me", within_s=120)
    await first.advance()
    await first.settle()
    await until(lambda: len(meters[0].commands) == 1, "the first attempt")
    await first.stop()
    meters[0].answers = True
    second = make()
    await second.start()
    await live(second, clock, clock.now())
    await until(lambda: [row[2] for row in ends(database)] == ["completed"], "the answer")
    assert [claims["jti"] for claims in meters[0].commands] == [made.command_id] * 2
    assert meters[0].commands[1]["ctr"] > meters[0].commands[0]["ctr"]
    assert ends(database) == [(serial(0), "ping", "completed", None, 2)]
    await second.stop()


async def test_a_restored_backup_issues_counters_that_meters_still_accept(
    make: MakeHeadEnd, meters: list[Meter], clock: ManualClock, database: Reader
) -> None:
    """The database is that of yesterday: it knows neither the command nor the counter that the meter has accepted."""
    first = make()
    await first.start()
    await first.commands.request("ping", [serial(0)], by="me", within_s=60)
    await first.advance()
    await until(lambda: [row[2] for row in ends(database)] == ["completed"], "the answer")
    await first.stop()
    for statement in ("DELETE FROM command_step", "DELETE FROM command", "UPDATE end_device SET command_counter = 0"):
        database.value(f"WITH gone AS ({statement} RETURNING 1) SELECT count(*) FROM gone")
    clock.set(clock.now() + 10)
    second = make()
    await second.start()
    await second.commands.request("ping", [serial(0)], by="me", within_s=60)
    await live(second, clock, clock.now())
    await until(lambda: [row[2] for row in ends(database)] == ["completed"], "the answer after the restoration")
    before, after = meters[0].commands
    assert after["ctr"] > before["ctr"]
    await second.stop()


async def test_no_meter_answers_for_another(
    head_end: HeadEnd, meters: list[Meter], clock: ManualClock, database: Reader
) -> None:
    meters[0].answers = False
    (made,) = await head_end.commands.request("register.read", [serial(0)], by="me", within_s=60)
    await head_end.advance()
    await head_end.settle()
    meters[1].send("an", meters[1].say(made.command_id, values={**SHOWN, "1.8.0": 7}))
    await until(lambda: database.value("SELECT count(*) FROM dead_letter") == 1, "the dead letter")
    assert [row[2] for row in ends(database)] == ["sent"]
    meters[0].send("an", meters[0].say(made.command_id, values=SHOWN))
    await until(lambda: [row[2] for row in ends(database)] == ["completed"], "the answer")
    assert database.rows("SELECT import_register_wh FROM on_demand_reading") == [(SHOWN["1.8.0"],)]
    assert database.rows("SELECT topic, reason FROM dead_letter") == [
        (f"dt/{GROUP}/{serial(1)}/an", "unsolicited_answer")
    ]


async def test_what_is_no_request_says_all_that_is_wrong_and_makes_nothing(head_end: HeadEnd, database: Reader) -> None:
    request = head_end.commands.request
    with pytest.raises(CommandError, match=r"no purpose is called 'relay\.open'; there are load_profile\.read, ping"):
        await request("relay.open", [serial(0)], by="me", within_s=60)
    with pytest.raises(CommandError, match="asked for by gap recovery"):
        await request("load_profile.read", [serial(0)], by="me", within_s=60)
    with pytest.raises(CommandError) as error:
        await request("ping", [serial(0), "AMI9", "AMI8"], by="me", within_s=60, params={"loud": True})
    assert error.value.faults == [
        "no meter is called AMI9", "no meter is called AMI8", "it takes no parameter 'loud'"
    ]  # fmt: skip
    with pytest.raises(CommandError, match=f"{MOST_AT_ONCE:,} are the most"):
        await request("ping", [f"M{number}" for number in range(MOST_AT_ONCE + 1)], by="me", within_s=60)
    assert ends(database) == []


# Without a broker: what goes out, and the life that the database tells.


class Desk:
    """A command service with a purpose more, which `able` meters can do and which somebody else must approve."""

    def __init__(self, service: CommandService, sent: list[Outgoing]) -> None:
        self.service = service
        self.sent = sent


@pytest.fixture
async def desk(postgres: Postgres, schema: str, shipment: Shipment, clock: ManualClock) -> Any:
    settings = shipment.settings(postgres.url(), schema, 1)
    database = Database(settings, Metrics(), prepare=writer.prepare)
    await database.start()
    shipped = read_shipment(shipment.path)
    devices = await database.run(lambda connection: register(connection, shipped, now_s=START_S))
    critical = "relay.open"
    able = [
        replace(
            device,
            driver=replace(
                device.driver,
                capabilities=replace(device.driver.capabilities, purposes=frozenset({"ping", critical})),
            ),
        )
        for device in devices[:2]
    ]
    sent: list[Outgoing] = []
    told: list[Any] = []
    service = CommandService(
        settings,
        clock,
        database,
        CommandSigner.from_file(shipment.key_path),
        [*able, *devices[2:]],
        way_to=lambda _device: sent.append,
        is_away=lambda _device: False,
        tell=told.extend,
        hurry=lambda: None,
        purposes={
            **PURPOSES,
            critical: Purpose(critical, PURPOSES["ping"].parameters, Verification.SECOND_PERSON, Answer.DONE),
        },
    )

    async def advance() -> None:
        await service.advance(clock.now())
        rows, told[:] = list(told), []
        await database.run(lambda connection: store.write_steps(connection, rows))

    made = Desk(service, sent)
    made.advance = advance  # type: ignore[attr-defined]  # of this fixture alone
    yield made
    await database.stop()


async def test_a_critical_command_waits_for_somebody_elses_word(
    desk: Any, clock: ManualClock, database: Reader
) -> None:
    made = await desk.service.request("relay.open", [serial(0), serial(1)], by="ann", within_s=60)
    assert [each.state for each in made] == ["requested", "requested"]
    await desk.advance()
    assert desk.sent == []
    first, second = (each.command_id for each in made)
    with pytest.raises(CommandError, match="ann has requested it"):
        await desk.service.approve([first], by="ann")
    clock.set(clock.now() + 10)
    assert await desk.service.approve([first, "nothing"], by="bob") == [first]
    await desk.advance()
    assert [command.command_id for command in desk.sent] == [first]
    assert await desk.service.approve([first], by="bob") == [], "once"
    clock.set(clock.now() + 60)
    await desk.advance()
    assert [(row[0], row[2], row[3]) for row in ends(database)] == [
        (serial(0), "expired", "no_answer"), (serial(1), "expired", "not_approved")
    ]  # fmt: skip
    assert database.rows(
        "SELECT state, actor FROM command_step WHERE command_id = %s AND attempt = 0 ORDER BY at", first
    ) == [("requested", "ann"), ("approved", "bob")]
    assert [row[1] for row in life(database, second)] == ["requested", "expired"]


@pytest.mark.parametrize("word", ["approve", "cancel"])
async def test_a_word_that_could_not_be_written_down_was_not_said(
    desk: Any, database: Reader, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    (made,) = await desk.service.request("relay.open", [serial(0)], by="ann", within_s=60)

    async def gone(_work: object) -> None:
        raise DatabaseUnavailable("it is gone")

    with monkeypatch.context() as patched:
        patched.setattr(desk.service._database, "run", gone)
        with pytest.raises(DatabaseUnavailable):
            await getattr(desk.service, word)([made.command_id], by="bob")
    await desk.advance()
    assert desk.sent == []
    assert [row[1] for row in life(database, made.command_id)] == ["requested"]
    assert await desk.service.approve([made.command_id], by="bob") == [made.command_id]
    await desk.advance()
    assert [command.command_id for command in desk.sent] == [made.command_id]


async def test_nothing_is_sent_while_it_is_being_taken_back(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (made,) = await desk.service.request("ping", [serial(0)], by="ann", within_s=60)
    run = desk.service._database.run

    with monkeypatch.context() as patched:

        async def slow(work: Any) -> object:
            patched.undo()
            await desk.advance()
            return await run(work)

        patched.setattr(desk.service._database, "run", slow)
        assert await desk.service.cancel([made.command_id, made.command_id], by="bob") == [made.command_id]
    await desk.advance()
    assert desk.sent == []


async def test_what_was_not_sent_can_be_cancelled_and_what_was_cannot(
    desk: Any, clock: ManualClock, database: Reader
) -> None:
    (waiting,) = await desk.service.request("relay.open", [serial(0)], by="ann", within_s=60)
    at_s = clock.now() + 30
    (later,) = await desk.service.request("ping", [serial(1)], by="ann", within_s=60, not_before_s=at_s)
    (gone,) = await desk.service.request("ping", [serial(0)], by="ann", within_s=60)
    await desk.advance()
    assert [command.command_id for command in desk.sent] == [gone.command_id]
    ids = [each.command_id for each in (waiting, later, gone)]
    assert await desk.service.cancel(ids, by="bob") == ids[:2]
    clock.set(clock.now() + 40)
    await desk.advance()
    assert {command.command_id for command in desk.sent} == {gone.command_id}
    assert database.rows(
        "SELECT state, actor FROM command_step WHERE command_id = %s AND state = 'cancelled'", ids[0]
    ) == [("cancelled", "bob")]


async def test_a_command_is_not_sent_before_its_time(desk: Any, clock: ManualClock) -> None:
    at_s = clock.now() + 30
    await desk.service.request("ping", [serial(0)], by="ann", within_s=60, not_before_s=at_s)
    await desk.advance()
    assert desk.sent == []
    assert desk.service.next_due_s(clock.now()) == at_s
    clock.set(at_s)
    await desk.advance()
    (command,) = desk.sent
    assert command.expires_s == at_s + 60


async def test_what_a_driver_cannot_do_is_refused_at_once(desk: Any, database: Reader) -> None:
    (made,) = await desk.service.request("relay.open", [serial(2)], by="ann", within_s=60)
    assert (made.state, made.reason) == ("refused", "not_supported")
    await desk.advance()
    assert desk.sent == []
    assert ends(database) == [(serial(2), "relay.open", "refused", "not_supported", 0)]
    assert [row[1] for row in life(database, made.command_id)] == ["requested", "refused"]


async def test_a_step_that_is_told_twice_is_there_once(desk: Any, postgres: Postgres, database: Reader) -> None:
    (made,) = await desk.service.request("ping", [serial(0)], by="ann", within_s=60)
    await desk.advance()
    row = (made.command_id, 1, "completed", START_S + 61.0, None, None, 0.5)
    late = (made.command_id, 1, "expired", START_S + 99.0, "no_answer", None, None)
    for _ in range(2):
        for rows in ([row], [late]):
            await desk.service._database.run(lambda connection, rows=rows: store.write_steps(connection, rows))
    assert [step[1] for step in life(database, made.command_id)] == [
        "requested", "approved", "queued", "sent", "completed"
    ]  # fmt: skip
    assert database.rows("SELECT status, round_trip_s, extract(epoch FROM finished_at)::int8 FROM command") == [
        ("completed", 0.5, START_S + 61)
    ]
