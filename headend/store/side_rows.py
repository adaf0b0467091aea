"""Everything of a batch but its interval readings: rows that are few, in one statement for each relation."""

import math
import uuid

from headend.drivers.records import ON_DEMAND_CHANNELS, PHASES
from headend.store import commands
from headend.store.batch import Batch
from headend.store.database import Connection, columns_of
from headend.store.register_records import OnDemandRow

# ruff: noqa: S608 - the statements are put together from the constants of this module alone

# A batch may hold gasp and restore of one loss, and either more than once. What says nothing new is not pending.
_LATEST = {
    "up_at": "greatest(i.up_at, excluded.up_at)",
    "gasp_received_at": "least(i.gasp_received_at, excluded.gasp_received_at)",
    "restore_received_at": "least(i.restore_received_at, excluded.restore_received_at)",
}
_INSERT_INTERRUPTIONS = (
    f"INSERT INTO interruption AS i (meter_id, down_at, {', '.join(_LATEST)})"
    " SELECT m, to_timestamp(d), to_timestamp(max(u)), to_timestamp(min(g)), to_timestamp(min(r))"
    " FROM unnest(%s::int[], %s::float8[], %s::float8[], %s::float8[], %s::float8[]) AS e (m, d, u, g, r)"
    " GROUP BY m, d ON CONFLICT (meter_id, down_at) DO UPDATE SET pending = true, "
    + ", ".join(f"{name} = {latest}" for name, latest in _LATEST.items())
    + f" WHERE ({', '.join(f'i.{name}' for name in _LATEST)}) IS DISTINCT FROM ({', '.join(_LATEST.values())})"
)

_ON_DEMAND_COLUMNS = {
    "command_id": "uuid",
    "meter_id": "int",
    "read_at": "timestamptz",
    "implausible": "text",
    "received_at": "timestamptz",
    "import_register_wh": "int8",
    "export_register_wh": "int8",
    "active_power_w": "int8",
    **{f"voltage_l{phase}_v": "float8" for phase in PHASES},
    **{
        name: "float8" if name.startswith(("current", "power_factor")) else "int8"
        for name in ON_DEMAND_CHANNELS
        if name != "max_demand_at_s"
    },
    "max_demand_at": "timestamptz",
}
_ON_DEMAND = (
    f"INSERT INTO on_demand_reading (committed_at, {', '.join(_ON_DEMAND_COLUMNS)}) SELECT to_timestamp(%s), "
    + ", ".join(
        f"to_timestamp({name})" if type_ == "timestamptz" else name for name, type_ in _ON_DEMAND_COLUMNS.items()
    )
    + f" FROM unnest({', '.join(f'%s::{type_}[]' for type_ in _ON_DEMAND_COLUMNS.values())})".replace(
        "timestamptz", "float8"
    )
    + f" AS o ({', '.join(_ON_DEMAND_COLUMNS)}) ON CONFLICT DO NOTHING"
)

_LETTERS = uuid.UUID("2f1a4ce4-6b7f-4a0e-9d53-0f6f0f3d8a11")
"""Namespace of the ids of summaries: so an hour's is found again."""
_SAID = uuid.UUID("6c9f6e1b-98b5-4a0b-8a5a-0a1d6d0f5a77")


async def write(connection: Connection, batch: Batch, *, committed_s: float) -> None:
    """Write them inside the caller's transaction; `committed_s`: the head-end's clock. Idempotent, but for counts."""
    await _write_what_meters_say(connection, batch, committed_s)
    await _write_who_is_there(connection, batch)
    await _write_dead_letters(connection, batch)
    await _write_what_requests_came_to(connection, batch, committed_s)
    await _write_traffic(connection, batch)


