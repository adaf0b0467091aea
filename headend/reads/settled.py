"""What others have stored: how a process that does not see every reading learns that it has come."""

from collections.abc import Sequence

from headend.reads.recovery import MAX_INTERVALS
from headend.reads.schedule import Schedule
from headend.registry import EndDevice
from headend.store.database import Database
from headend.store.intervals import IntervalKey, find_stored


async def settle_what_is_stored(
    database: Database, schedule: Schedule, devices: Sequence[EndDevice], now_s: float
) -> set[int]:
    """Look, by their keys, for the due intervals that the schedule misses, and settle those that are stored.

    Returns the meters that they are of. Of each meter no more than could be asked for at once; what is beyond has its
    turn at a later sweep.
    """
    wanted: list[IntervalKey] = []
    for index in schedule.behind(now_s):
        device = devices[index]
        missing = schedule.missing_range(index, now_s, max_intervals=MAX_INTERVALS)
        if missing is not None:
            length_s = device.driver.interval_length_s
            wanted += [IntervalKey(device.id, start_s, length_s) for start_s in schedule.unsettled(index, *missing)]
    if not wanted:
        return set()
    index_of = {device.id: device.index for device in devices}
    found: set[int] = set()
    for meter_id, start_s, length_s in await database.run(lambda connection: find_stored(connection, wanted)):
        meter = index_of[meter_id]
        schedule.settle(meter, start_s, length_s)
        found.add(meter)
    return found
