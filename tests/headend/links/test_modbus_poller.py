"""Polled meters in a head-end, over real sockets into a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
from pymodbus.constants import ExcCodes

from headend.clock import ManualClock
from headend.links.modbus.outcomes import PollOutcomes
from headend.links.modbus.poller import Poller
from headend.metrics import Metrics
from headend.reads.follow import ACCEPTED_AFTER
from headend.registry import EndDevice, ShippedDevice
from headend.service import HeadEnd
from tests.headend.fleet import LENGTH_S, START_S, Shipment, serial
from tests.headend.modbus_line import Line, SilentLine
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, free_port, until

pytest_plugins = ["tests.headend.fixtures"]

NORTH, SOUTH = 2, 1
"""Meters of the two gateways, before the one meter of RL-DSP."""
PATIENT_S = 300.0
"""A poller that waits so long for an answer waits for longer than any test lasts."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S)


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
async def north(ports: tuple[int, int]) -> AsyncIterator[Line]:
    line = Line(ports[0], NORTH)
    await line.open()
    yield line
    line.close()


@pytest.fixture
async def south(ports: tuple[int, int]) -> AsyncIterator[Line]:
    line = Line(ports[1], SOUTH, first=NORTH)
    await line.open()
    yield line
    line.close()


@pytest.fixture
def shipment(tmp_path: Path, ports: tuple[int, int]) -> Shipment:
    shipment = Shipment(tmp_path / "shipped", count=NORTH + SOUTH + 1)
    header, *lines = shipment.path.read_text().splitlines()
    homes = [f"127.0.0.1:{ports[0]}/{unit}" for unit in range(1, NORTH + 1)]
    homes += [f"127.0.0.1:{ports[1]}/{unit}" for unit in range(1, SOUTH + 1)]
    for row, home in enumerate(homes):
        lines[row] = lines[row].replace("rl-dsp", "sdm630") + home
    shipment.path.write_text("\n".join([header, *lines]) + "\n")
    return shipment


