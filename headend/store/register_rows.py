"""Registers at boundaries, and the intervals that are derived from them, in the database: of polls and of reports."""

from collections.abc import Sequence

from headend.drivers import Registers
from headend.store.database import Connection
from headend.store.register_records import AcceptedRow, BoundaryReading, DerivedRow, RegisterRow

ACTUAL, ESTIMATED = 0, 1


async def write_registers(connection: Connection, rows: Sequence[RegisterRow], *, committed_s: float) -> None:
    """Idempotent."""
    if not rows:
        return
    await connection.execute(
        "INSERT INTO register_reading (meter_id, boundary, read_at, import_register_wh, export_register_wh,"
        " active_power_w, voltage_l1_v, voltage_l2_v, voltage_l3_v, implausible, committed_at)"
        " SELECT m, to_timestamp(b), to_timestamp(r), i, e, p, v1, v2, v3, f, to_timestamp(%s)"
        " FROM unnest(%s::int[], %s::float8[], %s::float8[], %s::int8[], %s::int8[], %s::int8[], %s::float8[],"
        " %s::float8[], %s::float8[], %s::text[]) AS g (m, b, r, i, e, p, v1, v2, v3, f) ON CONFLICT DO NOTHING",
        [
            committed_s,
            *_columns(
                [(row.meter_id, row.reading.boundary_s, row.reading.at_s, *_values(row), row.doubt) for row in rows]
            ),
        ],
    )


async def write_accepted(connection: Connection, rows: Sequence[AcceptedRow]) -> None:
    """Idempotent."""
    if rows:
        await connection.execute(
            "UPDATE register_reading r SET implausible = NULL FROM unnest(%s::int[], %s::float8[]) AS a (m, b)"
            " WHERE r.meter_id = a.m AND r.boundary = to_timestamp(a.b)",
            _columns(rows),
        )


async def write_derived(connection: Connection, rows: Sequence[DerivedRow], *, committed_s: float) -> int:
    """Intervals; returns how many are new. Idempotent."""
    if not rows:
        return 0
    cursor = await connection.execute(
        "INSERT INTO interval_reading (meter_id, interval_start, interval_length_s, import_wh, export_wh, quality,"
        " device_time, received_at, import_register_wh, export_register_wh, import_power_w, export_power_w,"
        " voltage_l1_v, voltage_l2_v, voltage_l3_v, committed_at, revision, origin)"
        " SELECT m, to_timestamp(s), l, i, e, q, to_timestamp(s + l), to_timestamp(t), ir, er, ip, ep,"
        " nullif(v1, 'NaN'), nullif(v2, 'NaN'), nullif(v3, 'NaN'), to_timestamp(%s), 0, 0"
        " FROM unnest(%s::int[], %s::float8[], %s::int[], %s::int8[], %s::int8[], %s::int2[], %s::float8[],"
        " %s::int8[], %s::int8[], %s::int8[], %s::int8[], %s::float8[], %s::float8[], %s::float8[])"
        " AS g (m, s, l, i, e, q, t, ir, er, ip, ep, v1, v2, v3) ON CONFLICT DO NOTHING",
        [committed_s, *_columns([_interval_row(row) for row in rows])],
    )
    return cursor.rowcount


async def last_readings(connection: Connection) -> dict[int, tuple[BoundaryReading, list[BoundaryReading]]]:
    """The latest reading of each meter that is believed, and those since that are not, by meter id."""
    columns = (
        "extract(epoch FROM r.boundary)::int8, extract(epoch FROM r.read_at)::float8, r.import_register_wh,"
        " r.export_register_wh, r.active_power_w, r.voltage_l1_v, r.voltage_l2_v, r.voltage_l3_v"
    )
    believed = (
        "SELECT DISTINCT ON (meter_id) meter_id, boundary FROM register_reading WHERE implausible IS NULL"
        " ORDER BY meter_id, boundary DESC"
    )
    cursor = await connection.execute(
        f"SELECT r.meter_id, {columns} FROM ({believed}) l JOIN register_reading r"  # noqa: S608 - constants from above
        " ON r.meter_id = l.meter_id AND r.boundary >= l.boundary ORDER BY r.meter_id, r.boundary".encode()
    )
    known: dict[int, tuple[BoundaryReading, list[BoundaryReading]]] = {}
    for meter, boundary_s, at_s, import_wh, export_wh, power_w, *voltages_v in await cursor.fetchall():
        reading = BoundaryReading(
            int(str(boundary_s)),
            float(str(at_s)),
            Registers(
                int(str(import_wh)),
                int(str(export_wh)),
                int(str(power_w)),
                tuple(float(str(volts)) for volts in voltages_v),  # type: ignore[arg-type]  # three of them
            ),
        )
        if (found := known.get(int(str(meter)))) is None:
            known[int(str(meter))] = reading, []
        else:
            found[1].append(reading)
    return known


def _values(row: RegisterRow) -> tuple[float, ...]:
    registers = row.reading.registers
    return (
        registers.import_register_wh,
        registers.export_register_wh,
        registers.active_power_w,
        *registers.voltages_v,
    )


def _interval_row(row: DerivedRow) -> tuple[object, ...]:
    interval, end = row.interval, row.end
    quality = ESTIMATED if interval.estimated else ACTUAL
    head = (
        row.meter_id, interval.start_s, row.length_s, interval.import_wh, interval.export_wh, quality, row.received_s,
    )  # fmt: skip
    if end is None:
        return (*head, *(None,) * 7)
    moment: tuple[object, ...] = (None,) * 5
    if not interval.estimated:
        moment = (max(end.active_power_w, 0), max(-end.active_power_w, 0), *end.voltages_v)
    return (*head, end.import_register_wh, end.export_register_wh, *moment)


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
