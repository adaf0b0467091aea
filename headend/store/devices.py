"""The registry of devices in the database, and who of them was last heard to be there."""

from collections.abc import Sequence
from typing import NamedTuple

from headend.store.database import Connection, columns_of


class DeviceRow(NamedTuple):
    """A row of end_device, without its key."""

    serial: str
    vendor_profile: str
    usage_point: str
    device_group: str
    address: str
    interval_length_s: int
    report_every_s: int
    max_current_a: float | None
    wire: str | None
    register_range_wh: int | None
    current_ratio: float
    voltage_ratio: float
    cell: str


class KnownDevice(NamedTuple):
    """A registered device; `registered_at_s`: epoch s."""

    id: int
    serial: str
    vendor_profile: str
    device_group: str
    registered_at_s: float
    usage_point: str
    address: str
    max_current_a: float | None
    wire: str
    interval_length_s: int | None
    report_every_s: int | None
    register_range_wh: int | None
    current_ratio: float
    voltage_ratio: float
    cell: str


async def lock(connection: Connection) -> None:
    """Until the transaction ends: several processes of a head-end start at once with the same shipment."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('amilab-register:' || current_schema, 0))")


async def upsert(connection: Connection, rows: Sequence[DeviceRow], *, now_s: float) -> None:
    """Register devices; `now_s` becomes registered_at of those not seen before."""
    await connection.execute(
        "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, address, interval_length_s,"
        " report_every_s, max_current_a, wire, register_range_wh, current_ratio, voltage_ratio, cell, registered_at)"
        " SELECT s, v, u, g, a, i, r, c, w, x, ct, vt, ce, to_timestamp(%s)"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::integer[], %s::integer[],"
        " %s::float8[], %s::text[], %s::bigint[], %s::float8[], %s::float8[], %s::text[])"
        " AS shipped (s, v, u, g, a, i, r, c, w, x, ct, vt, ce)"
        " ON CONFLICT (serial) DO UPDATE SET vendor_profile = excluded.vendor_profile,"
        " usage_point = excluded.usage_point, device_group = excluded.device_group, address = excluded.address,"
        " interval_length_s = excluded.interval_length_s, report_every_s = excluded.report_every_s,"
        " max_current_a = excluded.max_current_a, wire = excluded.wire,"
        " register_range_wh = excluded.register_range_wh, current_ratio = excluded.current_ratio,"
        " voltage_ratio = excluded.voltage_ratio, cell = excluded.cell",
        [now_s, *columns_of(rows)],
    )


async def take_addresses(connection: Connection, addresses: Sequence[str], owners: Sequence[str]) -> list[str]:
    """Leave these addresses to these owners alone; returns the serials of those who lose theirs."""
    cursor = await connection.execute(
        "UPDATE end_device SET address = '' WHERE address = ANY(%s) AND serial <> ALL(%s) RETURNING serial",
        [list(addresses), list(owners)],
    )
    return [str(serial) for (serial,) in await cursor.fetchall()]


async def registered(connection: Connection) -> list[KnownDevice]:
    """All of them, in the order of their ids."""
    cursor = await connection.execute(
        "SELECT id, serial, vendor_profile, device_group, extract(epoch FROM registered_at)::float8, usage_point,"
        " address, max_current_a, coalesce(wire, ''), interval_length_s, report_every_s, register_range_wh,"
        " current_ratio, voltage_ratio, cell"
        " FROM end_device ORDER BY id"
    )
    return [KnownDevice(*row) for row in await cursor.fetchall()]  # type: ignore[arg-type]  # by the schema


async def communication_states(connection: Connection) -> dict[int, bool]:
    """The last known state of communication, by meter id."""
    cursor = await connection.execute(
        "SELECT DISTINCT ON (meter_id) meter_id, online FROM device_communication ORDER BY meter_id, at DESC"
    )
    return {int(str(row[0])): bool(row[1]) for row in await cursor.fetchall()}


async def offline(connection: Connection) -> list[int]:
    """The ids of the meters whose last state is that they are not there."""
    cursor = await connection.execute("SELECT meter_id FROM device_state WHERE NOT online")
    return [int(str(row[0])) for row in await cursor.fetchall()]
