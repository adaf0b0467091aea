"""What others have stored: how a process that does not see every reading learns that it has come."""

from collections.abc import Sequence

from headend.reads.recovery import MAX_INTERVALS
from headend.reads.schedule import Schedule
from headend.registry import EndDevice
from headend.store.database import Connection, Database

_FIND = (
    "SELECT r.meter_id, extract(epoch FROM r.interval_start)::int8, r.interval_length_s"
    " FROM unnest(%(meters)s::int[], %(starts)s::float8[], %(lengths)s::int[]) AS w (meter, start_s, length_s)"
    " JOIN interval_reading r ON r.meter_id = w.meter AND r.interval_start = to_timestamp(w.start_s)"
    " AND r.interval_length_s = w.length_s AND r.revision = 0"
    " AND r.interval_start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s)"
)
"""The bounds are constants to the planner, if it plans anew each time: it opens the chunks of these days alone."""


async def settle_what_is_stored(
    database: Database, schedule: Schedule, devices: Sequence[EndDevice], now_s: float
) -> set[int]:
    """Look, by their keys, for the due intervals that the schedule misses, and settle those that are stored.

    Returns the meters that they are of. Of each meter no more than could be asked for at once; what is beyond has its
    turn at a later sweep.
    """
    meters: list[int] = []
    starts_s: list[float] = []
    lengths_s: list[int] = []
    for index in schedule.behind(now_s):
        device = devices[index]
        missing = schedule.missing_range(index, now_s, max_intervals=MAX_INTERVALS)
        if missing is None:
            continue
        unsettled = schedule.unsettled(index, *missing)
        meters += [device.id] * len(unsettled)
        starts_s += unsettled
        lengths_s += [device.driver.interval_length_s] * len(unsettled)
    if not meters:
        return set()

    wanted = {
        "meters": meters,
        "starts": starts_s,
        "lengths": lengths_s,
        "first": min(starts_s),
        "last": max(starts_s),
    }

    async def find(connection: Connection) -> list[tuple[object, ...]]:
        return await (await connection.execute(_FIND, wanted, prepare=False)).fetchall()

    index_of = {device.id: device.index for device in devices}
    found: set[int] = set()
    for meter_id, start_s, length_s in await database.run(find):
        meter = index_of[meter_id]  # type: ignore[index]  # an integer by the SQL above
        schedule.settle(meter, start_s, length_s)  # type: ignore[arg-type]  # integers by the SQL above
        found.add(meter)
    return found
