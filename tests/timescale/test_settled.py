"""What another process stored is found by its keys, wherever it lies."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import psycopg

from headend.reads.schedule import Cadence, Schedule
from headend.reads.settled import settle_what_is_stored
from tests.timescale.schema import LENGTH_S, Schema, Value

T = TypeVar("T")
START_S = 1_767_225_600  # 2026-01-01 00:00 UTC


class Connected:
    """A database as far as it is needed: runs work on a connection."""

    def __init__(self, info: str) -> None:
        self._info = info

    async def run(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        async with await psycopg.AsyncConnection.connect(self._info, autocommit=True) as connection:
            return await work(connection)


def test_intervals_that_others_stored_are_settled_and_the_rest_stays_missing(schema: Schema) -> None:
    slots = [START_S + slot * LENGTH_S for slot in range(200)]
    schema.write(*(Value(2, at, 1) for at in slots if at not in (slots[7], slots[120])))
    schema.compress()
    schedule = Schedule([Cadence(LENGTH_S, LENGTH_S, 0)], [START_S])
    device = SimpleNamespace(id=2, index=0, driver=SimpleNamespace(interval_length_s=LENGTH_S))
    now_s = slots[-1] + LENGTH_S
    schema.begin()
    database: Any = Connected(schema.info)
    devices: Any = [device]
    asyncio.run(settle_what_is_stored(database, schedule, devices, now_s))
    missing = schedule.unsettled(0, START_S, slots[96])
    assert missing == [slots[7]]