async def _write_what_meters_say(connection: Connection, batch: Batch, committed_s: float) -> None:
    if batch.implausible:
        await connection.execute(
            "INSERT INTO implausible_reading (id, meter_id, interval_start, interval_length_s, reason, channels,"
            " origin, received_at, committed_at)"
            " SELECT i, m, to_timestamp(s), l, w, c::jsonb, o, to_timestamp(r), to_timestamp(%s)"
            " FROM unnest(%s::uuid[], %s::int[], %s::float8[], %s::int[], %s::text[], %s::text[], %s::int2[],"
            " %s::float8[]) AS i (i, m, s, l, w, c, o, r) ON CONFLICT DO NOTHING",
            [committed_s, *columns_of([(uuid.uuid5(_SAID, f"{row[:5]}"), *row) for row in batch.implausible])],
        )
    if batch.others:
        await connection.execute(
            "INSERT INTO other_reading (meter_id, interval_start, interval_length_s, reading_type, value, received_at)"
            " SELECT m, to_timestamp(s), l, t, v, to_timestamp(r)"
            " FROM unnest(%s::int[], %s::float8[], %s::int[], %s::text[], %s::float8[], %s::float8[])"
            " AS o (m, s, l, t, v, r) ON CONFLICT DO NOTHING",
            columns_of(batch.others),
        )
    if batch.events:
        await connection.execute(
            "INSERT INTO end_device_event (meter_id, sequence, code, device_time, detail, received_at, committed_at)"
            " SELECT m, n, c, to_timestamp(t), d::jsonb, to_timestamp(r), to_timestamp(%s)"
            " FROM unnest(%s::int[], %s::int8[], %s::text[], %s::float8[], %s::text[], %s::float8[])"
            " AS e (m, n, c, t, d, r) ON CONFLICT DO NOTHING",
            [committed_s, *columns_of(batch.events)],
        )
    if batch.interruptions:
        await connection.execute(_INSERT_INTERRUPTIONS, columns_of(batch.interruptions))
    if batch.doubtful:
        await connection.execute(
            "INSERT INTO doubtful_interruption (meter_id, down_at, up_at, reason, received_at)"
            " SELECT m, to_timestamp(d), to_timestamp(u), w, to_timestamp(r)"
            " FROM unnest(%s::int[], %s::float8[], %s::float8[], %s::text[], %s::float8[]) AS i (m, d, u, w, r)"
            " ON CONFLICT DO NOTHING",
            columns_of(batch.doubtful),
        )


async def _write_who_is_there(connection: Connection, batch: Batch) -> None:
    if batch.states:
        await connection.execute(
            "INSERT INTO device_state (meter_id, online, boot, device_time, received_at)"
            " SELECT m, o, b, to_timestamp(t), to_timestamp(r)"
            " FROM unnest(%s::int[], %s::bool[], %s::int[], %s::float8[], %s::float8[]) AS s (m, o, b, t, r)"
            " ON CONFLICT (meter_id) DO UPDATE SET online = excluded.online,"
            " boot = coalesce(excluded.boot, device_state.boot),"
            " device_time = coalesce(excluded.device_time, device_state.device_time),"
            " received_at = excluded.received_at",
            columns_of(list(batch.states.values())),
        )
    if batch.communications:
        await connection.execute(
            "INSERT INTO device_communication (meter_id, at, online) SELECT m, to_timestamp(a), o"
            " FROM unnest(%s::int[], %s::float8[], %s::bool[]) AS c (m, a, o)"
            " ON CONFLICT (meter_id, at) DO UPDATE SET online = excluded.online",
            columns_of([(*key, online) for key, online in batch.communications.items()]),
        )
    if batch.collectors:
        await connection.execute(
            "INSERT INTO collector AS k (device_group, edge_node, online, bdseq, meters, born_at, changed_at)"
            " SELECT g, e, o, b, m, to_timestamp(t), to_timestamp(c)"
            " FROM unnest(%s::text[], %s::text[], %s::bool[], %s::int8[], %s::int[], %s::float8[], %s::float8[])"
            " AS c (g, e, o, b, m, t, c) ON CONFLICT (device_group, edge_node) DO UPDATE SET online = excluded.online,"
            " bdseq = coalesce(excluded.bdseq, k.bdseq), meters = coalesce(excluded.meters, k.meters),"
            " born_at = coalesce(excluded.born_at, k.born_at), changed_at = excluded.changed_at",
            columns_of([(*key, *row) for key, row in batch.collectors.items()]),
        )
    if batch.collector_supplies:
        # Said in the session whose birth is there, in this batch or before.
        await connection.execute(
            "UPDATE collector AS k SET mains = m, mains_since = to_timestamp(s)"
            " FROM unnest(%s::text[], %s::text[], %s::bool[], %s::float8[]) AS c (g, e, m, s)"
            " WHERE k.device_group = g AND k.edge_node = e AND k.mains IS DISTINCT FROM m",
            columns_of([(*key, *row) for key, row in batch.collector_supplies.items()]),
        )


