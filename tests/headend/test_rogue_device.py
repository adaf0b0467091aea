"""What one device may send, and what it costs the others: nothing. Over a real broker into a real database."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headend.clock import ManualClock
from headend.reads import budgets
from headend.reads.budgets import Budgets
from headend.service import HeadEnd
from headend.store.writer import MOST_REVISIONS
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, event, reading, serial, state
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, until

pytest_plugins = ["tests.headend.fixtures"]

ROGUE, GOOD = 0, 1
END_S = START_S + LENGTH_S


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 20 * LENGTH_S)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Each meter by its own name and password, and with its own topics alone."""
    broker = Mosquitto(tmp_path / "mosquitto", meters=[serial(number) for number in range(3)])
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def make(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> Callable[[], HeadEnd]:
    """Makes the head-end of the next life."""
    return lambda: HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), clock)


@pytest.fixture
def rogue(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, serial(ROGUE), username=serial(ROGUE))
    yield publisher
    publisher.close()


@pytest.fixture
def good(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, serial(GOOD), username=serial(GOOD))
    yield publisher
    publisher.close()


@pytest.fixture
def third(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, serial(2), username=serial(2))
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


async def test_nobody_speaks_for_another(
    head_end: HeadEnd, rogue: Publisher, good: Publisher, database: Reader
) -> None:
    gone = threading.Event()
    rogue.client.on_disconnect = lambda *_: gone.set()
    rogue.client.publish(topic(GOOD, "ds"), reading(GOOD, END_S, **{"1.29.0": 1}), qos=0)
    await until(gone.is_set, "the broker has read it, and thrown the rogue out")
    good.send(topic(GOOD, "ds"), reading(GOOD, END_S, **{"1.29.0": 2}))
    assert (await head_end.settle()).received == 1
    assert stored(database, GOOD) == [(2, 0)]


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
    make: Callable[[], HeadEnd], rogue: Publisher, good: Publisher, third: Publisher, database: Reader,
    admin: psycopg.Connection, state: str,
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
        third.send(topic(2, "ds"), reading(2, END_S, **{"1.29.0": value}))
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
    assert b"666" in bytes(payload)

    last = make()
    await last.start()
    assert (await last.settle()).received == 0, "all was acknowledged"
    await last.stop()


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


def junk(number: int) -> tuple[str, bytes]:
    return topic(ROGUE, "ds"), b"junk %d" % number


def reboot(number: int) -> tuple[str, bytes]:
    return topic(ROGUE, "ev"), event("reboot", START_S, number)


def other(number: int) -> tuple[str, bytes]:
    return topic(ROGUE, "ds"), reading(ROGUE, END_S, **{f"14.7.{n}": number for n in range(60)})


def flap(number: int) -> tuple[str, bytes]:
    return topic(ROGUE, "st"), state("online" if number % 2 else "offline")


def nonsense(number: int) -> tuple[str, bytes]:
    return topic(ROGUE, "ds"), reading(ROGUE, END_S, **{"1.29.0": 10**9 + number})


def nowhere(number: int) -> tuple[str, bytes]:
    """What only a broker without rights lets a device do."""
    return f"dt/{GROUP}/UNKNOWN{number}/ds/{number}", b"x"


FLOODS = [
    (junk, budgets.DEAD_LETTERS, "dead_letter", "not_json", 1),
    (reboot, budgets.EVENTS, "end_device_event", "too_many_events", 1),
    (other, budgets.OTHER_READINGS, "other_reading", "too_many_other_readings", 60),
    (nonsense, budgets.IMPLAUSIBLE, "implausible_reading", "too_many_implausible", 1),
    (nowhere, budgets.NOBODYS_LETTERS, "dead_letter", "unknown_device", 1),
]