@pytest.fixture
def make(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> Callable[..., HeadEnd]:
    def make(poll_timeout_s: float = 0.5) -> HeadEnd:
        settings = shipment.settings(postgres.url(), schema, mosquitto.port, poll_timeout_s=poll_timeout_s)
        return HeadEnd(settings, clock)

    return make


@pytest.fixture
async def head_end(make: Callable[..., HeadEnd], north: Line, south: Line) -> AsyncIterator[HeadEnd]:
    head_end = make()
    await head_end.start()
    yield head_end
    await head_end.stop()


@pytest.fixture
def intervals(database: Reader) -> Intervals:
    def of(meter: int) -> list[tuple[object, ...]]:
        return database.rows(
            "SELECT extract(epoch FROM interval_start)::int8 - %s, import_wh, quality FROM stored_reading"
            " WHERE serial = %s ORDER BY 1",
            START_S,
            serial(meter),
        )

    return of


async def live(head_end: HeadEnd, clock: ManualClock, until_s: float) -> None:
    """Everything that is due up to `until_s`, at its instant."""
    while (due_s := head_end.next_due()) is not None and due_s <= until_s:
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    clock.set(until_s)


Intervals = Callable[[int], list[tuple[object, ...]]]


async def test_a_gateway_has_one_connection_whatever_its_meters_periods(shipment: Shipment, clock: ManualClock) -> None:
    settings = shipment.settings("postgresql://", "none", 1)
    addresses = ("gw:502/1", 900), ("gw:502/2", 300), ("other:502/1", 900)
    shipped = [
        ShippedDevice(f"A{n}", "sdm630", f"UP{n}", "test", address, interval_length_s=length_s)
        for n, (address, length_s) in enumerate(addresses)
    ]
    devices = [
        EndDevice(n, n, each.serial, each.usage_point, each.group, each.driver, START_S, each.address)
        for n, each in enumerate(shipped)
    ]
    metrics = Metrics()
    outcomes = PollOutcomes(devices, metrics, {})
    poller = Poller(settings, clock, devices, outcomes, metrics, record=lambda _: None, on_failure=lambda _: None)
    first, second, other = map(poller.gateway_of, devices)
    assert first is second
    assert other is not first


async def test_two_answered_polls_make_an_actual_interval(
    head_end: HeadEnd, clock: ManualClock, north: Line, intervals: Intervals, database: Reader
) -> None:
    await live(head_end, clock, START_S + 10)
    assert sorted(north.asked) == [1, 2], "polled at the first instant, once each"
    assert intervals(0) == []
    north.energies[1] = 1.123
    await live(head_end, clock, START_S + LENGTH_S + 10)
    assert intervals(0) == [(0, 123, "actual")]
    assert intervals(1) == [(0, 0, "actual")]
    row = database.rows(
        "SELECT import_register_wh, status, import_l1_wh FROM stored_reading WHERE serial = %s", serial(0)
    )
    assert row == [(1123, None, None)]


async def test_a_poll_brings_what_the_map_has_of_each_phase_and_of_reactive_energy(
    head_end: HeadEnd, clock: ManualClock, north: Line, database: Reader
) -> None:
    await live(head_end, clock, START_S + 10)
    north.shown = {0x06: 4.321, 0x0C: -980.4, 0x18: 212.0, 0x1E: -0.977, 0x4C: 2.5, 0x4E: 0.125}
    await live(head_end, clock, START_S + LENGTH_S + 10)
    assert database.rows(
        "SELECT current_l1_a::float8::numeric(9, 3)::float8, active_power_l1_w, reactive_power_l1_var,"
        " power_factor_l1::float8::numeric(9, 3)::float8, current_l2_a, reactive_q1_varh FROM stored_reading"
        " WHERE serial = %s",
        serial(0),
    ) == [(4.321, -980, 212, -0.977, 0.0, None)]
    assert database.rows(
        "SELECT reactive_import_register_varh, reactive_export_register_varh FROM register_reading r"
        " JOIN end_device d ON d.id = r.meter_id WHERE serial = %s ORDER BY boundary",
        serial(0),
    ) == [(0, 0), (2500, 125)]


async def test_who_does_not_answer_is_asked_again_within_a_minute(
    head_end: HeadEnd, clock: ManualClock, north: Line, intervals: Intervals
) -> None:
    north.energies[2] = None
    await live(head_end, clock, START_S + 14)
    assert north.asked == [1, 2, 2], "at the boundary and five seconds later"
    north.energies[2] = 1.0
    await live(head_end, clock, START_S + 60)
    assert north.asked == [1, 2, 2, 2]
    north.energies[2] = 1.5
    await live(head_end, clock, START_S + LENGTH_S)
    assert intervals(1) == [(0, 500, "actual")]


async def test_missed_boundaries_are_estimated_and_sum_to_the_register_difference(
    head_end: HeadEnd, clock: ManualClock, north: Line, intervals: Intervals, database: Reader
) -> None:
    await live(head_end, clock, START_S + 10)
    north.energies[1] = None
    await live(head_end, clock, START_S + 2 * LENGTH_S + 120)
    north.energies[1] = 1.1
    await live(head_end, clock, START_S + 3 * LENGTH_S + 10)
    assert intervals(0) == [(0, 33, "estimated"), (900, 33, "estimated"), (1800, 34, "estimated")]
    assert [row[1] for row in intervals(1)] == [0, 0, 0]
    registers = database.rows(
        "SELECT import_register_wh FROM stored_reading WHERE serial = %s ORDER BY interval_start", serial(0)
    )
    assert registers == [(None,), (None,), (1100,)]
    history = database.rows("SELECT online FROM communication_history WHERE serial = %s ORDER BY at", serial(0))
    assert history == [(True,), (False,), (True,)]


async def test_a_gateway_that_is_away_delays_nobody(
    head_end: HeadEnd, clock: ManualClock, north: Line, intervals: Intervals
) -> None:
    await live(head_end, clock, START_S + 10)
    north.close()
    await live(head_end, clock, START_S + LENGTH_S + 60)
    assert intervals(2) == [(0, 0, "actual")]
    assert intervals(0) == []
    await north.open()
    north.energies[1] = 1.002
    await live(head_end, clock, START_S + 2 * LENGTH_S + 10)
    assert intervals(0) == [(0, 1, "estimated"), (900, 1, "estimated")]


async def test_a_gateway_that_never_answers_delays_nobody(
    make: Callable[..., HeadEnd], clock: ManualClock, ports: tuple[int, int], south: Line, database: Reader
) -> None:
    silent = SilentLine(ports[0])
    await silent.open()
    head_end = make(PATIENT_S)
    await head_end.start()
    await head_end.advance()
    await asyncio.wait_for(silent.asked.wait(), 10)
    polled = asyncio.create_task(head_end.settle())
    await until(lambda: database.value("SELECT count(*) FROM register_reading") == SOUTH, "the other gateway's poll")
    assert not polled.done(), "the first one keeps us waiting still"
    polled.cancel()
    await head_end.stop()
    silent.close()


async def test_a_slow_gateway_delays_nobody(
    make: Callable[..., HeadEnd], clock: ManualClock, north: Line, south: Line, intervals: Intervals, database: Reader
) -> None:
    north.held = {1}
    head_end = make(PATIENT_S)
    await head_end.start()
    await head_end.advance()
    await until(lambda: database.value("SELECT count(*) FROM register_reading") == SOUTH, "the other gateway's poll")
    clock.set(START_S + LENGTH_S)
    await head_end.advance()
    await until(lambda: intervals(NORTH) == [(0, 0, "actual")], "the other gateway's poll of the next boundary")
    assert north.asked == [1], "the first one has not yet answered that of the boundary before"
    north.released.set()
    await head_end.settle()
    assert north.asked == [1, 1, 2], "what comes a boundary too late counts for neither"
    assert intervals(0) == []
    await head_end.stop()


async def test_a_meter_that_swallows_requests_is_asked_last(
    head_end: HeadEnd, clock: ManualClock, north: Line, intervals: Intervals
) -> None:
    north.held = {1}
    await live(head_end, clock, START_S + 10)
    assert north.asked == [1, 2, 1], "the others five seconds later, before it"
    await live(head_end, clock, START_S + 60)
    north.asked.clear()
    await live(head_end, clock, START_S + LENGTH_S)
    assert north.asked == [2, 1], "and at the next boundary too"
    assert intervals(1) == [(0, 0, "actual")]
    north.released.set()


async def test_a_head_end_that_was_down_estimates_over_its_own_absence(
    make: Callable[..., HeadEnd], clock: ManualClock, north: Line, south: Line, intervals: Intervals
) -> None:
    first = make()
    await first.start()
    await live(first, clock, START_S + 10)
    await first.stop()
    clock.set(START_S + LENGTH_S + 300)
    asked = len(north.asked)
    second = make()
    await second.start()
    await live(second, clock, START_S + LENGTH_S + 310)
    assert len(north.asked) == asked, "the boundary that was missed is over"
    north.energies[1] = 1.007
    await live(second, clock, START_S + 2 * LENGTH_S)
    assert intervals(0) == [(0, 3, "estimated"), (900, 4, "estimated")]
    await second.stop()


async def test_what_no_meter_shows_is_kept_raw_and_counts_as_missed(
    head_end: HeadEnd, clock: ManualClock, north: Line, intervals: Intervals, database: Reader
) -> None:
    await live(head_end, clock, START_S + 10)
    north.energies[1] = float("nan")
    await live(head_end, clock, START_S + LENGTH_S + 60)
    north.energies[1] = 1.004
    await live(head_end, clock, START_S + 2 * LENGTH_S)
    assert intervals(0) == [(0, 2, "estimated"), (900, 2, "estimated")]
    topics = database.rows("SELECT DISTINCT topic, reason, length(payload) FROM dead_letter")
    assert topics == [(f"modbus/127.0.0.1:{north.port}/1/{serial(0)}", "bad_value", 160)]
    assert database.value("SELECT count(*) FROM dead_letter") == 1, "however often it was asked in that minute"


def outcomes(database: Reader, meter: int) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT o.outcome, o.exception_code, count(*) FROM poll_outcome o JOIN end_device d ON d.id = o.meter_id"
        " WHERE d.serial = %s GROUP BY 1, 2 ORDER BY 3 DESC, 1",
        serial(meter),
    )


