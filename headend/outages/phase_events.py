"""What meters told of lost phases, from the database."""

from headend.drivers import DecodeError
from headend.drivers.event_log import PHASES
from headend.drivers.iso8601 import time_s
from headend.store.database import Connection


async def phases_lost(
    connection: Connection, instant_s: float, until_s: float, index_of: dict[int, int], *, together_s: float
) -> dict[int, str]:
    """The meters that told by `until_s` of their clock of a phase lost at `instant_s`, and which one. They are lit.

    A transformer's meter is none of them: what it says is kept, and is no evidence of whom an outage darkens.
    """
    cursor = await connection.execute(
        "SELECT meter_id, detail ->> 'phase', detail ->> 'down_at' FROM end_device_event WHERE code = 'phase_loss'"
        " AND device_time BETWEEN to_timestamp(%s) AND to_timestamp(%s)"
        " AND meter_id NOT IN (SELECT meter_id FROM transformer_meter) ORDER BY device_time DESC",
        [instant_s - together_s, until_s],
    )
    lost: dict[int, str] = {}
    for meter_id, phase, down_at in await cursor.fetchall():
        assert isinstance(meter_id, int)
        try:
            apart_s = abs(time_s(down_at) - instant_s)
        except DecodeError:
            # Of a driver from elsewhere, which looked at no detail.
            continue
        if phase in PHASES and apart_s <= together_s:
            lost[index_of[meter_id]] = str(phase)
    return lost
