"""What one device may send, and what it costs the others: nothing. Over a real broker into a real database."""

from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from headend.writer import MOST_REVISIONS
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, event, reading, serial
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, until

pytest_plugins = ["tests.headend.fixtures"]

ROGUE, GOOD = 0, 1
END_S = START_S + LENGTH_S


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 60)


@pytest.fixture
def make(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> Callable[[], HeadEnd]:
    """Makes the head-end of the next life."""
    return lambda: HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), clock)


@pytest.fixture
async def head_end(make: Callable[[], HeadEnd]) -> AsyncIterator[HeadEnd]:
    head_end = make()
    await head_end.start()
    yield head_end
    await head_end.stop()


@pytest.fixture
def rogue(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, serial(ROGUE))
    yield publisher
    publisher.close()


@pytest.fixture
def good(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, serial(GOOD))
    yield publisher
    publisher.close()


@pytest.fixture
def admin(postgres: Postgres, schema: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.url(), autocommit=True, options=f"-csearch_path={schema}") as connection:
        yield connection


def topic(meter: int, kind: str) -> str:
    return f"dt/{GROUP}/{serial(meter)}/{kind}"


def stored(database: Reader, meter: int) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT import_wh, revision FROM interval_reading r JOIN end_device d ON d.id = r.meter_id"
        " WHERE serial = %s ORDER BY interval_start, revision",
        serial(meter),
    )


async def test_endless_values_for_one_interval_are_counted_and_the_head_end_lives_on(
    head_end: HeadEnd, make: Callable[[], HeadEnd], rogue: Publisher, good: Publisher, database: Reader
) -> None:
    values = range(3000)
    for value in values:
        rogue.publish(topic(ROGUE, "ds"), reading(ROGUE, END_S, **{"1.29.0": value}))
    await until(rogue.is_idle, "the broker has it all")
    good.send(topic(GOOD, "ds"), reading(GOOD, END_S))
    assert (await head_end.settle()).connected
    assert stored(database, ROGUE) == [(value, value) for value in range(MOST_REVISIONS + 1)]
    assert len(stored(database, GOOD)) == 1
    assert database.rows("SELECT reason, sum(copies), count(*) FROM dead_letter GROUP BY reason") == [
        ("too_many_revisions", len(values) - MOST_REVISIONS - 1, 1)
    ]
    await head_end.stop()

    again = make()
    await again.start()
    rogue.send(topic(ROGUE, "ds"), reading(ROGUE, END_S, **{"1.29.0": 9999}))
    good.send(topic(GOOD, "ds"), reading(GOOD, END_S + LENGTH_S))
    assert (await again.settle()).connected
    assert len(stored(database, ROGUE)) == MOST_REVISIONS + 1
    assert len(stored(database, GOOD)) == 2
    assert database.value("SELECT sum(copies) FROM dead_letter") == len(values) - MOST_REVISIONS
    await again.stop()


REFUSALS = ["22003", "22021", "22P05", "23514", "54000"]
"""Out of range, not in the repertoire, untranslatable, a constraint, a limit of the server."""


def refuse(admin: psycopg.Connection, relation: str, condition: str, state: str) -> None:
    admin.execute(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN"
        f" RAISE EXCEPTION 'not this one' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$;"
        f" CREATE TRIGGER refuse BEFORE INSERT ON {relation} FOR EACH ROW EXECUTE FUNCTION refuse()"
    )


@pytest.mark.parametrize("state", REFUSALS)
async def test_a_reading_that_the_database_refuses_is_buried_alone(
    make: Callable[[], HeadEnd], rogue: Publisher, good: Publisher, database: Reader, admin: psycopg.Connection,
    state: str,
) -> None:  # fmt: skip
    first = make()
    await first.start()
    await first.stop()
    refuse(admin, "interval_reading", "NEW.import_wh = 666", state)
    for number in range(20):
        good.send(topic(GOOD, "ds"), reading(GOOD, END_S + number * LENGTH_S))
        if number == 7:
            rogue.send(topic(ROGUE, "ds"), reading(ROGUE, END_S, **{"1.29.0": 666}))
    # In the order of arrival also where the batch was taken apart.
    for value in (30, 20, 40, 10):
        good.send(topic(2, "ds"), reading(2, END_S, **{"1.29.0": value}))
    second = make()
    await second.start()
    settled = await second.settle()
    await second.stop()
    assert (settled.connected, settled.received) == (True, 25)
    assert len(stored(database, GOOD)) == 20
    assert stored(database, 2) == [(30, 0), (20, 1), (40, 2), (10, 3)]
    assert stored(database, ROGUE) == []
    [(where, reason, detail, payload)] = database.rows("SELECT topic, reason, detail, payload FROM dead_letter")
    assert (where, reason) == (f"refused/readings/{serial(ROGUE)}", "refused_by_database")
    assert str(detail).startswith(f"{state}: not this one")
    assert b"666" in bytes(payload)  # type: ignore[call-overload]  # bytea

    third = make()
    await third.start()
    assert (await third.settle()).received == 0, "all was acknowledged"
    await third.stop()


@pytest.mark.parametrize(
    ("relation", "condition", "message"),
    [
        ("end_device_event", "NEW.sequence = 666", (topic(ROGUE, "ev"), event("reboot", START_S, 666))),
        ("other_reading", "NEW.value = 666", (topic(ROGUE, "ds"), reading(ROGUE, END_S, **{"14.7.0": 666}))),
        ("dead_letter", "NEW.payload = 'x'", (topic(ROGUE, "ds"), b"x")),
    ],
)
async def test_a_row_of_any_other_relation_that_the_database_refuses_is_buried_alone(
    head_end: HeadEnd, rogue: Publisher, good: Publisher, database: Reader, admin: psycopg.Connection,
    relation: str, condition: str, message: tuple[str, bytes],
) -> None:  # fmt: skip
    refuse(admin, relation, condition, "22003")
    rogue.send(*message)
    good.send(topic(GOOD, "ds"), reading(GOOD, END_S))
    good.send(topic(GOOD, "ev"), event("reboot", START_S, 1))
    assert (await head_end.settle()).connected
    assert len(stored(database, GOOD)) == 1
    assert database.value("SELECT count(*) FROM end_device_event") == 1
    assert database.rows("SELECT reason FROM dead_letter") == [("refused_by_database",)]


async def test_a_full_disk_is_waited_for_and_nothing_is_buried(
    head_end: HeadEnd, rogue: Publisher, good: Publisher, database: Reader, admin: psycopg.Connection
) -> None:
    refuse(admin, "interval_reading", "true", "53100")
    rogue.send(topic(ROGUE, "ds"), reading(ROGUE, END_S))
    good.send(topic(GOOD, "ds"), reading(GOOD, END_S))
    retries = "amilab_headend_database_retries_total"
    await until(lambda: (head_end.metrics.registry.get_sample_value(retries) or 0) > 1, "two tries")
    admin.execute("DROP TRIGGER refuse ON interval_reading")
    assert (await head_end.settle()).connected
    assert database.value("SELECT count(*) FROM interval_reading") == 2
    assert database.value("SELECT count(*) FROM dead_letter") == 0