async def test_a_meter_with_another_register_map_is_told_from_a_dead_one(
    head_end: HeadEnd, clock: ManualClock, north: Line, database: Reader
) -> None:
    north.exceptions[1] = ExcCodes.ILLEGAL_ADDRESS
    north.energies[2] = None
    await live(head_end, clock, START_S + 4 * LENGTH_S + 60)
    assert outcomes(database, 0) == [("illegal_data_address", 2, 5)], "each boundary once, with all repetitions"
    assert outcomes(database, 1) == [("gateway_target_failed", 11, 5)]
    assert outcomes(database, 2) == [("answered", None, 5)]
    online = database.rows("SELECT d.serial, s.online FROM device_state s JOIN end_device d ON d.id = s.meter_id")
    assert dict(online)[serial(0)] is True, "it answers"
    assert dict(online)[serial(1)] is False
    letters = database.rows("SELECT topic, reason, payload, detail FROM dead_letter")
    assert [letter[:3] for letter in letters] == [
        (f"modbus/127.0.0.1:{north.port}/1/{serial(0)}", "illegal_data_address", b"\x83\x02")
    ], "once for as long as it lasts, and none for who cannot be reached"
    assert "profile sdm630" in str(letters[0][3])


async def test_a_refusal_is_told_again_when_it_comes_back_or_is_another_one(
    head_end: HeadEnd, clock: ManualClock, north: Line, database: Reader, make: Callable[..., HeadEnd]
) -> None:
    said = (ExcCodes.DEVICE_FAILURE, ExcCodes.DEVICE_FAILURE, None, ExcCodes.DEVICE_FAILURE, ExcCodes.ILLEGAL_FUNCTION)
    for boundary, exception in enumerate(said):
        north.exceptions = {} if exception is None else {1: exception}
        await live(head_end, clock, START_S + boundary * LENGTH_S + 60)
    await head_end.stop()
    again = make()
    await again.start()
    await live(again, clock, START_S + len(said) * LENGTH_S + 60)
    await again.stop()
    letters = database.rows("SELECT reason FROM dead_letter ORDER BY received_at")
    assert letters == [("device_failure",), ("device_failure",), ("illegal_function",)], "also over a restart"
    assert outcomes(database, 0) == [
        ("device_failure", 4, 3), ("illegal_function", 1, 2), ("answered", None, 1)
    ]  # fmt: skip


