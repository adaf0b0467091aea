"""What cannot be true of an interval is kept, marked, and counted in no sum; what nobody asked for is not believed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests.headend.fleet import (
    GROUP,
    LENGTH_S,
    START_S,
    Publisher,
    Shipment,
    opened,
    profile,
    reading,
    serial,
    values,
)
from tests.headend.links.test_sparkplug import live
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, until
from tests.headend.sparkplug_edge import EdgeNode

pytest_plugins = ["tests.headend.fixtures"]

LIAR, GOOD, BEHIND = 0, 1, 2
EDGE = "COL0001"
END_S = START_S + LENGTH_S
MWH_40 = 40_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 60)


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    shipment = Shipment(tmp_path / "shipped")
    lines = shipment.path.read_text().splitlines()
    lines[1 + BEHIND] = lines[1 + BEHIND].replace("rl-dsp", "sparkplug-plc") + EDGE
    shipment.path.write_text("\n".join(lines) + "\n")
    return shipment


@pytest.fixture
def make(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> Callable[[], HeadEnd]:
    return lambda: HeadEnd(
        shipment.settings(postgres.url(), schema, mosquitto.port, sparkplug_host_id="utility"), clock
    )


@pytest.fixture
def liar(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, serial(LIAR), subscribe=f"cmd/{GROUP}/{serial(LIAR)}")
    yield publisher
    publisher.close()


@pytest.fixture
def good(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, serial(GOOD), subscribe=f"cmd/{GROUP}/{serial(GOOD)}")
    yield publisher
    publisher.close()


def topic(meter: int, kind: str) -> str:
    return f"dt/{GROUP}/{serial(meter)}/{kind}"


def reasons(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT serial, reason, origin FROM implausible_reading JOIN end_device d ON d.id = meter_id"
        " ORDER BY received_at, reason"
    )


IMPLAUSIBLE = [
    ("energy_beyond_rating", END_S, {"1.29.0": MWH_40}),
    ("energy_beyond_rating", END_S, {"2.29.0": MWH_40}),
    ("energy_beyond_rating", END_S, {"61.29.0": MWH_40}),
    ("power_beyond_rating", END_S, {"1.7.0": 1_000_000}),
    ("beyond_register", END_S, {"1.8.0": 1_000_000_000}),
    ("beyond_voltage", END_S, {"52.7.0": 2_310.0}),
    ("beyond_demand_time", END_S, {"1.6.0.5": "9999-12-31T23:59:59-14:00"}),
    ("off_grid", END_S + 7, {}),
    ("ahead_of_clock", END_S + 2 * LENGTH_S, {}),
]


@pytest.mark.parametrize(("reason", "end_s", "changed"), IMPLAUSIBLE)
async def test_it_is_kept_beside_the_readings_and_counts_in_no_sum(
    head_end: HeadEnd, liar: Publisher, good: Publisher, database: Reader, reason: str, end_s: int,
    changed: dict[str, object],
) -> None:  # fmt: skip
    for _ in range(2):
        liar.send(topic(LIAR, "ds"), reading(LIAR, end_s, **changed))
    good.send(topic(GOOD, "ds"), reading(GOOD, END_S))
    assert (await head_end.settle()).connected
    assert reasons(database) == [(serial(LIAR), reason, 0)], "once, though it was said twice"
    [(start_s, length_s, channels)] = database.rows(
        "SELECT extract(epoch FROM interval_start)::int8, interval_length_s, channels FROM implausible_reading"
    )
    assert (start_s, length_s) == (end_s - LENGTH_S, LENGTH_S)
    said = values(LIAR, end_s) | changed
    assert isinstance(channels, dict)
    assert (channels["import_wh"], channels["voltage_l2_v"]) == (said["1.29.0"], said["52.7.0"])
    for relation in ("interval_reading", "stored_reading", "last_reading", "reading_hourly", "reading_daily"):
        assert database.value(f"SELECT count(*) FROM {relation}") == 1, relation
    assert database.value("SELECT sum(import_wh) FROM reading_daily") == values(GOOD, END_S)["1.29.0"]
    sample = head_end.metrics.registry.get_sample_value
    assert sample("amilab_headend_implausible_readings_total", {"reason": reason}) == 2


async def test_a_meter_is_measured_by_its_current_transformers(
    make: Callable[[], HeadEnd], shipment: Shipment, liar: Publisher, database: Reader
) -> None:
    header, *lines = shipment.path.read_text().splitlines()
    currents = ["400", "", ""]
    shipment.path.write_text(
        "\n".join([f"{header},max_current_a", *(f"{line},{a}" for line, a in zip(lines, currents, strict=True))]) + "\n"
    )
    head_end = make()
    await head_end.start()
    big_wh = 60_000
    for meter in (LIAR, GOOD):
        liar.send(topic(meter, "ds"), reading(meter, END_S, **{"1.29.0": big_wh}))
    assert (await head_end.settle()).connected
    await head_end.stop()
    assert database.rows("SELECT serial, import_wh FROM stored_reading") == [(serial(LIAR), big_wh)]
    assert reasons(database) == [(serial(GOOD), "energy_beyond_rating", 0)]


async def test_the_interval_is_asked_for_and_a_true_value_becomes_the_current_one(
    head_end: HeadEnd, liar: Publisher, clock: ManualClock, shipment: Shipment, database: Reader
) -> None:
    liar.send(topic(LIAR, "ds"), reading(LIAR, END_S, **{"1.29.0": MWH_40}))
    await head_end.settle()
    await live(head_end, clock, END_S + 120)
    await until(lambda: bool(liar.received), "the request")
    command = opened(liar.received[0][1], shipment.public_key)
    assert command["params"] == {"from": START_S, "to": END_S}
    rows = {END_S: values(LIAR, END_S)}
    liar.send(topic(LIAR, "lp"), profile(str(command["jti"]), START_S, END_S, rows, clock.now()))
    await head_end.settle()
    assert database.rows("SELECT import_wh, quality, origin, revision FROM stored_reading") == [
        (rows[END_S]["1.29.0"], "actual", "recovered", 0)
    ]
    assert reasons(database) == [(serial(LIAR), "energy_beyond_rating", 0)]


async def test_a_meter_that_has_nothing_better_is_not_asked_again_and_the_interval_stays_missing(
    make: Callable[[], HeadEnd], liar: Publisher, clock: ManualClock, shipment: Shipment, database: Reader
) -> None:
    head_end = make()
    await head_end.start()
    clock.set(END_S + LENGTH_S + 120)
    await live(head_end, clock, clock.now())
    await until(lambda: bool(liar.received), "the request")
    command = opened(liar.received[0][1], shipment.public_key)
    assert command["params"] == {"from": START_S, "to": END_S + LENGTH_S}
    rows = {END_S: values(LIAR, END_S), END_S + LENGTH_S: values(LIAR, END_S + LENGTH_S) | {"1.29.0": MWH_40}}
    liar.send(topic(LIAR, "lp"), profile(str(command["jti"]), START_S, END_S + LENGTH_S, rows, clock.now()))
    await head_end.settle()
    assert reasons(database) == [(serial(LIAR), "energy_beyond_rating", 1)]
    assert database.rows("SELECT extract(epoch FROM interval_start)::int8, reason FROM interval_gap") == [
        (END_S, "implausible")
    ]
    missing = (
        "SELECT extract(epoch FROM min(interval_start))::int8 FROM missing_reading('2026-01-15') WHERE serial = %s"
    )
    assert database.value(missing, serial(LIAR)) == END_S
    await head_end.stop()

    again = make()
    await again.start()
    await live(again, clock, END_S + LENGTH_S + 600)
    assert len(liar.received) == 1
    liar.send(topic(LIAR, "ds"), reading(LIAR, END_S + LENGTH_S))
    await again.settle()
    assert database.value("SELECT count(*) FROM stored_reading WHERE quality = 'actual'") == 2
    assert database.value(missing, serial(LIAR)) == END_S + LENGTH_S
    await again.stop()


async def test_what_a_collector_brings_is_judged_alike_and_costs_the_rest_of_its_block_nothing(
    head_end: HeadEnd, mosquitto: Mosquitto, clock: ManualClock, database: Reader
) -> None:
    clock.set(START_S + 3600)
    edge = EdgeNode(mosquitto.port, EDGE, host="utility")
    edge.birth(serial(BEHIND))
    ends_s = range(END_S, START_S + 3600 + 1, LENGTH_S)
    lie = [
        edge.m(serial(BEHIND), "Interval/1.29.0", MWH_40, END_S) if metric.alias == alias else metric
        for alias in [edge.alias(serial(BEHIND), "Interval/1.29.0")]
        for metric in edge.interval(serial(BEHIND), END_S)
    ]
    rest = [metric for end_s in ends_s[1:] for metric in edge.interval(serial(BEHIND), end_s)]
    edge.data(serial(BEHIND), [*lie, *rest])
    # Of another length than it is set to.
    edge.data(
        serial(BEHIND),
        [edge.m(serial(BEHIND), "Interval/Length", 60, END_S), *edge.interval(serial(BEHIND), START_S + 60)],
    )
    assert (await head_end.settle()).connected
    edge.close()
    assert database.value("SELECT count(*) FROM stored_reading") == len(ends_s) - 1
    assert sorted(str(row[1]) for row in reasons(database)) == ["energy_beyond_rating", "wrong_length"]


@pytest.mark.parametrize("case", ["no command", "another's command", "beyond the range", "another length"])
async def test_a_load_profile_that_nobody_asked_for_is_not_believed(
    head_end: HeadEnd, liar: Publisher, good: Publisher, clock: ManualClock, shipment: Shipment, database: Reader,
    case: str,
) -> None:  # fmt: skip
    await live(head_end, clock, END_S + 120)
    await until(lambda: bool(liar.received) and bool(good.received), "the requests")
    own, others = (str(opened(meter.received[0][1], shipment.public_key)["jti"]) for meter in (liar, good))
    row = {END_S: values(LIAR, END_S)}
    command, from_s = own, START_S
    if case == "no command":
        command = "00000000-0000-4000-8000-000000000000"
    elif case == "another's command":
        command = others
    elif case == "beyond the range":
        from_s -= LENGTH_S
    answer = profile(command, from_s, END_S, row, clock.now())
    if case == "another length":
        answer = answer.replace(b'"interval_s": 900', b'"interval_s": 300')
    liar.send(topic(LIAR, "lp"), answer)
    good.send(topic(GOOD, "lp"), profile(others, START_S, END_S, {END_S: values(GOOD, END_S)}, clock.now()))
    assert (await head_end.settle()).connected
    assert database.rows("SELECT serial, origin FROM stored_reading") == [(serial(GOOD), "recovered")]
    assert database.rows("SELECT reason, payload FROM dead_letter") == [("unsolicited_answer", answer)]
    assert database.value("SELECT count(*) FROM command WHERE status = 'completed'") == 1


async def test_an_answer_that_is_repeated_or_late_is_believed(
    make: Callable[[], HeadEnd], liar: Publisher, good: Publisher, clock: ManualClock, shipment: Shipment,
    database: Reader,
) -> None:  # fmt: skip
    first = make()
    await first.start()
    await live(first, clock, END_S + 120)
    await until(lambda: bool(liar.received) and bool(good.received), "the requests")
    commands = {
        meter: str(opened(link.received[0][1], shipment.public_key)["jti"])
        for meter, link in ((LIAR, liar), (GOOD, good))
    }

    def answer(meter: int, publisher: Publisher) -> None:
        rows = {END_S: values(meter, END_S)}
        publisher.send(topic(meter, "lp"), profile(commands[meter], START_S, END_S, rows, END_S + 121))

    for _ in range(2):
        answer(LIAR, liar)
    await first.settle()
    await first.stop()
    answer(LIAR, liar)
    # Long over when it comes: the broker held it while we were away.
    clock.set(END_S + 86_400)
    answer(GOOD, good)
    second = make()
    await second.start()
    await second.advance()
    await second.settle()
    await second.stop()
    assert database.value("SELECT count(*) FROM dead_letter") == 0
    assert database.value("SELECT count(*) FROM stored_reading WHERE origin = 'recovered'") == 2
