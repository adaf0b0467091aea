"""Which intervals are stored, or known never to come."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from headend.store.database import Connection


class IntervalKey(NamedTuple):
    """What says which interval a row is of; its start in epoch s."""

    meter_id: int
    start_s: int
    length_s: int


_SETTLED = (
    "SELECT meter_id, extract(epoch FROM interval_start)::int8, interval_length_s FROM interval_reading"
    " WHERE revision = 0 AND interval_start >= to_timestamp(%(from)s)"
    " UNION ALL SELECT meter_id, extract(epoch FROM interval_start)::int8, interval_length_s"
    " FROM interval_gap WHERE interval_start >= to_timestamp(%(from)s) ORDER BY 1, 2"
)
_FIND = (
    "SELECT r.meter_id, extract(epoch FROM r.interval_start)::int8, r.interval_length_s"
    " FROM unnest(%(meters)s::int[], %(starts)s::float8[], %(lengths)s::int[]) AS w (meter, start_s, length_s)"
    " JOIN interval_reading r ON r.meter_id = w.meter AND r.interval_start = to_timestamp(w.start_s)"
    " AND r.interval_length_s = w.length_s AND r.revision = 0"
    " AND r.interval_start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s)"
)
"""The bounds are constants to the planner, if it plans anew each time: it opens the chunks of these days alone."""


async def settled_since(connection: Connection, from_s: float) -> AsyncIterator[IntervalKey]:
    """The intervals that start at `from_s` or later and are stored, or cannot come; within a transaction."""
    async with connection.cursor(name="settled_intervals") as cursor:
        await cursor.execute(_SETTLED, {"from": from_s})
        cursor.itersize = 20_000
        async for row in cursor:
            yield IntervalKey(*row)  # type: ignore[arg-type]  # integers by the SQL above


async def find_stored(connection: Connection, wanted: Sequence[IntervalKey]) -> list[IntervalKey]:
    """Those of `wanted`, of which there are some, that are stored."""
    meters, starts_s, lengths_s = (list(column) for column in zip(*wanted, strict=True))
    bounds = {"first": min(starts_s), "last": max(starts_s)}
    keys = {"meters": meters, "starts": list(map(float, starts_s)), "lengths": lengths_s}
    cursor = await connection.execute(_FIND, {**keys, **bounds}, prepare=False)
    return [IntervalKey(*row) for row in await cursor.fetchall()]  # type: ignore[arg-type]  # integers by the SQL above