async def _write_dead_letters(connection: Connection, batch: Batch) -> None:
    if batch.dead_letters:
        await connection.execute(
            "INSERT INTO dead_letter (id, received_at, topic, payload, reason, detail)"
            " SELECT i, to_timestamp(r), t, p, w, d"
            " FROM unnest(%s::uuid[], %s::float8[], %s::text[], %s::bytea[], %s::text[], %s::text[])"
            " AS l (i, r, t, p, w, d) ON CONFLICT DO NOTHING",
            columns_of(batch.dead_letters),
        )
    if batch.dropped:
        await connection.execute(
            "INSERT INTO dead_letter AS l (id, received_at, topic, payload, reason, detail, copies)"
            " SELECT i, to_timestamp(r), t, p, w, d, c"
            " FROM unnest(%s::uuid[], %s::float8[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::int8[])"
            " AS l (i, r, t, p, w, d, c) ON CONFLICT (id) DO UPDATE SET copies = l.copies + excluded.copies",
            columns_of(
                [
                    (
                        uuid.uuid5(_LETTERS, f"{topic} {reason} {hour}"),
                        found.first_s,
                        topic,
                        found.payload,
                        reason,
                        found.detail,
                        found.copies,
                    )
                    for (topic, reason, hour), found in batch.dropped.items()
                ]
            ),
        )


async def _write_what_requests_came_to(connection: Connection, batch: Batch, committed_s: float) -> None:
    if batch.gaps:
        await connection.execute(
            "INSERT INTO interval_gap (meter_id, interval_start, interval_length_s, reason, command_id, noted_at)"
            " SELECT m, to_timestamp(s), l, w, c, to_timestamp(n)"
            " FROM unnest(%s::int[], %s::float8[], %s::int[], %s::text[], %s::text[], %s::float8[])"
            " AS g (m, s, l, w, c, n) ON CONFLICT DO NOTHING",
            columns_of(batch.gaps),
        )
    if batch.command_steps:
        await commands.write_steps(connection, batch.command_steps)
    if batch.on_demand:
        await connection.execute(_ON_DEMAND, [committed_s, *columns_of(list(map(_shown, batch.on_demand)))])


async def _write_traffic(connection: Connection, batch: Batch) -> None:
    """Last: other processes may wait for these rows. In one order, so that no two wait for each other."""
    if batch.traffic:
        await connection.execute(
            "INSERT INTO traffic AS t (hour, carrier, messages, bytes) SELECT to_timestamp(h * 3600), c, m, b"
            " FROM unnest(%s::text[], %s::int8[], %s::int8[], %s::int8[]) AS n (c, h, m, b)"
            " ON CONFLICT (hour, carrier) DO UPDATE SET messages = t.messages + excluded.messages,"
            " bytes = t.bytes + excluded.bytes",
            columns_of(sorted((*key, *counts) for key, counts in batch.traffic.items())),
        )


def _shown(row: OnDemandRow) -> tuple[object, ...]:
    """In the order of _ON_DEMAND."""
    shown = row.registers
    return (
        row.command_id, row.meter_id, row.at_s, row.doubt, row.received_s,
        shown.import_register_wh, shown.export_register_wh, shown.active_power_w,
        *(None if math.isnan(volts) else volts for volts in shown.voltages_v),
        *(shown.channels.get(name) for name in ON_DEMAND_CHANNELS),
    )  # fmt: skip