async def test_who_was_not_reached_is_told_apart_by_how(
    head_end: HeadEnd, clock: ManualClock, north: Line, south: Line, database: Reader
) -> None:
    south.close()
    north.held = {1}
    await live(head_end, clock, START_S + 60)
    assert outcomes(database, 0) == [("no_answer", None, 1)]
    assert outcomes(database, 1) == [("answered", None, 1)], "it was asked before, the second time"
    assert outcomes(database, 2) == [("no_connection", None, 1)]
    north.released.set()


async def test_a_meter_that_was_replaced_begins_anew(
    make: Callable[..., HeadEnd], clock: ManualClock, north: Line, south: Line, intervals: Intervals, database: Reader
) -> None:
    head_end = make()
    await head_end.start()
    north.energies[1] = 500.0
    await live(head_end, clock, START_S + 10)
    for number in range(1, ACCEPTED_AFTER + 2):
        north.energies[1] = number / 1000
        if number == ACCEPTED_AFTER:
            assert intervals(0) == []
            await head_end.stop()
            head_end = make()
            await head_end.start()
        await live(head_end, clock, START_S + number * LENGTH_S + 10)
    await head_end.stop()
    assert intervals(0) == [(number * LENGTH_S, 1, "actual") for number in range(1, ACCEPTED_AFTER + 1)]
    letters = database.rows("SELECT reason, detail FROM dead_letter ORDER BY received_at")
    assert [reason for reason, _ in letters] == ["register_backwards", "register_replaced"]
    assert "from 500000 Wh" in str(letters[1][1])
    assert outcomes(database, 0) == [("answered", None, ACCEPTED_AFTER + 2)]


