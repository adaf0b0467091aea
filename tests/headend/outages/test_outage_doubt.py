"""What one meter may say of its supply, and what that costs the detector."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.metrics import Metrics
from headend.outages import doubt
from headend.outages.doubt import HORIZON_S, MOST_A_DAY, MOST_IN_ALL, Beliefs
from headend.outages.watch import OutageWatch
from headend.registry import read_shipment, register
from headend.store import writer
from headend.store.database import Connection, Database
from headend.store.migrate import connection_info, migrate
from tests.headend.fleet import START_S, Shipment
from tests.headend.networks import street
from tests.headend.services import Postgres

pytest_plugins = ["tests.headend.fixtures"]

NOW_S = float(START_S)
METER, OTHER = 1, 2


def beliefs() -> Beliefs:
    return Beliefs(together_s=3.0, ahead_s=300.0)


@pytest.mark.parametrize(
    ("down_s", "up_s", "why"),
    [
        (NOW_S - 100, NOW_S - 50, None),
        (NOW_S + 299, None, None),
        (NOW_S + 301, None, doubt.AHEAD_OF_CLOCK),
        (NOW_S - 10, NOW_S + 3600, doubt.AHEAD_OF_CLOCK),
        (NOW_S - HORIZON_S - 1, NOW_S, doubt.TOO_OLD),
        # Beside what it said already: 5,000 to 4,000 s ago.
        (NOW_S - 5000, NOW_S - 4000, None),
        (NOW_S - 5000, NOW_S - 3000, doubt.CONTRADICTS),
        (NOW_S - 5002, NOW_S - 4001, None),
        (NOW_S - 4500, None, doubt.OVERLAPS),
        (NOW_S - 4500, NOW_S - 3500, doubt.OVERLAPS),
        (NOW_S - 6000, NOW_S - 3500, doubt.OVERLAPS),
        (NOW_S - 4000, NOW_S - 3500, None),
        (NOW_S - 6000, NOW_S - 5000, None),
        (NOW_S - 6000, None, None),
        # And beside a last gasp of 9,000 s ago, without an end.
        (NOW_S - 9000, NOW_S - 8000, None),
        (NOW_S - 9500, NOW_S - 8500, doubt.OVERLAPS),
        (NOW_S - 8500, None, None),
    ],
)
def test_what_cannot_be_true_is_not_believed(down_s: float, up_s: float | None, why: str | None) -> None:
    known = beliefs()
    assert known.doubt(METER, NOW_S - 5000, NOW_S - 4000, NOW_S) is None
    assert known.doubt(METER, NOW_S - 9000, None, NOW_S) is None
    assert known.doubt(METER, down_s, up_s, NOW_S) == why
    assert known.doubt(OTHER, NOW_S - 4500, NOW_S - 4200, NOW_S) is None, "another meter speaks for itself"


def test_what_is_said_again_is_nothing_new() -> None:
    known = beliefs()
    for _ in range(500):
        assert known.doubt(METER, NOW_S - 100, None, NOW_S) is None
        assert known.doubt(METER, NOW_S - 100, NOW_S - 50, NOW_S) is None


said = st.lists(
    st.tuples(st.integers(-HORIZON_S - 1000, 1000), st.one_of(st.none(), st.integers(0, 100_000))), max_size=300
)


@given(said)
def test_whatever_it_says_what_is_believed_is_bounded_and_consistent(losses: list[tuple[int, int | None]]) -> None:
    known = beliefs()
    believed: dict[float, float | None] = {}
    for offset_s, lasted_s in losses:
        down_s = NOW_S + offset_s
        up_s = None if lasted_s is None else down_s + lasted_s
        if known.doubt(METER, down_s, up_s, NOW_S) is None:
            believed[down_s] = up_s if believed.get(down_s) is None else believed[down_s]
    assert len(believed) <= MOST_IN_ALL
    for down_s, up_s in believed.items():
        later = [other_s for other_s in believed if other_s > down_s + 3.0]
        assert up_s is None or all(up_s <= other_s + 3.0 for other_s in later), "it lost no supply that it did not have"


def test_three_thousand_inventions_are_believed_as_far_as_the_worst_storm() -> None:
    known = beliefs()
    for begins_s in (NOW_S - 30 * 86_400, NOW_S - 86_400):
        found = [known.doubt(METER, begins_s + 20 * n, begins_s + 20 * n + 10, NOW_S) for n in range(1500)]
        assert found.count(None) == MOST_A_DAY
        assert found.count(doubt.TOO_MANY) == 1500 - MOST_A_DAY
    spread = [known.doubt(METER, NOW_S - n * 3600 - 1800, NOW_S - n * 3600 - 1700, NOW_S) for n in range(900)]
    assert spread.count(None) == MOST_IN_ALL - 2 * MOST_A_DAY
    # When they are beyond the horizon, it is believed again.
    later_s = NOW_S + HORIZON_S
    assert known.doubt(METER, later_s, None, later_s) is None


def test_an_earlier_life_is_taken_over_within_the_same_bounds() -> None:
    known = beliefs()
    known.restore((METER, NOW_S - 60 * n, NOW_S - 60 * n + 10) for n in range(1, 3000))
    assert known.doubt(METER, NOW_S - 30, None, NOW_S) == doubt.TOO_MANY
    assert known.doubt(OTHER, NOW_S - 30, None, NOW_S) is None


class Counting(Database):
    """Counts what the server reads for each unit of work."""

    rows_read = 0
    statements = 0

    async def run(self, work: Callable[[Connection], Awaitable[Any]]) -> Any:
        async def counted(connection: Connection) -> Any:
            result = await work(connection)
            cursor = await connection.execute(
                "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int8 FROM pg_stat_xact_user_tables"
                " WHERE relname IN ('interruption', 'outage', 'outage_usage_point')"
            )
            row = await cursor.fetchone()
            assert row is not None
            self.rows_read = int(str(row[0]))
            return result

        return await super().run(counted)


METERS = 200
HISTORY_S = 30 * 86_400


@pytest.fixture
async def watch(postgres: Postgres, schema: str, tmp_path: Path) -> AsyncIterator[tuple[OutageWatch, Counting]]:
    shipment = Shipment(tmp_path / "shipped", count=METERS)
    settings = shipment.settings(postgres.url(), schema, 1)
    await asyncio.to_thread(migrate, postgres.url(), schema)
    database = Counting(settings, Metrics(), prepare=writer.prepare)
    await database.start()
    devices = await database.run(
        lambda connection: register(connection, read_shipment(settings.shipment), now_s=NOW_S - HISTORY_S)
    )
    yield OutageWatch(settings, street().model, devices, database, Metrics()), database
    await database.stop()


def history(info: str, outages: int) -> None:
    """So many outages of one customer within 30 days, long over, of all meters in turn."""
    with psycopg.connect(info, autocommit=True) as connection:
        connection.execute("TRUNCATE interruption, outage, outage_usage_point")
        connection.execute(
            "INSERT INTO interruption (meter_id, down_at, up_at, gasp_received_at, restore_received_at, pending)"
            " SELECT 1 + n %% %(meters)s, b, b + interval '10 min', b, b + interval '11 min', false"
            " FROM generate_series(0, %(count)s - 1) AS n,"
            " LATERAL (SELECT to_timestamp(%(from)s) + n * interval '1 s' * (%(span)s / %(count)s)) AS t (b)",
            {"meters": METERS, "count": outages, "from": NOW_S - HISTORY_S, "span": HISTORY_S - 2 * 86_400},
        )
        connection.execute(
            "INSERT INTO outage (reported_from, began_at, ended_at, equivalent_devices, detected_at, revised_at)"
            " SELECT down_at, down_at, up_at, '{}', down_at, down_at FROM interruption"
        )
        connection.execute(
            "INSERT INTO outage_usage_point (outage_id, meter_id, dark_from, dark_to)"
            " SELECT o.id, i.meter_id, i.down_at, i.up_at FROM outage o JOIN interruption i ON i.down_at = o.began_at"
        )
        connection.execute("VACUUM ANALYZE interruption, outage, outage_usage_point")


async def test_a_look_costs_the_same_however_long_the_history(
    watch: tuple[OutageWatch, Counting], postgres: Postgres, schema: str
) -> None:
    detector, database = watch
    info = connection_info(postgres.url(), schema)
    read = {}
    for outages in (400, 20_000):
        await asyncio.to_thread(history, info, outages)
        async with await psycopg.AsyncConnection.connect(info, autocommit=True) as connection:
            await connection.execute(
                "INSERT INTO interruption (meter_id, down_at, gasp_received_at) SELECT m, to_timestamp(%s),"
                " to_timestamp(%s) FROM generate_series(5, 9) AS m",
                [NOW_S, NOW_S + 40],
            )
        await detector.look(NOW_S + 60)
        await detector.look(NOW_S + 400)
        read[outages] = database.rows_read
        found = await psycopg.AsyncConnection.connect(info)
        cursor = await found.execute("SELECT count(*) FROM outage WHERE ended_at IS NULL AND withdrawn_at IS NULL")
        assert await cursor.fetchone() == (1,)
        await found.close()
    assert read[20_000] < 2_000, "of 20,000 interruptions"
    # What each of the five meters said within the horizon is bounded by its own budget (here a hundred each).
    assert read[20_000] < 10 * max(read[400], 1)