@pytest.mark.parametrize(("message", "kind", "relation", "reason", "rows"), FLOODS)
async def test_what_a_device_sends_beyond_its_budget_is_counted(
    head_end: HeadEnd, mosquitto: Mosquitto, rogue: Publisher, good: Publisher, database: Reader, clock: ManualClock,
    message: Callable[[int], tuple[str, bytes]], kind: budgets.Kind, relation: str, reason: str, rows: int,
) -> None:  # fmt: skip
    if message is nowhere:
        rogue.close()
        rogue = Publisher(mosquitto.port, "anybody", username="headend")
    within = kind.at_once // rows
    beyond = 50
    for number in range(within + beyond):
        rogue.publish(*message(number))
    await until(rogue.is_idle, "the broker has it all")
    good.send(topic(GOOD, "ds"), reading(GOOD, END_S, **{"14.7.0": 50.0}))
    good.send(topic(GOOD, "ev"), event("reboot", START_S, 1))
    good.send(topic(GOOD, "ds"), b"what is this?")
    good.send(topic(GOOD, "ds"), reading(GOOD, END_S, **{"1.29.0": 10**9}))
    assert (await head_end.settle()).connected
    summaries = "SELECT copies FROM dead_letter WHERE reason = %s AND topic LIKE 'over_budget/%%'"
    assert database.rows(summaries, reason) == [(beyond * rows,)]
    own = {"dead_letter": 1 if reason == "not_json" else 0}.get(relation, 1)
    kept = f"SELECT count(*) FROM {relation}" + (f" WHERE reason = '{reason}'" if relation == "dead_letter" else "")
    assert database.value(kept) == within * rows + own + (1 if relation == "dead_letter" else 0)
    sample = head_end.metrics.registry.get_sample_value
    assert sample("amilab_headend_dropped_rows_total", {"reason": reason}) == beyond * rows

    for relation_of_the_good in ("other_reading", "end_device_event", "implausible_reading", "interval_reading"):
        ours = f"SELECT count(*) FROM {relation_of_the_good} JOIN end_device d ON d.id = meter_id WHERE serial = %s"
        assert database.value(ours, serial(GOOD)) == 1, relation_of_the_good
    assert database.value("SELECT count(*) FROM dead_letter WHERE topic = %s", topic(GOOD, "ds")) == 1

    # An hour later there is room for an hour's worth, and what is beyond that is this hour's.
    clock.set(clock.now() + 3600)
    more = kind.per_hour // rows + beyond
    for number in range(within + beyond, within + beyond + more):
        rogue.publish(*message(number))
    await until(rogue.is_idle, "the broker has it all")
    await head_end.settle()
    told = database.rows(summaries + " ORDER BY received_at", reason)
    assert len(told) == 2
    before = database.value(kept)
    assert isinstance(before, int)
    assert sum(int(str(copies)) for (copies,) in told) + before == (
        (within + beyond + more) * rows + own + (2 if relation == "dead_letter" else 0)
    )
    rogue.close()


async def test_a_connection_that_flaps_fills_nothing(
    head_end: HeadEnd, rogue: Publisher, good: Publisher, database: Reader, clock: ManualClock
) -> None:
    changes = budgets.COMMUNICATIONS.at_once + 40
    for number in range(changes):
        # Each at an instant of its own: of several at one instant the last stands.
        clock.set(clock.now() + 0.001)
        rogue.send(*flap(number))
        await head_end.settle()
    good.send(topic(GOOD, "st"), state("online"))
    await head_end.settle()
    assert database.value("SELECT count(*) FROM device_communication") == budgets.COMMUNICATIONS.at_once + 1
    assert database.rows("SELECT reason, copies FROM dead_letter") == [("too_many_communications", 40)]
    assert database.rows("SELECT online FROM device_state ORDER BY meter_id") == [(changes % 2 == 0,), (True,)]


@given(
    spends=st.lists(st.tuples(st.floats(0, 4000), st.integers(1, 300)), max_size=200),
    kind=st.builds(budgets.Kind, st.just("k"), st.integers(0, 500), st.integers(0, 500), st.none()),
)
@example(spends=[(0.0, 1), (3600.0, 50)], kind=budgets.Kind("k", 5, 100, None))
def test_no_more_is_kept_than_the_budget(spends: list[tuple[float, int]], kind: budgets.Kind) -> None:
    ledger, now_s = Budgets(), float(START_S)
    kept: list[tuple[float, int]] = []
    for pause_s, rows in spends:
        now_s += pause_s
        if ledger.spend("meter", kind, now_s, rows=rows):
            kept.append((now_s, rows))
        # Since any instant: who was silent for long has saved nothing up.
        since = 0
        for at_s, taken in reversed(kept):
            since += taken
            assert since <= kind.at_once + kind.per_hour * (now_s - at_s) / 3600 + 1e-6
        assert ledger.spend("another", budgets.EVENTS, now_s, rows=0)