@pytest.mark.parametrize("before_kwh", [5.0, 40_000.0, 60_000.0])
async def test_a_register_that_drops_once_is_estimated_over(
    make: Callable[..., HeadEnd],
    clock: ManualClock,
    north: Line,
    south: Line,
    intervals: Intervals,
    database: Reader,
    before_kwh: float,
) -> None:
    head_end = make()
    await head_end.start()
    shown = (before_kwh, before_kwh + 0.125, 0.0, before_kwh + 0.375, before_kwh + 0.5)
    for number, energy_kwh in enumerate(shown):
        north.energies[1] = energy_kwh
        await live(head_end, clock, START_S + number * LENGTH_S + 10)
        if number == 2:
            # What is not believed yet outlives the head-end.
            await head_end.stop()
            head_end = make()
            await head_end.start()
    await head_end.stop()
    assert intervals(0) == [
        (0, 125, "actual"),
        (900, 125, "estimated"),
        (1800, 125, "estimated"),
        (2700, 125, "actual"),
    ]
    kept = database.rows(
        "SELECT import_register_wh, implausible FROM register_reading r JOIN end_device d ON d.id = r.meter_id"
        " WHERE d.serial = %s AND implausible IS NOT NULL",
        serial(0),
    )
    assert kept == [(0, "register_backwards")]
    assert database.rows("SELECT reason FROM dead_letter") == [("register_backwards",)]
    assert outcomes(database, 0) == [("answered", None, 4), ("register_backwards", None, 1)]


async def test_a_phase_beyond_the_rating_is_kept_apart_and_estimated_over_even_across_a_restart(
    make: Callable[..., HeadEnd], clock: ManualClock, north: Line, south: Line, intervals: Intervals, database: Reader
) -> None:
    head_end = make()
    await head_end.start()
    for number, power_w in enumerate((0.0, 0.0, 10_000_000.0, 0.0, 0.0)):
        north.energies[1], north.shown = 1.0 + number / 8, {0x0C: power_w}
        await live(head_end, clock, START_S + number * LENGTH_S + 10)
        if power_w:
            await head_end.stop()
            head_end = make()
            await head_end.start()
    await head_end.stop()
    assert intervals(0) == [
        (0, 125, "actual"), (900, 125, "estimated"), (1800, 125, "estimated"), (2700, 125, "actual"),
    ]  # fmt: skip
    assert outcomes(database, 0) == [("answered", None, 4), ("power_beyond_rating", None, 1)]
    (letter,) = database.rows("SELECT detail FROM dead_letter WHERE detail LIKE %s", f"{serial(0)}%")
    assert "active_power_l1_w 10000000" in str(letter[0])


async def test_a_meter_that_is_given_up_and_answers_at_one_instant_is_written_once(
    head_end: HeadEnd, clock: ManualClock, north: Line, south: Line, postgres: Postgres, schema: str, database: Reader
) -> None:
    north.energies[1] = None
    with psycopg.connect(postgres.url(), options=f"-csearch_path={schema}") as blocker:
        # What comes at the first boundary is being written for so long that the second one's comes together.
        blocker.execute("LOCK TABLE device_communication IN ACCESS EXCLUSIVE MODE")
        await head_end.advance()
        await until(lambda: 1 in south.asked, "a poll whose answer is to be written")
        await until(lambda: 1 in north.asked, "the poll that fails")
        north.energies[1] = 1.0
        clock.set(START_S + LENGTH_S)
        await head_end.advance()
        await until(lambda: north.asked.count(1) == 2, "the poll that is answered")
    await head_end.settle()
    assert database.rows(
        "SELECT online FROM device_state JOIN end_device d ON d.id = meter_id WHERE serial = %s", serial(0)
    ) == [(True,)]


async def test_what_the_database_refuses_of_one_polled_meter_costs_that_row_alone(
    head_end: HeadEnd,
    clock: ManualClock,
    north: Line,
    intervals: Intervals,
    database: Reader,
    postgres: Postgres,
    schema: str,
) -> None:
    await live(head_end, clock, START_S + 10)
    with psycopg.connect(postgres.url(), autocommit=True, options=f"-csearch_path={schema}") as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.import_wh = 666 THEN RAISE check_violation; END IF; RETURN NEW; END $$;"
            " CREATE TRIGGER refuse BEFORE INSERT ON interval_reading FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    north.energies[1], north.energies[2] = 1.666, 1.123
    await live(head_end, clock, START_S + LENGTH_S + 10)
    assert intervals(0) == []
    assert intervals(1) == [(0, 123, "actual")]
    assert database.rows("SELECT topic FROM dead_letter WHERE reason = 'refused_by_database'") == [
        (f"refused/derived/{serial(0)}",)
    ]
    north.energies[1] = 1.700
    await live(head_end, clock, START_S + 2 * LENGTH_S + 10)
    assert intervals(0) == [(LENGTH_S, 34, "actual")]
